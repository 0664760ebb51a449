// SPDX-License-Identifier: Apache-2.0
// One dashboard: its definition, one stream for all panels, the panels on 12 columns. In kiosk form it fills the screen.
import { age, clock, el, getJson, head, listen, setChip } from '/shell.js';
import { drawPanel, failPanel, makePanel } from '/panels.js';

const LATE_MS = 10000;
const name = decodeURIComponent(location.pathname.slice(3));
const api = `/api/dashboards/${encodeURIComponent(name)}`;
const board = document.querySelector('.board');
const controls = el('div', { class: 'controls' });
const title = el('h1', { class: 'title' });
const wall = el('a', { class: 'wall-link', title: 'fill the screen (k), Escape leaves' }, 'wall');
const chip = head('dashboards', [title, controls], [wall]);
const now = el('span', { class: 'now', 'aria-hidden': 'true' });
chip.after(now);
let query = new URLSearchParams(location.search);
let panels = [], stream, definition;

/* ---- variables and address ---------------------------------------------------------------- */
const addressOf = (parameters) => `${location.pathname}?${parameters}`.replace(/=(?=&|$)/g, '').replace(/\?$/, '');

function go(parameters) {
  history.pushState(null, '', addressOf(parameters));
  show();
}

const valueOf = (variable) => query.get(variable.name) ?? variable.default ?? variable.choices?.[0] ?? '';

function variables() {
  const parts = (definition.variables ?? []).map((variable) => {
    const value = String(valueOf(variable));
    const change = (event) => {
      const next = new URLSearchParams(query);
      next.set(variable.name, event.target.value);
      go(next);
    };
    const choices = [...new Set([value, ...(variable.choices ?? []).map(String)])];
    const input = (variable.choices ?? []).length
      ? el('select', { onchange: change, 'aria-label': variable.name, title: variable.error },
        ...choices.map((choice) => el('option', { value: choice, selected: choice === value }, choice)))
      : el('input', { onchange: change, value, size: 12, maxlength: 256, 'aria-label': variable.name, title: variable.error });
    return el('label', {}, `${variable.name} `, input);
  });
  const at = document.activeElement?.getAttribute('aria-label');
  controls.replaceChildren(...parts);
  if (at) controls.querySelector(`[aria-label="${CSS.escape(at)}"]`)?.focus();
}

function kiosk() {
  const on = query.has('kiosk');
  document.body.classList.toggle('kiosk', on);
  const other = new URLSearchParams(query);
  if (on) other.delete('kiosk');
  else other.set('kiosk', '');
  wall.setAttribute('href', addressOf(other));
  wall.textContent = on ? 'leave' : 'wall';
  return other;
}

wall.addEventListener('click', (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  history.pushState(null, '', addressOf(kiosk()));
  query = new URLSearchParams(location.search);
  kiosk();
});
addEventListener('keydown', (event) => {
  const typing = /INPUT|TEXTAREA|SELECT/.test(event.target.tagName);
  if ((event.key === 'Escape' && query.has('kiosk')) || (event.key === 'k' && !typing && !event.ctrlKey && !event.metaKey)) wall.click();
});
addEventListener('popstate', () => show());

/* ---- events of the stream -------------------------------------------------------------------- */
function foot(panel) {
  const passed = Date.now() - panel.heardAt;
  const behind = (panel.ageMs ?? 0) + (passed > 3000 ? passed : 0);
  const late = panel.rows !== undefined && behind > LATE_MS;
  const parts = [];
  if (panel.ageMs !== undefined && panel.ageMs !== null) parts.push(`data age ${age(behind)}`);
  if (panel.newest) parts.push(`newest event at ${clock(panel.newest)}`);
  const text = parts.join(', ');
  if (panel.foot.textContent !== text) panel.foot.textContent = text;
  panel.foot.classList.toggle('late', late);
  return late;
}

function heard(event) {
  const panel = panels[event.panel];
  if (!panel) return undefined;
  panel.heardAt = Date.now();
  panel.ageMs = event.data_age_ms;
  panel.newest = event.newest_event_time;
  foot(panel);
  return panel;
}

function snapshot(event) {
  const panel = heard(event);
  if (!panel) return;
  panel.columns = event.data.columns;
  panel.rows = event.data.rows;
  drawPanel(panel);
}

/** Rows are patched by place. A patch that leaves a hole follows something that we have missed: begin anew. */
function patch(event) {
  const panel = heard(event);
  if (!panel?.rows) return;
  const rows = panel.rows.slice(0, event.data.count);
  for (const [place, row] of event.data.set) if (place < event.data.count) rows[place] = row;
  for (let i = 0; i < event.data.count; i++) {
    if (rows[i] === undefined) {
      stream.restart();
      return;
    }
  }
  panel.rows = rows;
  drawPanel(panel);
}

function failed(event) {
  const panel = panels[event.panel];
  if (panel) failPanel(panel, event.data);
}

/* ---- building ------------------------------------------------------------------------------------ */
function message(...children) {
  board.classList.add('only');
  board.replaceChildren(el('section', { class: 'card error', role: 'alert' }, ...children));
}

const shapeOf = (d) => JSON.stringify([d.title, d.panels]);

function build() {
  title.textContent = definition.title || name;
  document.title = `${definition.title || name}: Leat`;
  board.classList.remove('only');
  const values = () => Object.fromEntries((definition.variables ?? []).map((variable) => [variable.name, String(valueOf(variable))]));
  panels = definition.panels.map((panel) => makePanel(panel, values));
  board.style.setProperty('--rows', Math.max(1, ...definition.panels.map(({ at: [, y, , h] }) => y + h)));
  board.replaceChildren(...panels.map((panel) => panel.element));
  if (!panels.length) board.append(el('div', { class: 'empty' }, 'This dashboard has no panels.'));
}

/** Reads the definition again: it may have changed while the stream was away. */
async function refresh() {
  try {
    const next = await getJson(api);
    const changed = shapeOf(next) !== shapeOf(definition) || board.classList.contains('only');
    definition = next;
    variables();
    if (changed) {
      build();
      stream.restart();
    }
  } catch (error) {
    if (error.sqlstate?.startsWith('42')) message(error.message, ' ', el('a', { href: '/dashboards.html' }, 'All dashboards'));
  }
}

function show() {
  query = new URLSearchParams(location.search);
  kiosk();
  variables();
  const values = new URLSearchParams([...query].filter(([key]) => (definition.variables ?? []).some((v) => v.name === key)));
  for (const panel of panels) panel.element.classList.add('stale');
  stream?.close();
  stream = listen(values.size ? `${api}/stream?${values}` : `${api}/stream`,
    { snapshot, patch, age: heard, failed, back: refresh, lost: (error) => { if (error?.sqlstate) refresh(); } }, chip);
}

function watch() {
  now.textContent = clock(new Date());
  const late = panels.map(foot).some(Boolean);
  if (late && chip.classList.contains('live')) setChip(chip, 'late', 'late');
  else if (!late && chip.classList.contains('late')) setChip(chip, 'live', 'live');
}

async function start() {
  document.body.classList.add('loading'); // nothing is seen before its place is known
  kiosk();
  try {
    definition = await getJson(api);
  } catch (error) {
    document.body.classList.remove('loading');
    setChip(chip, 'lost', 'disconnected');
    title.textContent = name;
    if (!error.sqlstate?.startsWith('42')) {
      setTimeout(start, 2000); // the server is away; it will come back
      return;
    }
    setChip(chip, 'lost', 'not found');
    message(error.message, ' ', el('a', { href: '/dashboards.html' }, 'All dashboards'));
    return;
  }
  build();
  show();
  document.body.classList.remove('loading');
  watch();
  setInterval(watch, 1000);
}
start();
