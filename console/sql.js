// SPDX-License-Identifier: Apache-2.0
// SQL: editor with completion, result grid, the error's place, EXPLAIN as a graph.
import { copyText, el, fillCell, head, isNumber, quoteName, setChip, sql } from '/shell.js';
import { layout, svg } from '/graph.js';

const KEYWORDS = ('SELECT FROM WHERE GROUP BY ORDER BY HAVING LIMIT JOIN LEFT JOIN ON AS WITH UNION ALL DISTINCT CASE WHEN THEN ELSE END ' +
  'AND OR NOT NULL IS IN BETWEEN LIKE INTERVAL CREATE TOPIC CREATE VIEW CREATE MATERIALIZED VIEW CREATE DASHBOARD PANEL INSERT INTO VALUES ' +
  'WATERMARK FOR PRIMARY KEY DROP ALTER SHOW TOPICS SHOW VIEWS SHOW JOBS SHOW PARTITIONS SHOW PIPELINES SHOW DASHBOARDS DESCRIBE EXPLAIN EMIT CHANGES ' +
  'EMIT ON WINDOW CLOSE FILTER REPLAY QUARANTINE OF USING tumble( hop( count( sum( avg( min( max(').split(/ (?=[A-Za-z(]+)/);
const HISTORY = 'leat.history';

const chip = head('sql');
const main = document.querySelector('main');
const side = el('aside', { class: 'card' });
const text = el('textarea', { spellcheck: 'false', 'aria-label': 'SQL', autocomplete: 'off', wrap: 'off', role: 'combobox',
  'aria-autocomplete': 'list', 'aria-expanded': 'false', 'aria-controls': 'complete' });
const menu = el('ul', { class: 'card complete', id: 'complete', role: 'listbox', 'aria-label': 'completion', hidden: true });
const note = el('span', { class: 'note', role: 'status' });
const copy = el('button', { hidden: true, onclick: copyCsv }, 'Copy as CSV');
const result = el('div');
main.append(side, el('section', {}, el('div', { class: 'editor' }, text, menu),
  el('div', { class: 'bar' }, el('button', { class: 'primary', title: 'Ctrl-Enter', onclick: () => run() }, 'Run'),
    el('button', { onclick: () => run('EXPLAIN ') }, 'Explain'), copy, note), result));

let relations = [];

/* ---- what there is -------------------------------------------------------------------- */
async function loadNames() {
  try {
    const columns = await sql("SELECT table_name, column_name, data_type FROM information_schema.columns ORDER BY table_name, ordinal_position");
    const tables = await sql('SHOW TABLES');
    const topics = await sql('SHOW TOPICS');
    setChip(chip, 'live', 'live');
    const byName = new Map(tables.rows.map(([name, kind]) => [name, { name, kind, columns: [] }]));
    for (const [name] of topics.rows) if (!byName.has(name)) byName.set(name, { name, kind: 'topic', columns: [['value', 'text']] });
    for (const [name, column, type] of columns.rows) byName.get(name)?.columns.push([column, type]);
    for (const relation of [...byName.values()]) {
      if (!relation.name.endsWith('.quarantine')) continue; // its records are seen as rows of this relation
      byName.delete(relation.name);
      const name = relation.name.replace(/\.quarantine$/, '$quarantine');
      if (!byName.has(name)) byName.set(name, { ...relation, name, kind: 'refused record' });
    }
    relations = [...byName.values()];
    listNames();
  } catch (error) {
    setChip(chip, 'lost', 'disconnected');
    side.replaceChildren(error.message ?? String(error));
  }
}

function listNames() {
  const parts = [];
  for (const kind of [...new Set(relations.map((r) => r.kind))]) {
    parts.push(el('h3', {}, `${kind}s`));
    for (const relation of relations.filter((r) => r.kind === kind)) {
      parts.push(el('button', { title: relation.columns.map(([c, t]) => `${c} ${t}`).join('\n'),
        onclick: () => { text.value = `SELECT * FROM ${quoteName(relation.name)} LIMIT 100`; run(); } }, relation.name));
    }
  }
  side.replaceChildren(...(parts.length ? parts : ['No relations yet.']));
}

/* ---- completion ---------------------------------------------------------------------------- */
let choices = [];
let chosen = 0;

function word() {
  const before = text.value.slice(0, text.selectionStart);
  return before.match(/[A-Za-z_$][\w$]*$/)?.[0] ?? '';
}

function offer(force = false) {
  const prefix = word();
  if (!prefix && !force) return hide();
  const low = prefix.toLowerCase();
  const names = relations.map((r) => [quoteName(r.name), r.kind]);
  const used = relations.filter((r) => new RegExp(`\\b${r.name.replace(/[^\w]/g, '.')}\\b`, 'i').test(text.value));
  const columns = used.flatMap((r) => r.columns.map(([c, t]) => [quoteName(c), t]));
  const all = [...columns, ...names, ...KEYWORDS.map((k) => [k, ''])];
  const seen = new Set();
  choices = all.filter(([name]) => name.toLowerCase().startsWith(low) && name !== prefix && !seen.has(name) && seen.add(name)).slice(0, 12);
  if (!choices.length) return hide();
  chosen = 0;
  showMenu();
  return undefined;
}

/** Where the caret is, in pixels of the editor: one font width a column, as the letters are all of one width. */
function caret() {
  const style = getComputedStyle(text);
  const ruler = document.createElement('canvas').getContext('2d');
  ruler.font = `${style.fontSize} ${style.fontFamily}`;
  const lines = text.value.slice(0, text.selectionStart - word().length).split('\n');
  const column = lines.at(-1).replaceAll('\t', '  ').length;
  return { x: parseFloat(style.paddingLeft) + column * ruler.measureText('M').width - text.scrollLeft,
    y: parseFloat(style.paddingTop) + lines.length * parseFloat(style.lineHeight) - text.scrollTop };
}

function showMenu() {
  menu.replaceChildren(...choices.map(([name, kind], i) => el('li', { role: 'option', id: `choice${i}`, 'aria-selected': String(i === chosen),
    onmousedown: (event) => { event.preventDefault(); chosen = i; take(); } }, name, el('span', {}, kind))));
  menu.hidden = false;
  text.setAttribute('aria-expanded', 'true');
  text.setAttribute('aria-activedescendant', `choice${chosen}`);
  const { x, y } = caret();
  menu.style.left = `${Math.max(0, Math.min(x, text.offsetWidth - menu.offsetWidth))}px`;
  menu.style.top = `${Math.min(y + 2, text.offsetHeight)}px`;
  menu.children[chosen]?.scrollIntoView({ block: 'nearest' });
}

function hide() {
  menu.hidden = true;
  text.setAttribute('aria-expanded', 'false');
  text.removeAttribute('aria-activedescendant');
}

function take() {
  const at = text.selectionStart - word().length;
  text.setRangeText(choices[chosen][0], at, text.selectionStart, 'end');
  hide();
}

text.addEventListener('input', () => offer());
text.addEventListener('blur', hide);
text.addEventListener('keydown', (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === 'Enter') { event.preventDefault(); hide(); run(); return; }
  if ((event.ctrlKey || event.metaKey) && event.key === ' ') { event.preventDefault(); offer(true); return; }
  if (menu.hidden) return;
  if (event.key === 'Escape') hide();
  else if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
    chosen = (chosen + (event.key === 'ArrowDown' ? 1 : choices.length - 1)) % choices.length;
    showMenu();
  } else if (event.key === 'Tab' || event.key === 'Enter') take();
  else return;
  event.preventDefault();
});

/* ---- running -------------------------------------------------------------------------------- */
const ROW = 30;

/** Widths of columns by their longest values, so that nothing moves while rows come and go. */
function widths(answer) {
  return answer.columns.map((column, i) => {
    let longest = column.name.length + 1;
    for (const row of answer.rows) {
      const value = row[i];
      const length = value === null ? 4 : typeof value === 'object' ? JSON.stringify(value).length : String(value).length * (isNumber(column.type) ? 1.25 : 1);
      if (length > longest) longest = length;
    }
    return Math.round(Math.min(60, longest) * 8.4 + 24);
  });
}

/** A table of any length: only the rows in sight are elements, two rows of padding stand for the others. */
function grid(answer) {
  const columns = widths(answer);
  const table = el('table', { 'aria-rowcount': answer.rows.length + 1 },
    el('colgroup', {}, ...columns.map((width) => { const col = el('col'); col.style.width = `${width}px`; return col; })));
  const line = table.createTHead().insertRow();
  for (const column of answer.columns) line.append(el('th', { class: isNumber(column.type) ? 'n' : '', title: column.type }, column.name));
  const body = table.createTBody();
  const frame = el('div', { class: 'card grid', tabindex: '0', role: 'region', 'aria-label': 'result' }, table);
  let first = -1, last = -1;
  const pad = (rows) => { const row = el('tr', { 'aria-hidden': 'true' }); row.style.height = `${rows * ROW}px`; return row; };
  const fill = () => {
    const from = Math.max(0, Math.floor(frame.scrollTop / ROW) - 20);
    const to = Math.min(answer.rows.length, from + Math.ceil((frame.clientHeight || 800) / ROW) + 40);
    if (from === first && to === last) return;
    [first, last] = [from, to];
    const rows = [];
    for (let r = from; r < to; r++) {
      const row = el('tr', { 'aria-rowindex': r + 2 });
      answer.rows[r].forEach((value, i) => {
        const cell = row.insertCell();
        fillCell(cell, value, answer.columns[i].type, answer.columns[i].name);
        if (cell.textContent.length > 50) cell.title = cell.textContent;
      });
      rows.push(row);
    }
    body.replaceChildren(...(from ? [pad(from)] : []), ...rows, ...(to < answer.rows.length ? [pad(answer.rows.length - to)] : []));
  };
  frame.addEventListener('scroll', fill, { passive: true });
  fill();
  return frame;
}

let last;
async function copyCsv() {
  const field = (value) => {
    const s = value === null || value === undefined ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value);
    return /[",\n\r]/.test(s) || (s === '' && value !== null && value !== undefined) ? `"${s.replaceAll('"', '""')}"` : s;
  };
  await copyText([last.columns.map((c) => field(c.name)), ...last.rows.map((row) => row.map(field))].map((row) => row.join(',')).join('\r\n') + '\r\n');
  note.textContent = `${last.rows.length} rows copied`;
}

/** EXPLAIN as a graph: data flow downwards; what is known of them stands on each line. */
function plan(answer) {
  const nodes = answer.rows.map(([id, op, detail, properties, inputs]) => ({ id, op: (op ?? '').trim(), detail, properties,
    inputs: (inputs ?? '').split(',').map((i) => i.trim()).filter(Boolean).map(Number) }));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const edges = nodes.flatMap((node) => node.inputs.filter((from) => byId.has(from)).map((from) => ({ from, to: node.id })));
  const width = Math.min(380, Math.max(240, result.clientWidth - 40)), height = 66, gap = 58;
  const drawn = layout(nodes, edges, { across: width, lane: 30, gap: 26 });
  const picture = svg('svg', { 'aria-hidden': 'true' });
  const canvas = el('div', { class: 'canvas' });
  canvas.style.cssText = `width:${drawn.extent}px;height:${drawn.ranks * (height + gap) - gap + 26}px`;
  const top = (rank) => rank * (height + gap);
  for (const { edge, points } of drawn.lines) {
    const parts = [`M${points[0].across},${top(points[0].rank) + height}`];
    let x = points[0].across, y = top(points[0].rank) + height;
    for (const point of points.slice(1)) {
      const y2 = top(point.rank), bend = (y2 - y) / 2;
      parts.push(`C${x},${y + bend} ${point.across},${y2 - bend} ${point.across},${y2} v${point === points.at(-1) ? 0 : height}`);
      [x, y] = [point.across, y2 + height];
    }
    picture.append(svg('path', { class: 'edge', d: parts.join(' ') }));
    const words = byId.get(edge.from).properties ?? '';
    const label = svg('text', { class: 'edge-label', x: points[0].across + 9, y: top(points[0].rank) + height + 22 }, words.length > 58 ? `${words.slice(0, 57)}…` : words);
    label.append(svg('title', {}, words));
    picture.append(label);
  }
  canvas.append(picture, ...[...nodes].reverse().map((node) => {
    const { rank, across } = drawn.places.get(node.id);
    const isResult = !edges.some((e) => e.from === node.id);
    const box = el('div', { class: `op${node.inputs.length ? '' : ' source'}${isResult ? ' result' : ''}`, title: [node.op, node.detail, node.properties].filter(Boolean).join('\n') },
      el('b', {}, node.op), el('code', {}, node.detail ?? ''));
    box.style.cssText = `left:${across}px;top:${top(rank)}px;width:${width}px;height:${height}px`;
    if (isResult && node.properties) {
      picture.append(svg('text', { class: 'edge-label', x: across + 9, y: top(rank) + height + 18 }, node.properties.length > 58 ? `${node.properties.slice(0, 57)}…` : node.properties));
    }
    return box;
  }));
  return el('div', { class: 'card plan', tabindex: '0', role: 'region', 'aria-label': 'plan' }, canvas);
}

function showError(error, sent, added) {
  const parts = [el('b', {}, error.sqlstate ? `ERROR ${error.sqlstate}: ` : 'ERROR: '), error.message ?? String(error)];
  if (error.position > added) {
    const characters = [...sent];
    const at = error.position - 1;
    const from = characters.lastIndexOf('\n', at - 1) + 1;
    const end = characters.indexOf('\n', at);
    const line = characters.slice(from, end < 0 ? undefined : end).join('');
    parts.push(el('pre', {}, `${line}\n${' '.repeat(at - from)}^`));
    const offset = characters.slice(0, at - added).join('').length;
    text.setSelectionRange(offset, offset + 1);
    text.focus();
  }
  if (error.hint) parts.push(el('div', { class: 'hint' }, `Hint: ${error.hint}`));
  result.replaceChildren(el('section', { class: 'card error', role: 'alert' }, ...parts));
}

let runs = 0;
async function run(prefix = '') {
  const statement = text.value.trim() ? prefix + text.value : '';
  if (!statement) return;
  const mine = ++runs;
  hide();
  note.textContent = 'running …';
  history.replaceState(null, '', `#${encodeURIComponent(text.value)}`);
  localStorage.setItem(HISTORY, text.value);
  try {
    const answer = await sql(statement);
    if (mine !== runs) return; // a later one has been started
    setChip(chip, 'live', 'live');
    const rows = answer.columns?.length ? `${answer.rows.length} row${answer.rows.length === 1 ? '' : 's'}` : answer.command;
    note.textContent = `${rows}${answer.truncated ? ', more were cut' : ''}, ${Math.round(answer.elapsed_ms)} ms`;
    const notices = (answer.notices ?? []).map((n) => el('p', { class: 'legend' }, typeof n === 'string' ? n : n.message));
    const explained = answer.columns?.[1]?.name === 'operator' && answer.columns[0].name === 'id';
    last = answer;
    copy.hidden = !answer.columns?.length;
    result.replaceChildren(...notices, answer.columns?.length ? (explained ? plan(answer) : grid(answer)) : '');
    if (/\b(create|drop|alter)\b/i.test(statement)) loadNames();
  } catch (error) {
    if (mine !== runs) return;
    note.textContent = '';
    copy.hidden = true;
    if (error instanceof TypeError) {
      setChip(chip, 'lost', 'disconnected');
      showError({ message: 'the server cannot be reached', hint: 'It is asked again when you run the statement again.' }, statement, 0);
    } else {
      showError(error, statement, [...prefix].length);
    }
  }
}

function fromAddress() {
  let wanted = '';
  try {
    wanted = decodeURIComponent(location.hash.slice(1));
  } catch {
    wanted = location.hash.slice(1); // somebody wrote it by hand
  }
  if (wanted) text.value = wanted;
  // An address may be anybody's: it only reads by itself; what changes things waits for the button.
  if (/^\s*(SELECT|SHOW|DESCRIBE|EXPLAIN|WITH|VALUES|TABLE|FROM)\b/i.test(wanted) && !/;\s*\S/.test(wanted)) run();
}
addEventListener('hashchange', fromAddress);
text.value = localStorage.getItem(HISTORY) ?? 'SHOW TOPICS';
loadNames();
fromAddress();
