// SPDX-License-Identifier: Apache-2.0
// The live drawing of the flow: topic → view → dashboard, with rows a second, lag and data age on each line. Where it does
// not fit, the same as a list. While there is nothing: how to send the first event.
import { age, copyText, el, head, listen, quoteName, short } from '/shell.js';
import { layout, svg } from '/graph.js';

const chip = head('home');
const main = document.querySelector('main');
const summary = el('p', { class: 'legend', hidden: true });
const flow = el('div', { class: 'flow', hidden: true });
const startAt = el('div');
main.append(el('h1', { class: 'hidden' }, 'Flow'), startAt, summary, flow);
const CARD_HEIGHT = 78, LANE = 18, CARD_GAP = 18, LABEL = 132;
let cards = new Map(), labels = [], shape = '', newest;

function copyLine(text) {
  const button = el('button', { 'aria-label': `copy: ${text}`, onclick: async () => {
    await copyText(text);
    button.textContent = 'copied';
    setTimeout(() => { button.textContent = 'copy'; }, 1200);
  } }, 'copy');
  return el('div', { class: 'line' }, el('pre', { tabindex: 0 }, text), button);
}

function start(doors) {
  const kafka = doors?.kafka ?? `${location.hostname}:9092`;
  const [, host, port] = (doors?.pg ?? `${location.hostname}:5433`).match(/^(.*):(\d+)$/);
  return el('section', { class: 'card start', id: 'start' },
    el('h2', {}, 'Send the first event'),
    el('p', {}, 'Any Kafka client will do. A topic is made by its first record:'),
    copyLine(`echo '{"site":"SEA1","weight_g":420}' | kcat -P -b ${kafka} -t scans`),
    el('p', {}, 'Look at it from psql, or over HTTP:'),
    copyLine(`psql -h ${host} -p ${port} -U leat leat -c 'SELECT * FROM scans'`),
    copyLine(`curl -H 'Content-Type: application/json' -d '{"sql":"SELECT * FROM scans"}' ${location.origin}/api/sql`),
    el('div', { class: 'waiting', role: 'status' }, el('i'), 'waiting for the first event'));
}

const isDashboard = (node) => node.kind === 'dashboard';

/** The edges worth a line: a dashboard reads topics for its choices too, which says nothing where a view comes between. */
function worthDrawing(nodes, edges) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const into = new Map();
  for (const { from, to } of edges) into.set(to, [...(into.get(to) ?? []), from]);
  const reaches = (from, to, seen = new Set()) => (into.get(to) ?? []).some((near) => {
    if (seen.has(near)) return false;
    seen.add(near);
    return near === from || reaches(from, near, seen);
  });
  return edges.filter(({ from, to }) => byId.has(from) && byId.has(to) && !(isDashboard(byId.get(to)) &&
    byId.get(from).kind === 'topic' && into.get(to).some((near) => near !== from && reaches(from, near))));
}

function target(node) {
  if (isDashboard(node)) return `/d/${encodeURIComponent(node.name)}`;
  const name = node.kind === 'topic' ? node.name.replace(/\.quarantine$/, '$quarantine') : node.name;
  const order = node.kind !== 'topic' ? '' : name.endsWith('$quarantine') ? ' ORDER BY timestamp DESC' : ' ORDER BY kafka_timestamp DESC';
  return `/sql.html#${encodeURIComponent(`SELECT * FROM ${quoteName(name)}${order} LIMIT 100`)}`;
}

const kindOf = (node) => (node.state === 'plain' ? 'plain view' : node.kind === 'view' ? 'materialized view'
  : /\.quarantine$/.test(node.name) ? 'refused records' : node.kind);

function makeCard(node) {
  const facts = el('div', { class: 'facts' });
  const from = el('div', { class: 'from' });
  const card = el('a', { class: `card node ${node.kind}${node.state === 'plain' ? ' plain' : ''}`, href: target(node) },
    el('div', { class: 'kind' }, kindOf(node)), el('div', { class: 'name', title: node.name }, node.name), facts, from);
  cards.set(node.id, { card, facts, from });
  return card;
}

function path(points, at, head, tail) {
  const first = points[0], last = points.at(-1);
  const parts = [`M${at(first.rank).right},${first.across} h${head}`];
  let x = at(first.rank).right + head, y = first.across;
  const curve = (x2, y2) => {
    const bend = (x2 - x) / 2;
    parts.push(`C${x + bend},${y} ${x2 - bend},${y2} ${x2},${y2}`);
    [x, y] = [x2, y2];
  };
  for (const point of points.slice(1, -1)) {
    curve(at(point.rank).left, point.across);
    parts.push(`H${at(point.rank).right}`);
    x = at(point.rank).right;
  }
  curve(at(last.rank).left - tail, last.across);
  parts.push(`h${tail}`);
  return parts.join(' ');
}

/** Cards stand wider apart on a high screen. */
function cardGap(nodes) {
  const most = Math.max(...['topic', 'view', 'dashboard'].map((kind) => nodes.filter((n) => n.kind === kind).length));
  return Math.max(CARD_GAP, Math.min(64, (innerHeight - 170) / most - CARD_HEIGHT));
}

/** Draws anew; only when things, lines or the width have changed. */
function drawGraph(nodes, edges, room) {
  const drawn = layout(nodes.map((n) => ({ id: n.id, last: isDashboard(n) })), edges,
    { across: CARD_HEIGHT, lane: LANE, gap: cardGap(nodes) });
  const gap = Math.min(240, Math.max(LABEL + 44, (room - drawn.ranks * 230) / Math.max(1, drawn.ranks - 1)));
  const width = Math.min(300, Math.floor((room - gap * (drawn.ranks - 1)) / drawn.ranks));
  if (width < 168) return false;
  const at = (rank) => ({ left: rank * (width + gap), right: rank * (width + gap) + width });
  const picture = svg('svg', { 'aria-hidden': 'true' });
  flow.className = 'flow drawn';
  flow.style.height = `${drawn.extent}px`;
  const elements = nodes.map((node) => [drawn.places.get(node.id), makeCard(node)]);
  elements.sort(([a], [b]) => a.rank - b.rank || a.across - b.across); // the order of the tab key
  for (const [place, card] of elements) card.style.cssText = `left:${at(place.rank).left}px;top:${place.across}px;width:${width}px;height:${CARD_HEIGHT}px`;
  // Labels of one gap stand on one side, where fewer lines meet; lines run straight there and bend on the other side.
  const gaps = new Map();
  for (const { points, fromCount, toCount } of drawn.lines) {
    const one = gaps.get(points[0].rank) ?? [0, 0], two = gaps.get(points.at(-1).rank - 1) ?? [0, 0];
    gaps.set(points[0].rank, [Math.max(one[0], fromCount), one[1]]);
    const again = points.length === 2 ? gaps.get(points[0].rank) : two;
    gaps.set(points.at(-1).rank - 1, [again[0], Math.max(again[1], toCount)]);
  }
  const startsIn = (rank) => (gaps.get(rank) ?? [0, 1])[0] <= (gaps.get(rank) ?? [0, 1])[1];
  for (const { edge, points } of drawn.lines) {
    const first = points[0].rank, end = points.at(-1).rank - 1;
    const atStart = startsIn(first) || startsIn(end);
    const line = svg('path', { class: 'edge', d: path(points, at, startsIn(first) ? LABEL : 8, startsIn(end) ? 8 : LABEL) });
    const point = atStart ? points[0] : points.at(-1);
    const text = svg('text', { class: 'edge-label', y: point.across - 7, x: atStart ? at(point.rank).right + 7 : at(point.rank).left - 7,
      'text-anchor': atStart ? 'start' : 'end' });
    picture.append(line, text);
    labels.push({ edge, line, text });
  }
  flow.replaceChildren(picture, ...elements.map(([, card]) => card));
  return true;
}

function drawList(nodes) {
  const groups = [['Topics', (n) => n.kind === 'topic'], ['Views', (n) => n.kind !== 'topic' && !isDashboard(n)], ['Dashboards', isDashboard]];
  flow.className = 'flow listed';
  flow.style.height = '';
  flow.replaceChildren(...groups.flatMap(([title, belongs]) => {
    const of = nodes.filter(belongs);
    return of.length ? [el('h2', {}, title), ...of.map(makeCard)] : [];
  }));
}

/** What a line says: rows a second that pass, and how far the reader is behind. */
function passing(from, to) {
  const rate = to.kind === 'topic' ? to.rows_per_s : from.kind === 'topic' ? from.rows_per_s : (from.rows_out_per_s ?? (from.state === 'plain' ? to.rows_per_s : 0));
  const parts = [`${short(rate)}/s`];
  const reader = isDashboard(to) ? from : to;
  if (reader.lag !== null && reader.lag !== undefined && !isDashboard(to)) parts.push(`lag ${short(reader.lag)}`);
  if (reader.data_age_ms !== null && reader.data_age_ms !== undefined) parts.push(`age ${age(reader.data_age_ms)}`);
  return { rate: rate ?? 0, text: parts.join(' · ') };
}

function fact(label, value) {
  return value === '' ? [] : [el('b', {}, value), ` ${label}  `];
}

function update(node, byId, edges) {
  const { card, facts, from } = cards.get(node.id);
  const bad = ['paused', 'failed'].includes(node.state);
  card.classList.toggle('bad', bad);
  card.title = [node.state, node.detail].filter(Boolean).join(': ');
  if (isDashboard(node) || node.state === 'plain') facts.replaceChildren(node.detail ?? '');
  else if (node.state !== 'ready' && node.state !== 'running') facts.replaceChildren(card.title);
  else if (node.kind === 'topic') facts.replaceChildren(el('b', {}, short(node.rows_per_s)), '/s   ', ...fact('rows', short(node.rows_total)));
  else facts.replaceChildren(el('b', {}, short(node.rows_out_per_s)), ' changes/s');
  if (flow.classList.contains('listed')) {
    from.replaceChildren(...edges.filter((e) => e.to === node.id).map((e) =>
      el('div', {}, `← ${byId.get(e.from).name}  ${passing(byId.get(e.from), node).text}`)));
  }
}

function draw(data) {
  newest = data;
  const nodes = data.nodes ?? [], edges = worthDrawing(nodes, data.edges ?? []);
  if (nodes.length) startAt.replaceChildren();
  else if (!startAt.firstChild) startAt.append(start(data.doors));
  summary.hidden = flow.hidden = nodes.length === 0;
  const room = main.clientWidth - 36;
  const wanted = JSON.stringify([room, nodes.map((n) => [n.id, n.state === 'plain']), edges]);
  if (wanted !== shape && nodes.length) {
    shape = wanted;
    cards = new Map();
    labels = [];
    if (!drawGraph(nodes, edges, room)) drawList(nodes);
  }
  const byId = new Map(nodes.map((node) => [node.id, node]));
  for (const node of nodes) update(node, byId, edges);
  for (const { edge, line, text } of labels) {
    const { rate, text: says } = passing(byId.get(edge.from), byId.get(edge.to));
    line.classList.toggle('moving', rate > 0);
    if (text.textContent !== says) text.textContent = says;
  }
  const inflow = nodes.filter((n) => n.kind === 'topic').reduce((sum, n) => sum + (n.rows_per_s ?? 0), 0);
  const bad = nodes.filter((n) => ['paused', 'failed'].includes(n.state)).length;
  const count = (kind, word) => { const n = nodes.filter((x) => x.kind === kind).length; return `${n} ${word}${n === 1 ? '' : 's'}`; };
  const says = [count('topic', 'topic'), count('view', 'view'), count('dashboard', 'dashboard'), `${short(inflow)} rows/s come in`,
    bad ? `${bad} stand still` : 'all run'].join(' · ');
  if (summary.textContent !== says) summary.textContent = says;
}
new ResizeObserver(() => { if (newest) draw(newest); }).observe(main);
listen('/api/flow/stream', { flow: draw }, chip);
