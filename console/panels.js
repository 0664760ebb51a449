// SPDX-License-Identifier: Apache-2.0
// The five kinds of panel. Each is drawn from {columns, rows}; x, y, series are column names or chosen by type.
import { clock, el, fillCell, isNumber, isTime, number, short, token } from '/shell.js';

const series = (i) => token(`--s${i % 8}`);

export function makePanel(definition) {
  const [x, y, w, h] = definition.at;
  const body = el('div', { class: 'body' }, el('div', { class: 'empty' }, 'no data yet'));
  const foot = el('div', { class: 'foot' });
  const type = definition.type.toUpperCase();
  const element = el('section', { class: `card panel ${type.toLowerCase()}-panel`, 'aria-label': definition.title },
    el('h2', { title: definition.title }, definition.title || definition.name), body, foot);
  element.style.gridColumn = `${x + 1} / span ${w}`;
  element.style.gridRow = `${y + 1} / span ${h}`;
  const panel = { definition, type, element, body, foot, heardAt: Date.now() };
  new ResizeObserver(() => { if (panel.rows) drawPanel(panel); }).observe(body);
  addEventListener('theme', () => { panel.plotKey = ''; if (panel.rows) drawPanel(panel); });
  return panel;
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

function drawNumber(panel) {
  const { x, y } = roles(panel);
  const column = y[0] ?? 0;
  const values = sortedByX(panel, x).map((row) => row[column]).filter((v) => v !== null).map(Number);
  const value = values.at(-1);
  const before = values.at(-2);
  const change = before ? ((value - before) / Math.abs(before)) * 100 : null;
  panel.element.classList.remove('warn', 'alarm');
  const grade = level(panel.definition, value);
  if (grade) panel.element.classList.add(grade);
  panel.body.replaceChildren(el('div', { class: 'number' }, el('b', {}, value === undefined ? '–' : short2(value)),
    el('span', { class: 'unit' }, panel.definition.unit ?? ''),
    change === null ? null : el('span', { class: 'change' }, `${change >= 0 ? '▲' : '▼'} ${Math.abs(change).toFixed(0)} %`)));
  if (values.length > 2) panel.body.append(sparkline(values));
}
const short2 = (value) => (Math.abs(value) >= 1e6 ? short(value) : number(value));

/* ---- bar ----------------------------------------------------------------------------------- */
function drawBar(panel) {
  const { x, y } = roles(panel);
  const column = y[0];
  const top = Math.max(...panel.rows.map((row) => Number(row[column]) || 0), 1e-9);
  const parts = [];
  for (const row of panel.rows) {
    const value = Number(row[column]);
    const bar = el('i', { class: level(panel.definition, value) });
    bar.style.width = `${Math.max(0, (value / top) * 100)}%`;
    const label = isTime(panel.columns[x]?.type) ? clock(row[x]) : row[x];
    parts.push(el('span', {}, String(label ?? '')), el('span', {}, bar), el('span', {}, `${number(value)} ${panel.definition.unit ?? ''}`));
  }
  panel.body.className = 'body scroll';
  panel.body.replaceChildren(el('div', { class: 'bars' }, ...parts));
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
      fillCell(line.insertCell(), isTime(type) && value ? clock(value) : value, type);
    });
  }
  const top = panel.body.scrollTop;
  panel.body.className = 'body scroll';
  panel.body.replaceChildren(table);
  panel.body.scrollTop = top;
}

/* ---- line ------------------------------------------------------------------------------------ */
/** x values and one array of y for each line, aligned, with null where a line has no point. */
function lines(panel) {
  const { x, y, s } = roles(panel);
  const type = panel.columns[x]?.type;
  const names = new Map();
  const points = new Map();
  for (const row of sortedByX(panel, x)) {
    const at = xValue(row[x], type);
    const values = points.get(at) ?? points.set(at, new Map()).get(at);
    for (const column of y) {
      const name = s >= 0 ? `${row[s]}${y.length > 1 ? ` ${panel.columns[column].name}` : ''}` : panel.columns[column].name;
      if (!names.has(name)) names.set(name, names.size);
      values.set(name, row[column] === null ? null : Number(row[column]));
    }
  }
  const xs = [...points.keys()];
  return { names: [...names.keys()], time: isTime(type),
    data: [xs, ...[...names.keys()].map((name) => xs.map((at) => points.get(at).get(name) ?? null))] };
}

function drawLine(panel) {
  const { names, data, time } = lines(panel);
  const width = Math.floor(panel.body.clientWidth), height = Math.floor(panel.body.clientHeight);
  const legend = names.length > 1 && height > 150 ? 22 * Math.ceil(names.length / Math.max(1, Math.floor(width / 150))) : 0;
  const key = JSON.stringify([names, time, width, height, document.documentElement.dataset.theme]);
  if (panel.plotKey === key) {
    panel.plot.setData(data);
    return;
  }
  panel.plotKey = key;
  panel.plot?.destroy();
  panel.body.replaceChildren();
  const axis = { stroke: token('--dim'), grid: { stroke: token('--grid'), width: 1 }, ticks: { stroke: token('--grid'), width: 1 },
    font: '11.5px system-ui' };
  panel.plot = new window.uPlot({
    width, height: Math.max(60, height - legend), legend: { show: names.length > 1, live: false },
    cursor: { drag: { x: false, y: false } }, scales: { x: { time }, y: { range: (u, low, high) => [Math.min(0, low ?? 0), (high ?? 1) * 1.05 || 1] } },
    axes: [{ ...axis, values: time ? (u, ticks) => ticks.map((t) => new Date(t * 1000).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })) : undefined, space: 90 },
      { ...axis, size: 52, values: (u, ticks) => ticks.map((t) => short(t)) }],
    series: [{}, ...names.map((name, i) => ({ label: name, stroke: series(i), width: 2, spanGaps: true, points: { show: data[0].length < 3 } }))],
  }, data, panel.body);
}

/* ---- heat map ----------------------------------------------------------------------------------- */
function mix(a, b, t) {
  const parse = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const from = parse(a), to = parse(b);
  return `rgb(${from.map((v, i) => Math.round(v + (to[i] - v) * t)).join(',')})`;
}

function drawHeat(panel) {
  const names = panel.columns.map((c) => c.name);
  const { definition } = panel;
  const find = (name) => names.findIndex((n) => n.toLowerCase() === name?.toLowerCase());
  const x = find(definition.x) >= 0 ? find(definition.x) : 0;
  const y = find(definition.y?.[0]) >= 0 ? find(definition.y[0]) : 1;
  const v = find(definition.series) >= 0 ? find(definition.series) : names.findIndex((n, i) => i !== x && i !== y);
  const time = isTime(panel.columns[x]?.type);
  const xs = [...new Set(panel.rows.map((row) => row[x]))].sort();
  const ys = [...new Set(panel.rows.map((row) => row[y]))].sort();
  const top = Math.max(...panel.rows.map((row) => Number(row[v]) || 0), 1e-9);
  const width = panel.body.clientWidth, height = panel.body.clientHeight, ratio = devicePixelRatio || 1;
  let canvas = panel.body.querySelector('canvas');
  if (!canvas) panel.body.replaceChildren(canvas = el('canvas', { class: 'heat', role: 'img', 'aria-label': definition.title }));
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const g = canvas.getContext('2d');
  g.scale(ratio, ratio);
  g.font = '11px system-ui';
  const left = 8 + Math.max(...ys.map((name) => g.measureText(String(name)).width), 10), bottom = 16;
  const cw = (width - left) / Math.max(1, xs.length), ch = (height - bottom) / Math.max(1, ys.length);
  const at = new Map(xs.map((name, i) => [name, i])), row = new Map(ys.map((name, i) => [name, i]));
  const low = token('--heat0'), high = token('--heat1');
  g.fillStyle = low;
  g.fillRect(left, 0, width - left, height - bottom);
  for (const cells of panel.rows) {
    g.fillStyle = mix(low, high, Math.sqrt(Math.max(0, Number(cells[v]) || 0) / top));
    g.fillRect(left + at.get(cells[x]) * cw, row.get(cells[y]) * ch, Math.max(1, cw - 1), Math.max(1, ch - 1));
  }
  g.fillStyle = token('--dim');
  g.textBaseline = 'middle';
  const every = Math.ceil(13 / ch), step = Math.ceil(64 / cw);
  ys.forEach((name, i) => { if (i % every === 0) g.fillText(String(name), 0, (i + 0.5) * ch); });
  g.textAlign = 'center';
  xs.forEach((name, i) => {
    if (i % step === 0 && left + (i + 0.5) * cw < width - 20) g.fillText(time ? clock(name).slice(0, 5) : String(name), left + (i + 0.5) * cw, height - 6);
  });
}

const drawers = { NUMBER: drawNumber, BAR: drawBar, TABLE: drawTable, LINE: drawLine, HEATMAP: drawHeat };

export function drawPanel(panel) {
  if (!panel.rows.length) {
    panel.plot?.destroy();
    panel.plot = undefined;
    panel.plotKey = '';
    panel.body.replaceChildren(el('div', { class: 'empty' }, panel.type === 'TABLE' ? 'nothing to show' : 'no data yet'));
    return;
  }
  drawers[panel.type](panel);
}
