// SPDX-License-Identifier: Apache-2.0
// The list of dashboards. It follows the flow, so a dashboard that SQL makes appears by itself.
import { el, head, listen } from '/shell.js';

const chip = head('dashboards');
const main = document.querySelector('main');
const list = el('div', { class: 'boards' });
main.append(el('h1', {}, 'Dashboards'), list);

function card(board) {
  const path = `/d/${encodeURIComponent(board.name)}`;
  return el('section', { class: 'card board-card' },
    el('h2', {}, el('a', { href: path }, board.title || board.name)),
    el('p', {}, board.name),
    el('p', {}, el('a', { href: `${path}?kiosk`, 'aria-label': `${board.title || board.name} for a wall` }, 'for a wall'), ' · ',
      el('a', { href: `/sql.html#${encodeURIComponent(`SHOW CREATE DASHBOARD "${board.name.replaceAll('"', '""')}"`)}` }, 'its SQL')));
}

const none = () => el('section', { class: 'card start' }, el('h2', {}, 'No dashboard yet'),
  el('p', {}, 'Make one by SQL; it appears here by itself:'),
  el('pre', { tabindex: 0 }, "CREATE DASHBOARD first TITLE 'First'\n  PANEL total NUMBER AS (SELECT count(*) FROM scans);"));

let known = '';
listen('/api/flow/stream', { flow: (data) => {
  const boards = (data.nodes ?? []).filter((n) => n.kind === 'dashboard').map((n) => ({ name: n.name, title: n.detail }));
  if (JSON.stringify(boards) === known) return;
  known = JSON.stringify(boards);
  list.replaceChildren(...(boards.length ? boards.map(card) : [none()]));
} }, chip);
