// SPDX-License-Identifier: Apache-2.0
// The connection to the server's event streams and the chip that shows its state.
export function listen(url, handlers, chip) {
  const source = new EventSource(url);
  const show = (text, kind) => { chip.textContent = text; chip.className = `chip ${kind}`; };
  source.onopen = () => show('live', 'live');
  source.onerror = () => show('disconnected', 'lost');
  source.addEventListener('status', (event) => {
    const status = JSON.parse(event.data);
    if (status.connected) show('live', 'live');
    else show(status.error?.message ?? 'disconnected', 'lost');
  });
  for (const [name, handle] of Object.entries(handlers))
    source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
  return source;
}

export function cell(row, text, className = '') {
  const td = row.insertCell();
  td.textContent = text ?? '';
  td.className = className;
  return td;
}

export function age(ms) {
  if (ms == null) return '';
  if (ms < 1000) return `${ms} ms`;
  return ms < 120000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 60000)} min`;
}
