// SPDX-License-Identifier: Apache-2.0
// One dashboard: its definition, one stream for all panels, the panels on 12 columns.
import { age, clock, el, getJson, head, listen, setChip } from '/shell.js';
import { drawPanel, makePanel } from '/panels.js';

const name = decodeURIComponent(location.pathname.slice(3));
const query = new URLSearchParams(location.search);
document.body.classList.toggle('kiosk', query.has('kiosk'));
const board = document.querySelector('.board');
const controls = el('div', { class: 'bar' });
const title = el('b', {});
const chip = head('dashboards', title, controls);
let panels = [];

function variables(definition) {
  for (const variable of definition.variables ?? []) {
    const now = query.get(variable.name) ?? variable.default ?? variable.choices?.[0] ?? '';
    const change = (event) => {
      query.set(variable.name, event.target.value);
      location.search = query.toString().replace(/=(?=&|$)/g, '');
    };
    const choices = variable.choices ?? [];
    const input = choices.length
      ? el('select', { onchange: change, 'aria-label': variable.name },
        ...[...new Set([now, ...choices])].map((value) => el('option', { value, selected: value === now }, value)))
      : el('input', { onchange: change, value: now, size: 12, 'aria-label': variable.name });
    controls.append(el('label', {}, `${variable.name} `, input));
  }
}

function foot(panel) {
  const passed = Date.now() - panel.heardAt;
  const late = (panel.ageMs ?? 0) > 10000 || passed > 10000;
  const parts = [];
  if (panel.ageMs !== undefined && panel.ageMs !== null) parts.push(`data age ${age(panel.ageMs + (passed > 3000 ? passed : 0))}`);
  if (panel.newest) parts.push(`newest event at ${clock(panel.newest)}`);
  const text = panel.error ? panel.error : parts.join(', ');
  if (panel.foot.textContent !== text) panel.foot.textContent = text;
  panel.foot.classList.toggle('late', late || Boolean(panel.error));
  return late;
}

function heard(event) {
  const panel = panels[event.panel];
  if (!panel) return undefined;
  panel.heardAt = Date.now();
  panel.ageMs = event.data_age_ms;
  panel.newest = event.newest_event_time;
  panel.error = '';
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

function patch(event) {
  const panel = heard(event);
  if (!panel?.rows) return;
  panel.rows.length = Math.min(panel.rows.length, event.data.count);
  for (const [place, row] of event.data.set) panel.rows[place] = row;
  drawPanel(panel);
}

function failed(event) {
  const panel = panels[event.panel];
  if (!panel) return;
  panel.error = event.data?.message ?? 'failed';
  foot(panel);
}

function build(definition) {
  title.textContent = definition.title || name;
  document.title = `${definition.title || name}: Leat`;
  controls.replaceChildren();
  variables(definition);
  panels = definition.panels.map((panel) => makePanel(panel));
  board.replaceChildren(...panels.map((panel) => panel.element));
}

try {
  build(await getJson(`/api/dashboards/${encodeURIComponent(name)}`));
  const values = new URLSearchParams([...query].filter(([key]) => key !== 'kiosk'));
  const path = `/api/dashboards/${encodeURIComponent(name)}/stream`;
  listen(values.size ? `${path}?${values}` : path, { snapshot, patch, age: heard, failed }, chip);
  setInterval(() => {
    const late = panels.map(foot).some(Boolean);
    if (late && chip.classList.contains('live')) setChip(chip, 'late', 'late');
    else if (!late && chip.classList.contains('late')) setChip(chip, 'live', 'live');
  }, 1000);
} catch (error) {
  setChip(chip, 'lost', 'error');
  board.append(el('section', { class: 'card error panel' }, error.message ?? String(error)));
}
