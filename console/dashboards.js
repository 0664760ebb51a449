// SPDX-License-Identifier: Apache-2.0
// The list of dashboards.
import { el, getJson, head, setChip } from '/shell.js';

const chip = head('dashboards');
const main = document.querySelector('main');
try {
  const { dashboards } = await getJson('/api/dashboards');
  setChip(chip, 'live', 'live');
  const rows = dashboards.map((d) => el('tr', {},
    el('td', {}, el('a', { href: `/d/${encodeURIComponent(d.name)}` }, d.title || d.name)), el('td', {}, d.name),
    el('td', {}, el('a', { href: `/d/${encodeURIComponent(d.name)}?kiosk` }, 'kiosk'))));
  main.append(rows.length
    ? el('section', { class: 'card' }, el('table', {}, el('thead', {}, el('tr', {}, el('th', {}, 'title'), el('th', {}, 'name'),
      el('th', {}, 'for a wall'))), el('tbody', {}, ...rows)))
    : el('section', { class: 'card start' }, el('h2', {}, 'No dashboard yet'),
      el('p', {}, 'Make one by SQL:'),
      el('pre', {}, "CREATE DASHBOARD first TITLE 'First'\n  PANEL total NUMBER AS (SELECT count(*) FROM scans);")));
} catch (error) {
  setChip(chip, 'lost', 'disconnected');
  main.append(el('section', { class: 'card error' }, error.message ?? String(error)));
}
