// SPDX-License-Identifier: Apache-2.0
import { age, cell, listen } from '/live.js';

const name = decodeURIComponent(location.pathname.slice(3));
const query = new URLSearchParams(location.search);
query.delete('kiosk');
const panels = [];
const chip = document.querySelector('#status');

function section(panel) {
  const element = document.createElement('section');
  const title = document.createElement('h2');
  title.textContent = panel.title ?? panel.name;
  const note = document.createElement('p');
  const table = document.createElement('table');
  element.append(title, note, table);
  document.querySelector('#panels').append(element);
  return { note, table, rows: [], keys: 0, columns: [] };
}

function draw(panel) {
  panel.table.replaceChildren();
  const head = panel.table.createTHead().insertRow();
  for (const column of panel.columns) cell(head, column.name);
  const body = panel.table.createTBody();
  for (const values of panel.rows) {
    const row = body.insertRow();
    for (const value of values) cell(row, value, typeof value === 'number' ? 'n' : '');
  }
}

function fresh(event) {
  const { note } = panels[event.panel];
  note.textContent = `data age ${age(event.data_age_ms)}` +
    (event.newest_event_time ? `, newest event at ${event.newest_event_time}` : '');
}

function snapshot(event) {
  Object.assign(panels[event.panel], event.data);
  draw(panels[event.panel]);
  fresh(event);
}

function patch(event) {
  const panel = panels[event.panel];
  const { set = [], remove = [], keys = 0 } = event.data;
  const key = (row) => JSON.stringify(row.slice(0, keys));
  const rows = new Map(panel.rows.map((row) => [key(row), row]));
  for (const gone of remove) rows.delete(key(gone));
  for (const row of set) rows.set(key(row), row);
  panel.rows = [...rows.values()];
  draw(panel);
  fresh(event);
}

function failed(event) {
  panels[event.panel].note.textContent = event.data?.message ?? 'failed';
}

const answer = await fetch(`/api/dashboards/${encodeURIComponent(name)}`);
const definition = await answer.json();
if (definition.error) {
  chip.textContent = definition.error.message;
  chip.className = 'chip lost';
} else {
  document.title = document.querySelector('#title').textContent = definition.title ?? name;
  for (const panel of definition.panels) panels.push(section(panel));
  const path = `/api/dashboards/${encodeURIComponent(name)}/stream`;
  listen(query.size ? `${path}?${query}` : path, { snapshot, patch, age: fresh, failed }, chip);
}
