// SPDX-License-Identifier: Apache-2.0
// The five kinds of panel. Each is drawn from {columns, rows}; x, y, series are column names or chosen by type.
import { clock, el, fillCell, isNumber, isTime, number, short, token } from '/shell.js';

const series = (i) => token(`--s${i % 8}`);

const sqlPage = (sql) => `/sql.html#${encodeURIComponent(sql)}`;

/** The panel's SELECT with its variables filled in, as an address of the SQL page. */
function sqlAddress(definition, values) {
  const filled = definition.sql.replace(/\$([A-Za-z_]\w*)/g, (text, name) => (name in values ? `'${values[name].replaceAll("'", "''")}'` : text));
  return sqlPage(filled);
}

/** A panel before its data: the same frame, so nothing moves when they come. @values: gives the variables as they are. */
export function makePanel(definition, values) {
  const [x, y, w, h] = definition.at;
  const body = el('div', { class: 'body' }, el('div', { class: 'skeleton' }));
  const foot = el('div', { class: 'foot' });
  const type = definition.type.toUpperCase();
  const name = definition.title || definition.name;
  const link = el('a', { href: sqlAddress(definition, values()), title: `${name}: open its SQL` }, name);
  link.addEventListener('focus', () => { link.href = sqlAddress(definition, values()); });
  link.addEventListener('pointerdown', () => { link.href = sqlAddress(definition, values()); });
  const note = el('span', { class: 'change', title: 'against the value before' });
  const refused = definition.sql.match(/"[^"]+\$quarantine"/); // what shows some refused records leads to all of them
  if (refused) {
    note.title = 'all refused records';
    note.append(el('a', { href: sqlPage(`SELECT * FROM ${refused[0]} ORDER BY timestamp DESC LIMIT 100`) }, 'quarantine ›'));
  }
  const element = el('section', { class: `card panel ${type.toLowerCase()}-panel`, 'aria-label': name },
    el('div', { class: 'top' }, el('h2', {}, link), note), body, foot);
  element.style.gridColumn = `${x + 1} / span ${w}`;
  element.style.gridRow = `${y + 1} / span ${h}`;
  const panel = { definition, type, element, body, note, foot, heardAt: Date.now() };
  new ResizeObserver(() => { if (panel.rows) drawPanel(panel); }).observe(body);
  addEventListener('theme', () => {
    if (!element.isConnected) return;
    panel.plotKey = '';
    if (panel.rows) drawPanel(panel);
  });
  return panel;
}

/** The panel's SQL fails: its error stands where its data were. */
export function failPanel(panel, error) {
  clear(panel);
  panel.rows = undefined;
  panel.element.classList.remove('stale');
  panel.body.className = 'body scroll';
  panel.body.replaceChildren(el('div', { class: 'failure', role: 'alert' }, el('b', {}, 'This panel cannot be drawn: '), error?.message ?? 'failed',
    error?.hint ? el('div', { class: 'hint' }, error.hint) : null));
}

function clear(panel) {
  panel.plot?.destroy();
  panel.plot = undefined;
  panel.plotKey = '';
  panel.element.classList.remove('warn', 'alarm');
  if (panel.type === 'NUMBER') panel.note.replaceChildren();
}

/** Column numbers: x (named, else the first time, else the first), y (named, else all numbers), series. */
function roles(panel) {
  const names = panel.columns.map((c) => c.name);
  const { x: xName, y: yNames = [], series: seriesName } = panel.definition;
  const find = (name) => names.findIndex((n) => n.toLowerCase() === name?.toLowerCase());
  let x = find(xName);
  if (x < 0) x = panel.columns.findIndex((c) => isTime(c.type));
  if (x < 0 && panel.columns.length > 1) x = 0;
  const s = find(seriesName);
  let y = yNames.map(find).filter((i) => i >= 0);
  if (!y.length) y = panel.columns.map((c, i) => i).filter((i) => i !== x && i !== s && isNumber(panel.columns[i].type));
  return { x, y, s };
}

/** WARN and ALARM count upwards, or downwards when ALARM is the smaller one. */
function level(definition, value) {
  const { warn, alarm } = definition;
  if (value === null || value === undefined || Number.isNaN(value)) return '';
  const given = (limit) => limit !== undefined && limit !== null;
  const down = given(alarm) && given(warn) && alarm < warn;
  const over = (limit) => given(limit) && (down ? value <= limit : value >= limit);
  return over(alarm) ? 'alarm' : over(warn) ? 'warn' : '';
}

function xValue(value, type) {
  return isTime(type) ? new Date(value).getTime() / 1000 : Number(value);
}

function sortedByX(panel, x) {
  const type = panel.columns[x]?.type;
  if (x < 0 || !(isTime(type) || isNumber(type))) return panel.rows;
  return [...panel.rows].sort((a, b) => xValue(a[x], type) - xValue(b[x], type));
}

/* ---- number ---------------------------------------------------------------------------- */
function sparkline(values) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('class', 'spark');
  svg.setAttribute('viewBox', '0 0 100 30');
  svg.setAttribute('preserveAspectRatio', 'none');
  const low = Math.min(...values, 0), high = Math.max(...values), span = high - low || 1;
  const points = values.map((v, i) => `${(i / Math.max(1, values.length - 1)) * 100},${29 - ((v - low) / span) * 27}`);
  const area = document.createElementNS('http://www.w3.org/2000/svg', 'polygon');
  area.setAttribute('points', `0,30 ${points.join(' ')} 100,30`);
  area.setAttribute('fill', series(0));
  area.setAttribute('opacity', '0.16');
  const line = document.createElementNS('http://www.w3.org/2000/svg', 'polyline');
  line.setAttribute('points', points.join(' '));
  line.setAttribute('fill', 'none');
  line.setAttribute('stroke', series(0));
  line.setAttribute('stroke-width', '1.6');
  line.setAttribute('vector-effect', 'non-scaling-stroke');
  svg.append(area, line);
  return svg;
}

/** What the newest value is against the one before; from 0 there is no percentage, so the difference. */
function changeText(value, before) {
  if (before === undefined || value === undefined) return '';
  if (value === before) return '= 0 %';
  const sign = value > before ? '▲' : '▼';
  if (before === 0) return `${sign} ${value > 0 ? '+' : ''}${short2(value)}`;
  const change = Math.abs((value - before) / before) * 100;
  return `${sign} ${change < 1 ? change.toFixed(1) : change > 999 ? '> 999' : change.toFixed(0)} %`;
}

/** Numbers in cards of one size are as large as the longest of them allows: a row of them reads as one line. */
function sameSize(panel) {
  const { gridColumnEnd, gridRowEnd } = panel.element.style;
  const peers = [...(panel.element.parentElement?.querySelectorAll('.number-panel[data-digits]') ?? [])]
    .filter(({ style }) => style.gridColumnEnd === gridColumnEnd && style.gridRowEnd === gridRowEnd);
  const digits = Math.max(...peers.map((peer) => Number(peer.dataset.digits)));
  for (const peer of peers) peer.style.setProperty('--digits', digits);
}

const LEVELS = { '': '', warn: 'warning', alarm: 'alarm' };

function drawNumber(panel) {
  const { x, y } = roles(panel);
  const column = y[0] ?? 0;
  const values = sortedByX(panel, x).map((row) => row[column]).filter((v) => v !== null).map(Number);
  const value = values.at(-1);
  const text = value === undefined ? '–' : Number.isNaN(value) ? String(panel.rows[0][column]) : short2(value);
  const grade = level(panel.definition, value);
  panel.element.classList.remove('warn', 'alarm');
  if (grade) panel.element.classList.add(grade);
  panel.body.className = 'body sized';
  panel.element.dataset.digits = Math.max(2.5, text.length + (panel.definition.unit?.length ?? 0) * 0.35);
  sameSize(panel);
  panel.body.replaceChildren(el('div', { class: 'number' }, el('b', {}, text), el('span', { class: 'unit' }, panel.definition.unit ?? '')));
  panel.note.replaceChildren(grade ? el('strong', {}, LEVELS[grade]) : '', changeText(value, values.at(-2)));
  if (values.length > 2 && !values.some(Number.isNaN)) panel.body.append(sparkline(values));
}
const short2 = (value) => (Math.abs(value) >= 1e6 ? short(value) : number(value));

/* ---- bar ----------------------------------------------------------------------------------- */
function drawBar(panel) {
  const { x, y } = roles(panel);
  const { definition } = panel;
  const column = y[0];
  const limits = [['warn', definition.warn], ['alarm', definition.alarm]].filter(([, at]) => at !== null && at !== undefined);
  const top = Math.max(...panel.rows.map((row) => Number(row[column]) || 0), ...limits.map(([, at]) => at), 1e-9);
  const height = panel.body.clientHeight;
  const isWall = document.body.classList.contains('kiosk');
  const least = isWall ? Math.max(20, Math.round(innerHeight * 0.027)) : 21; // on a wall nobody scrolls: as many as can be read, and a word on the rest
  const fit = Math.max(1, Math.floor(height / least));
  const shown = isWall && panel.rows.length > fit ? panel.rows.slice(0, fit - 1) : panel.rows;
  const lines = shown.map((row) => {
    const value = Number(row[column]);
    const grade = level(definition, value);
    const track = el('span', { class: 'track' }, el('i', { class: grade }));
    track.firstChild.style.width = `${Math.max(0, (value / top) * 100)}%`;
    for (const [kind, at] of limits) {
      const mark = el('u', { class: kind, title: `${LEVELS[kind]} ${number(at)}` });
      mark.style.left = `${(at / top) * 100}%`;
      track.append(mark);
    }
    const label = isTime(panel.columns[x]?.type) ? clock(row[x]) : String(row[x] ?? '');
    return [el('span', { class: 'label', title: label }, label), track,
      el('span', { class: `value ${grade}` }, grade ? `${grade === 'alarm' ? '!! ' : '! '}` : '', `${number(value)} ${definition.unit ?? ''}`)];
  });
  const bars = el('div', { class: 'bars' }, ...lines.flat());
  if (shown.length < panel.rows.length) bars.append(el('span', { class: 'rest' }, `and ${panel.rows.length - shown.length} more`));
  const count = shown.length + (shown.length < panel.rows.length ? 1 : 0);
  const step = Math.max(least, Math.min(44, Math.floor(height / Math.max(1, count))));
  bars.style.gridAutoRows = `${step}px`;
  bars.style.fontSize = `${Math.min(22, Math.max(12, step * 0.56))}px`;
  const scroll = panel.body.scrollTop;
  panel.body.className = 'body scroll';
  focusable(panel.body, count * step > height);
  panel.body.replaceChildren(bars);
  panel.body.scrollTop = scroll;
}

/** What scrolls can be reached and scrolled by the keyboard. */
function focusable(body, scrolls) {
  if (scrolls) body.tabIndex = 0;
  else body.removeAttribute('tabindex');
}

/* ---- table ---------------------------------------------------------------------------------- */
function drawTable(panel) {
  const table = el('table');
  const headRow = table.createTHead().insertRow();
  for (const column of panel.columns) headRow.append(el('th', { class: isNumber(column.type) ? 'n' : '' }, column.name));
  const body = table.createTBody();
  for (const row of panel.rows) {
    const line = body.insertRow();
    row.forEach((value, i) => {
      const type = panel.columns[i].type;
      const cell = line.insertCell();
      fillCell(cell, isTime(type) && value ? clock(value) : value, type, panel.columns[i].name);
      if (value === null) cell.textContent = '–';
      else cell.title = String(value);
    });
  }
  const top = panel.body.scrollTop;
  panel.body.className = 'body scroll';
  panel.body.replaceChildren(table);
  if (document.body.classList.contains('kiosk')) { // nobody scrolls a wall: whole rows only
    const room = panel.body.clientHeight;
    while (body.rows.length > 1 && table.offsetHeight > room) body.deleteRow(-1);
  }
  focusable(panel.body, table.offsetHeight > panel.body.clientHeight);
  panel.body.scrollTop = top;
}

/* ---- line ------------------------------------------------------------------------------------ */
/** x values and one array of y for each line, aligned, with null where a line has no point. Texts on x stand at 0, 1, 2 … */
function lines(panel) {
  const { x, y, s } = roles(panel);
  const type = panel.columns[x]?.type;
  const ordered = isTime(type) || isNumber(type);
  const words = [];
  const names = new Map();
  const points = new Map();
  for (const row of sortedByX(panel, x)) {
    if (!ordered && !words.includes(row[x])) words.push(row[x]);
    const at = ordered ? xValue(row[x], type) : words.indexOf(row[x]);
    const values = points.get(at) ?? points.set(at, new Map()).get(at);
    for (const column of y) {
      const name = s >= 0 ? `${row[s]}${y.length > 1 ? ` ${panel.columns[column].name}` : ''}` : panel.columns[column].name;
      if (!names.has(name)) names.set(name, names.size);
      values.set(name, row[column] === null ? null : Number(row[column]));
    }
  }
  const sorted = s >= 0 ? [...names.keys()].sort() : [...names.keys()]; // a line keeps its colour whichever row comes first
  const xs = [...points.keys()];
  return { names: sorted, time: isTime(type), words: ordered ? null : words,
    data: [xs, ...sorted.map((name) => xs.map((at) => points.get(at).get(name) ?? null))] };
}

/** Labels of the x axis: as fine as the span of what is seen asks for, never twice the same. */
function timeLabels(plot, ticks) {
  const span = plot.scales.x.max - plot.scales.x.min;
  const options = span < 900 ? { hour: '2-digit', minute: '2-digit', second: '2-digit' }
    : span < 129600 ? { hour: '2-digit', minute: '2-digit' } : { month: 'short', day: 'numeric' };
  const say = (t) => (span < 129600 ? new Date(t * 1000).toLocaleTimeString('en-GB', options) : new Date(t * 1000).toLocaleDateString('en-GB', options));
  const texts = ticks.map(say);
  return texts.map((text, i) => (text === texts[i - 1] ? null : text));
}

/** Dashed lines at WARN and ALARM. */
function drawLimits(plot, definition) {
  const { ctx, bbox } = plot;
  for (const [kind, at] of [['warn', definition.warn], ['alarm', definition.alarm]]) {
    if (at === null || at === undefined || at > plot.scales.y.max) continue;
    const y = plot.valToPos(at, 'y', true);
    ctx.save();
    ctx.strokeStyle = token(`--${kind}`);
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.setLineDash(kind === 'warn' ? [4, 6] : [10, 5]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.restore();
  }
}

/** The values under the pointer, else the newest, stand beside the names. */
function tellValues(panel, plot) {
  const at = plot.cursor.idx ?? plot.data[0].length - 1;
  panel.marks?.forEach((mark, i) => { mark.textContent = number(plot.data[i + 1]?.[at] ?? null); });
}

/** What is seen of x around a single point, which uPlot would put at the edge of a whole day. */
const alone = (at, time) => (time ? [at - 60, at + 60] : [at - 1, at + 1]);

function drawLine(panel) {
  const { names, data, time, words } = lines(panel);
  const width = Math.floor(panel.body.clientWidth), height = Math.floor(panel.body.clientHeight);
  if (width < 40 || height < 40) return;
  const key = JSON.stringify([names, time, words, width, height, document.documentElement.dataset.theme]);
  if (panel.plotKey === key && panel.plot) {
    panel.plot.setData(data);
    tellValues(panel, panel.plot);
    return;
  }
  panel.plot?.destroy();
  panel.plotKey = key;
  const size = Math.round(Math.min(17, Math.max(11.5, height / 18)));
  panel.marks = names.map(() => el('b', {}));
  const legend = el('div', { class: 'names' }, ...names.map((name, i) => {
    const item = el('span', {}, el('i'), `${name} `, panel.marks[i]);
    item.firstChild.style.background = series(i);
    return item;
  }));
  legend.style.fontSize = `${size}px`;
  const place = el('div', { class: 'plot' });
  panel.body.className = 'body';
  panel.body.replaceChildren(legend, place);
  const axis = { stroke: token('--dim'), grid: { stroke: token('--grid'), width: 1 }, ticks: { stroke: token('--grid'), width: 1 },
    font: `${size}px system-ui` };
  panel.plot = new window.uPlot({
    width, height: Math.max(40, height - legend.offsetHeight), legend: { show: false }, cursor: { drag: { x: false, y: false } },
    padding: [size * 0.8, size * 2.6, 0, 0], scales: { x: { time, range: (u, low, high) => (u.data[0].length < 2 ? alone(u.data[0][0] ?? low, time) : [low, high]) }, y: { range: (u, low, high) => [Math.min(0, low ?? 0), (high ?? 1) * 1.08 || 1] } },
    axes: [{ ...axis, size: size * 2.6, space: size * 8, values: time ? timeLabels : words ? (u, ticks) => ticks.map((t) => words[t] ?? null) : undefined },
      { ...axis, size: size * 4.4, space: size * 3, values: (u, ticks) => ticks.map((t) => short(t)) }],
    hooks: { draw: [(u) => drawLimits(u, panel.definition)], setCursor: [(u) => tellValues(panel, u)] },
    series: [{}, ...names.map((name, i) => ({ label: name, stroke: series(i), width: 2, spanGaps: true, dash: i >= 8 ? [6, 4] : undefined,
      points: { show: data[0].length < 3 } }))],
  }, data, place);
  tellValues(panel, panel.plot);
}

/* ---- heat map ----------------------------------------------------------------------------------- */
function mix(a, b, t) {
  const parse = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const from = parse(a), to = parse(b);
  return `rgb(${from.map((v, i) => Math.round(v + (to[i] - v) * t)).join(',')})`;
}

/** Steps of x without holes: where times are regular, an empty minute is an empty column. */
function steps(values, time) {
  const xs = [...new Set(values)].sort((a, b) => (typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b))));
  if (!time || xs.length < 2) return { of: (value) => xs.indexOf(value), count: xs.length, name: (i) => xs[i] };
  const times = xs.map((value) => new Date(value).getTime());
  const step = Math.min(...times.slice(1).map((t, i) => t - times[i]));
  const count = Math.round((times.at(-1) - times[0]) / step) + 1;
  return count > 400 ? { of: (value) => xs.indexOf(value), count: xs.length, name: (i) => xs[i] }
    : { of: (value) => Math.round((new Date(value).getTime() - times[0]) / step), count, name: (i) => new Date(times[0] + i * step).toISOString() };
}

function drawHeat(panel) {
  const names = panel.columns.map((c) => c.name);
  const { definition } = panel;
  const find = (name) => names.findIndex((n) => n.toLowerCase() === name?.toLowerCase());
  const x = find(definition.x) >= 0 ? find(definition.x) : 0;
  const y = find(definition.y?.[0]) >= 0 ? find(definition.y[0]) : 1;
  const v = find(definition.series) >= 0 ? find(definition.series) : names.findIndex((n, i) => i !== x && i !== y);
  const time = isTime(panel.columns[x]?.type);
  const columns = steps(panel.rows.map((row) => row[x]), time);
  const ys = [...new Set(panel.rows.map((row) => row[y]))].sort();
  const top = Math.max(...panel.rows.map((row) => Number(row[v]) || 0), 1e-9);
  const width = panel.body.clientWidth, height = panel.body.clientHeight, ratio = devicePixelRatio || 1;
  if (width < 60 || height < 40) return;
  let canvas = panel.body.querySelector('canvas');
  if (!canvas) {
    canvas = el('canvas', { class: 'heat', role: 'img' });
    canvas.addEventListener('pointermove', (event) => { canvas.title = panel.tell?.(event.offsetX, event.offsetY) ?? ''; });
    panel.body.className = 'body';
    panel.body.replaceChildren(canvas);
  }
  canvas.setAttribute('aria-label', `${definition.title || definition.name}: ${ys.length} rows, ${columns.count} columns, up to ${number(top)} ${definition.unit ?? ''}`);
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const g = canvas.getContext('2d');
  g.scale(ratio, ratio);
  const size = Math.round(Math.min(16, Math.max(11, height / 26)));
  g.font = `${size}px system-ui`;
  const widest = width * 0.3, bottom = size * 1.7; // long names are cut, cells need their place
  const cut = (name) => {
    let text = String(name);
    if (g.measureText(text).width <= widest) return text;
    while (text.length > 1 && g.measureText(`${text}…`).width > widest) text = text.slice(0, Math.min(text.length - 1, Math.ceil(text.length * 0.9)));
    return `${text}…`;
  };
  const shortened = ys.map(cut);
  const left = 8 + Math.max(...shortened.map((name) => g.measureText(name).width), 10);
  const ch = (height - bottom) / Math.max(1, ys.length);
  // A young picture grows from the right, where now is, instead of being a few broad blocks.
  const shown = time ? Math.max(columns.count, 15) : columns.count;
  const cw = (width - left) / Math.max(1, shown), skip = shown - columns.count;
  const low = token('--heat0'), high = token('--heat1');
  g.fillStyle = low;
  g.fillRect(left, 0, width - left, height - bottom);
  const rowOf = new Map(ys.map((name, i) => [name, i])), cells = new Map();
  for (const row of panel.rows) {
    const i = skip + columns.of(row[x]), k = rowOf.get(row[y]);
    cells.set(`${i} ${k}`, row);
    g.fillStyle = mix(low, high, Math.sqrt(Math.max(0, Number(row[v]) || 0) / top));
    g.fillRect(left + i * cw, k * ch, Math.max(1, cw - 1), Math.max(1, ch - 1));
  }
  g.fillStyle = token('--dim');
  g.textBaseline = 'middle';
  const every = Math.ceil((size * 1.15) / ch), step = Math.max(1, Math.ceil((size * 5) / cw));
  shortened.forEach((name, i) => { if (i % every === 0) g.fillText(name, 0, (i + 0.5) * ch); });
  g.fillText('0', left, height - bottom / 2);
  const ramp = g.createLinearGradient(left + size, 0, left + size * 7, 0);
  for (let t = 0; t <= 1; t += 0.1) ramp.addColorStop(Math.min(1, t), mix(low, high, Math.sqrt(Math.min(1, t))));
  g.fillStyle = ramp;
  g.fillRect(left + size, height - bottom / 2 - size / 3, size * 6, size / 1.5);
  g.fillStyle = token('--dim');
  g.fillText(`${number(top)} ${definition.unit ?? ''}`, left + size * 7.5, height - bottom / 2);
  const legendEnd = left + size * 8.5 + g.measureText(`${number(top)} ${definition.unit ?? ''}`).width;
  g.textAlign = 'center';
  for (let i = columns.count - 1; i >= 0; i -= step) {
    const text = time ? clock(columns.name(i)).slice(0, 5) : String(columns.name(i));
    const at = left + (skip + i + 0.5) * cw, half = g.measureText(text).width / 2;
    if (at - half > legendEnd && at + half <= width) g.fillText(text, at, height - bottom / 2);
  }
  panel.tell = (px, py) => {
    const row = cells.get(`${Math.floor((px - left) / cw)} ${Math.floor(py / ch)}`);
    return row ? `${row[y]}, ${time ? clock(row[x]).slice(0, 5) : row[x]}: ${number(row[v])} ${definition.unit ?? ''}` : '';
  };
}

const drawers = { NUMBER: drawNumber, BAR: drawBar, TABLE: drawTable, LINE: drawLine, HEATMAP: drawHeat };

export function drawPanel(panel) {
  panel.element.classList.remove('stale');
  if (!panel.rows.length) {
    clear(panel);
    panel.body.className = 'body';
    panel.body.replaceChildren(el('div', { class: 'empty' }, panel.type === 'TABLE' ? 'nothing to show' : 'no data yet'));
    return;
  }
  drawers[panel.type](panel);
}
