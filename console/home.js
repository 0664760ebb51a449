// SPDX-License-Identifier: Apache-2.0
import { age, cell, listen } from '/live.js';

const table = document.querySelector('#flow');
const hint = document.querySelector('#hint');
const empty = document.querySelector('#empty');
hint.textContent = `psql -h 127.0.0.1 -p 5433 -U leat leat -c "CREATE TOPIC scans (package_id TEXT, site TEXT)"
echo '{"package_id":"p1","site":"HAM2"}' | kcat -P -b 127.0.0.1:9092 -t scans
curl -H 'Content-Type: application/json' -d '{"sql":"SELECT * FROM scans"}' ${location.origin}/api/sql`;

function draw(flow) {
  const body = table.tBodies[0];
  body.replaceChildren();
  empty.hidden = hint.hidden = flow.nodes.length > 0;
  table.hidden = flow.nodes.length === 0;
  for (const node of flow.nodes) {
    const row = body.insertRow();
    cell(row, node.kind);
    const name = cell(row, node.kind === 'dashboard' ? '' : node.name);
    if (node.kind === 'dashboard') {
      const link = document.createElement('a');
      link.href = `/d/${encodeURIComponent(node.name)}`;
      link.textContent = node.name;
      name.append(link);
    }
    cell(row, (node.inputs ?? []).join(', '));
    cell(row, node.rows_total?.toLocaleString('en'), 'n');
    cell(row, node.rows_per_s?.toLocaleString('en', { maximumFractionDigits: 1 }), 'n');
    cell(row, node.lag?.toLocaleString('en'), 'n');
    cell(row, age(node.data_age_ms), 'n');
    cell(row, [node.state, node.detail].filter(Boolean).join(': '));
  }
}

listen('/api/flow/stream', { flow: draw }, document.querySelector('#status'));
