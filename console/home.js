// SPDX-License-Identifier: Apache-2.0
// The live drawing of the flow: topic → view → dashboard. Columns by depth, cards for nodes, curves for edges.
import { age, el, head, listen, quoteName, short } from '/shell.js';

const chip = head('home');
const main = document.querySelector('main');
const flow = el('div', { class: 'flow' });
const legend = el('p', { class: 'legend' }, 'Rows a second on each line; lag and data age on each view. A click opens the thing.');
main.append(start(), legend, flow);
const cards = new Map();
let shape = '';

function copyLine(text) {
  const button = el('button', { onclick: () => {
    navigator.clipboard?.writeText(text);
    button.textContent = 'copied';
    setTimeout(() => { button.textContent = 'copy'; }, 1200);
  } }, 'copy');
  return el('div', { class: 'line' }, el('pre', {}, text), button);
}

function start() {
  const host = location.hostname;
  return el('section', { class: 'card start', hidden: true, id: 'start' },
    el('h2', {}, 'Send the first event'),
    el('p', {}, 'Any Kafka client will do. A topic is made by its first record:'),
    copyLine(`echo '{"site":"SEA1","weight_g":420}' | kcat -P -b ${host}:9092 -t scans`),
    el('p', {}, 'Look at it by SQL, from psql or over HTTP:'),
    copyLine(`psql -h ${host} -p 5433 -U leat leat -c 'SELECT * FROM scans'`),
    copyLine(`curl -H 'Content-Type: application/json' -d '{"sql":"SELECT * FROM scans"}' ${location.origin}/api/sql`),
    el('div', { class: 'waiting' }, el('i'), 'waiting for the first event'));
}

/** Distance from the sources: the column of a node. */
function depths(nodes) {
  const byName = new Map(nodes.filter((n) => n.kind !== 'dashboard').map((n) => [n.name, n]));
  const known = new Map();
  const depth = (node) => {
    if (known.has(node)) return known.get(node);
    known.set(node, 0);
    const below = (node.inputs ?? []).map((name) => byName.get(name)).filter(Boolean).map(depth);
    const d = below.length ? Math.max(...below) + 1 : 0;
    known.set(node, d);
    return d;
  };
  nodes.forEach(depth);
  const last = Math.max(0, ...nodes.filter((n) => n.kind !== 'dashboard').map((n) => known.get(n)));
  for (const node of nodes) if (node.kind === 'dashboard') known.set(node, last + 1);
  return known;
}

function target(node) {
  if (node.kind === 'dashboard') return `/d/${encodeURIComponent(node.name)}`;
  const order = node.kind === 'topic' ? ' ORDER BY kafka_timestamp DESC' : '';
  return `/sql.html#${encodeURIComponent(`SELECT * FROM ${quoteName(node.name)}${order} LIMIT 100`)}`;
}

function makeCards(nodes, depth) {
  const columns = [];
  cards.clear();
  for (const node of nodes) {
    const facts = el('div', { class: 'facts' });
    const card = el('a', { class: `card node ${node.kind}`, href: target(node) },
      el('div', { class: 'kind' }, node.kind), el('div', { class: 'name', title: node.name }, node.name), facts);
    cards.set(node.id, { card, facts });
    (columns[depth.get(node)] ??= []).push(card);
  }
  flow.style.gridTemplateColumns = `repeat(${columns.length}, max-content)`;
  flow.replaceChildren(document.createElementNS('http://www.w3.org/2000/svg', 'svg'),
    ...columns.map((list) => el('div', { class: 'column' }, ...(list ?? []))));
}

function fact(label, value) {
  return value === '' ? [] : [el('b', {}, value), ` ${label}  `];
}

function update(node) {
  const { card, facts } = cards.get(node.id);
  const bad = ['paused', 'failed'].includes(node.state);
  card.classList.toggle('bad', bad);
  card.title = [node.state, node.detail].filter(Boolean).join(': ');
  if (node.kind === 'dashboard') facts.replaceChildren(node.detail ?? '');
  else if (bad || node.state === 'filling') facts.replaceChildren(card.title);
  else if (node.kind === 'topic') facts.replaceChildren(...fact('rows/s', short(node.rows_per_s)), ...fact('rows', short(node.rows_total)));
  else facts.replaceChildren(...fact('lag', short(node.lag)), ...fact('age', age(node.data_age_ms)));
}

function edges(nodes) {
  const svg = flow.querySelector('svg');
  const box = flow.getBoundingClientRect();
  const byName = new Map(nodes.filter((n) => n.kind !== 'dashboard').map((n) => [n.name, n]));
  const parts = [];
  for (const node of nodes) {
    for (const input of node.inputs ?? []) {
      const from = byName.get(input);
      if (!from || !cards.has(from.id)) continue;
      const a = cards.get(from.id).card.getBoundingClientRect();
      const b = cards.get(node.id).card.getBoundingClientRect();
      const x1 = a.right - box.left, y1 = a.top - box.top + a.height / 2;
      const x2 = b.left - box.left, y2 = b.top - box.top + b.height / 2;
      const bend = Math.max(30, (x2 - x1) / 2);
      const rate = node.kind === 'dashboard' ? from.rows_per_s : (node.rows_per_s ?? from.rows_per_s);
      const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
      path.setAttribute('d', `M${x1},${y1} C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}`);
      path.setAttribute('class', rate > 0 ? 'edge moving' : 'edge');
      parts.push(path);
      if (node.kind !== 'dashboard' && from.kind === 'topic' && from.rows_per_s > 0) {
        const text = document.createElementNS('http://www.w3.org/2000/svg', 'text');
        text.setAttribute('x', (x1 + x2) / 2);
        text.setAttribute('y', (y1 + y2) / 2 - 5);
        text.setAttribute('text-anchor', 'middle');
        text.setAttribute('class', 'edge-label');
        text.textContent = `${short(from.rows_per_s)}/s`;
        parts.push(text);
      }
    }
  }
  svg.replaceChildren(...parts);
}

let newest = [];
function draw(data) {
  const nodes = data.nodes ?? [];
  newest = nodes;
  document.querySelector('#start').hidden = nodes.length > 0;
  legend.hidden = flow.hidden = nodes.length === 0;
  const wanted = JSON.stringify(nodes.map((n) => [n.id, n.inputs]));
  if (wanted !== shape) {
    shape = wanted;
    makeCards(nodes, depths(nodes));
  }
  nodes.forEach(update);
  edges(nodes);
}
addEventListener('resize', () => edges(newest));
listen('/api/flow/stream', { flow: draw }, chip);
