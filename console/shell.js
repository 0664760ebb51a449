// SPDX-License-Identifier: Apache-2.0
// What all pages share: head with navigation, theme, the status chip, live streams, small helpers.

/** Makes an element: el('a', {href: '/', class: 'x'}, 'text', child …). */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(key, value === true ? '' : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const themes = window.matchMedia('(prefers-color-scheme: dark)');

function applyTheme() {
  const chosen = localStorage.getItem('leat.theme'); // until somebody chooses, the sheet follows the system by itself
  document.documentElement.dataset.theme = chosen ?? (themes.matches ? 'dark' : 'light');
  dispatchEvent(new Event('theme'));
}
themes.addEventListener('change', applyTheme);
applyTheme();

/** Fills the head of a page, with the page's own controls beside the navigation and at the right; returns the chip. */
export function head(page, controls = [], right = []) {
  const link = (href, name, text) => el('a', { href, 'aria-current': name === page ? 'page' : null }, text);
  const chip = el('span', { class: 'chip', role: 'status' }, 'connecting');
  const theme = el('button', { title: 'light or dark (t)', 'aria-label': 'light or dark', onclick: toggleTheme }, '◐');
  const bar = document.querySelector('header');
  bar.append(
    el('a', { class: 'skip', href: '#content', onclick: (event) => {
      event.preventDefault();
      document.querySelector('main').focus();
    } }, 'to the content'),
    el('a', { class: 'mark', href: '/' }, 'Leat'),
    el('nav', { 'aria-label': 'pages' }, link('/', 'home', 'Flow'), link('/sql.html', 'sql', 'SQL'),
      link('/dashboards.html', 'dashboards', 'Dashboards')),
    ...controls, el('div', { class: 'right' }, ...right, chip, theme));
  document.querySelector('main').tabIndex = -1;
  return chip;
}

function toggleTheme() {
  localStorage.setItem('leat.theme', document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark');
  applyTheme();
}
addEventListener('keydown', (event) => {
  if (event.key === 't' && !event.ctrlKey && !event.metaKey && !/INPUT|TEXTAREA|SELECT/.test(event.target.tagName)) toggleTheme();
});

export function setChip(chip, kind, text) {
  chip.className = `chip ${kind}`;
  if (chip.textContent !== text) chip.textContent = text;
}

/**
 * One EventSource that comes back by itself: browsers give up after some answers, so it is made anew then. Handlers are
 * called with the data of events; `lost` and `back` tell of the connection. Returns {close, restart}.
 */
export function listen(url, handlers, chip) {
  let source;
  let timer;
  let isLost = false;
  const lost = (error) => {
    setChip(chip, 'lost', 'disconnected');
    isLost = true;
    handlers.lost?.(error);
  };
  const live = () => {
    setChip(chip, 'live', 'live');
    if (isLost) handlers.back?.();
    isLost = false;
  };
  const close = () => {
    clearTimeout(timer);
    source?.close();
  };
  const open = () => {
    close();
    source = new EventSource(url);
    source.onopen = live;
    source.onerror = () => {
      lost();
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(open, 1500);
    };
    source.addEventListener('status', (event) => {
      const status = JSON.parse(event.data);
      if (status.connected) live();
      else lost(status.error);
    });
    for (const [name, handle] of Object.entries(handlers)) {
      if (name !== 'lost' && name !== 'back') source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
    }
  };
  open();
  addEventListener('pagehide', close);
  addEventListener('pageshow', (event) => { if (event.persisted) open(); });
  return { close, restart: open };
}

/** Writes to the clipboard, also where the page's address is not one that browsers trust. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = el('textarea', { class: 'hidden' });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
}

/** POST /api/sql; throws the server's error object. */
export async function sql(text, maxRows = 5000) {
  const answer = await fetch('/api/sql', {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ sql: text, max_rows: maxRows }) });
  const body = await answer.json();
  if (body.error) throw body.error;
  return body;
}

export async function getJson(url) {
  const body = await (await fetch(url)).json();
  if (body.error) throw body.error;
  return body;
}

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const small = new Intl.NumberFormat('en', { maximumFractionDigits: 2 });

/** 1234567 → 1,234,567; 12.345 → 12.35. */
export function number(value) {
  if (value === null || value === undefined || value === '') return '';
  const n = Number(value);
  return Number.isFinite(n) ? (Math.abs(n) >= 1000 ? whole : small).format(n) : String(value);
}

export function short(value) {
  const n = Number(value ?? 0);
  if (n >= 1e9) return `${(n / 1e9).toFixed(1)} G`;
  if (n >= 1e6) return `${(n / 1e6).toFixed(1)} M`;
  if (n >= 1e4) return `${(n / 1e3).toFixed(1)} k`;
  return n > 0 && n < 10 && !Number.isInteger(n) ? n.toFixed(1) : whole.format(n);
}

export function age(ms) {
  if (ms === null || ms === undefined) return '';
  if (ms < 120000) return `${(Math.max(0, ms) / 1000).toFixed(1)} s`;
  return ms < 7200000 ? `${Math.round(ms / 60000)} min` : `${Math.round(ms / 3600000)} h`;
}

/** An ISO timestamp as local time of day. */
export function clock(text) {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? String(text) : date.toLocaleTimeString('en-GB');
}

export const isTime = (type) => /^(TIMESTAMP|DATE)/.test(type ?? '');
export const isNumber = (type) => /INT|DECIMAL|DOUBLE|FLOAT|NUMERIC|numeric|int|float|double|real/.test(type ?? '');

/** A table cell with the value as people read it; what is called id is a name, not an amount. */
export function fillCell(cell, value, type, name = '') {
  if (value === null || value === undefined) {
    cell.textContent = 'NULL';
    cell.className = 'null';
  } else {
    cell.textContent = typeof value === 'object' ? JSON.stringify(value) : isNumber(type) && typeof value === 'number' && !/(^|_)(id|offset|partition)$/i.test(name) ? number(value) : String(value);
    cell.className = isNumber(type) ? 'n' : '';
  }
}

export function quoteName(name) {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

/** The colour that a token has now. */
export const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
