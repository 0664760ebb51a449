// SPDX-License-Identifier: Apache-2.0
// SQL: editor with completion, result grid, the error's place, EXPLAIN as a graph.
import { el, fillCell, head, isNumber, quoteName, setChip, sql } from '/shell.js';

const KEYWORDS = ('SELECT FROM WHERE GROUP BY ORDER BY HAVING LIMIT JOIN LEFT JOIN ON AS WITH UNION ALL DISTINCT CASE WHEN THEN ELSE END ' +
  'AND OR NOT NULL IS IN BETWEEN LIKE INTERVAL CREATE TOPIC CREATE VIEW CREATE MATERIALIZED VIEW CREATE DASHBOARD PANEL INSERT INTO VALUES ' +
  'WATERMARK FOR PRIMARY KEY DROP ALTER SHOW TOPICS SHOW VIEWS SHOW JOBS SHOW PIPELINES SHOW DASHBOARDS DESCRIBE EXPLAIN EMIT CHANGES ' +
  'EMIT ON WINDOW CLOSE FILTER tumble( hop( count( sum( avg( min( max(').split(/ (?=[A-Za-z(]+)/);
const HISTORY = 'leat.history';

const chip = head('sql');
const main = document.querySelector('main');
const side = el('aside', { class: 'card' });
const text = el('textarea', { spellcheck: 'false', 'aria-label': 'SQL', autocomplete: 'off' });
const menu = el('ul', { class: 'card complete', role: 'listbox', hidden: true });
const note = el('span', { class: 'note' });
const result = el('div');
main.append(side, el('section', {}, el('div', { class: 'editor' }, text, menu),
  el('div', { class: 'bar' }, el('button', { class: 'primary', onclick: () => run() }, 'Run'),
    el('button', { onclick: () => run('EXPLAIN ') }, 'Explain'), note), result));

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

function showMenu() {
  const before = text.value.slice(0, text.selectionStart).split('\n');
  menu.style.left = `${Math.min(12 + before.at(-1).length * 8.1, text.clientWidth - 200)}px`;
  menu.style.top = `${14 + before.length * 20.3 - text.scrollTop}px`;
  menu.replaceChildren(...choices.map(([name, kind], i) => el('li', { role: 'option', 'aria-selected': String(i === chosen),
    onmousedown: (event) => { event.preventDefault(); chosen = i; take(); } }, name, el('span', {}, kind))));
  menu.hidden = false;
}

function hide() {
  menu.hidden = true;
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
function grid(answer) {
  const table = el('table');
  const line = table.createTHead().insertRow();
  for (const column of answer.columns) line.append(el('th', { class: isNumber(column.type) ? 'n' : '', title: column.type }, column.name));
  const body = table.createTBody();
  for (const values of answer.rows) {
    const row = body.insertRow();
    values.forEach((value, i) => fillCell(row.insertCell(), value, answer.columns[i].type));
  }
  return el('div', { class: 'card grid', tabindex: '0' }, table);
}

function plan(answer) {
  const ops = answer.rows.map(([, op, detail, properties]) => {
    const depth = (op ?? '').match(/^ */)[0].length / 2;
    const box = el('div', { class: 'op' }, el('b', {}, (op ?? '').trim()), ' ', el('code', {}, detail ?? ''),
      properties ? el('div', { class: 'props' }, properties) : null);
    box.style.marginLeft = `${depth * 28}px`;
    return box;
  });
  return el('div', { class: 'card plan' }, ...ops);
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

async function run(prefix = '') {
  const statement = text.value.trim() ? prefix + text.value : '';
  if (!statement) return;
  note.textContent = 'running …';
  history.replaceState(null, '', `#${encodeURIComponent(text.value)}`);
  localStorage.setItem(HISTORY, text.value);
  try {
    const answer = await sql(statement);
    const rows = answer.columns?.length ? `${answer.rows.length} row${answer.rows.length === 1 ? '' : 's'}` : answer.command;
    note.textContent = `${rows}${answer.truncated ? ', more were cut' : ''}, ${Math.round(answer.elapsed_ms)} ms`;
    const notices = (answer.notices ?? []).map((n) => el('p', { class: 'legend' }, typeof n === 'string' ? n : n.message));
    const explained = answer.columns?.[1]?.name === 'operator';
    result.replaceChildren(...notices, answer.columns?.length ? (explained ? plan(answer) : grid(answer)) : '');
    if (/\b(create|drop|alter)\b/i.test(statement)) loadNames();
  } catch (error) {
    note.textContent = '';
    showError(error, statement, [...prefix].length);
  }
}

text.value = location.hash ? decodeURIComponent(location.hash.slice(1)) : localStorage.getItem(HISTORY) ?? 'SHOW TOPICS';
await loadNames();
if (location.hash) run();
