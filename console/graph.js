// SPDX-License-Identifier: Apache-2.0
// Layered drawing of a directed graph: ranks by the longest way from a source, lines that pass a rank get a lane of their
// own there, so no line runs behind a card; the order in a rank follows the neighbours (barycentres, a few sweeps).
//
// "along" is the direction of flow, "across" the other one; the caller turns them into x and y.

function rankAll(nodes, edges) {
  const into = new Map(nodes.map((node) => [node.id, []]));
  for (const { from, to } of edges) into.get(to).push(from);
  const ranks = new Map();
  const rank = (id, path) => {
    if (ranks.has(id)) return ranks.get(id);
    if (path.has(id)) return 0; // a circle, which no real flow has
    path.add(id);
    const value = Math.max(-1, ...into.get(id).map((from) => rank(from, path))) + 1;
    path.delete(id);
    ranks.set(id, value);
    return value;
  };
  for (const node of nodes) rank(node.id, new Set());
  const last = Math.max(0, ...nodes.filter((n) => !n.last).map((n) => ranks.get(n.id))) + 1;
  for (const node of nodes) if (node.last) ranks.set(node.id, last);
  return ranks;
}

/** Items of each rank: nodes, and lanes for edges that pass. Each edge gets `via`, its items from start to end. */
function fillRanks(nodes, edges, ranks) {
  const layers = [];
  const items = new Map();
  const add = (rank, item) => {
    (layers[rank] ??= []).push(item);
    return Object.assign(item, { rank, before: [], after: [] });
  };
  for (const node of nodes) items.set(node.id, add(ranks.get(node.id), { node }));
  const lines = edges.map((edge) => {
    const via = [items.get(edge.from)];
    for (let r = ranks.get(edge.from) + 1; r < ranks.get(edge.to); r++) via.push(add(r, { lane: edge }));
    via.push(items.get(edge.to));
    for (let i = 1; i < via.length; i++) {
      via[i].before.push(via[i - 1]);
      via[i - 1].after.push(via[i]);
    }
    return { edge, via };
  });
  for (let r = 0; r < layers.length; r++) layers[r] ??= [];
  return { layers, items, lines };
}

function sweep(layers) {
  const number = (layer) => layer.forEach((item, i) => { item.place = layer.length > 1 ? i / (layer.length - 1) : 0.5; });
  const mean = (list, other) => (list.length ? list.reduce((sum, item) => sum + item.place, 0) / list.length : other);
  layers.forEach(number);
  for (let turn = 0; turn < 8; turn++) {
    const down = turn % 2 === 0;
    for (const layer of down ? layers : [...layers].reverse()) {
      for (const item of layer) item.wish = mean(down ? item.before : item.after, item.place);
      layer.sort((a, b) => a.wish - b.wish);
      number(layer);
    }
  }
}

/**
 * @param sizes {across, lane, gap}: the extent of a card and of a lane across the flow, and the space between.
 * @returns {ranks: number of ranks, extent: across, places: id → {rank, across}, lines: [{edge, points: [{rank, across}]}]}
 * `across` is a card's beginning; points are where a line leaves, passes and arrives.
 */
export function layout(nodes, edges, sizes) {
  const known = new Set(nodes.map((node) => node.id));
  const { layers, items, lines } = fillRanks(nodes, edges.filter((e) => known.has(e.from) && known.has(e.to)),
    rankAll(nodes, edges.filter((e) => known.has(e.from) && known.has(e.to))));
  sweep(layers);
  const size = (item) => (item.node ? sizes.across : sizes.lane);
  const lengths = layers.map((layer) => layer.reduce((sum, item) => sum + size(item) + sizes.gap, -sizes.gap));
  const extent = Math.max(0, ...lengths);
  layers.forEach((layer, r) => {
    let at = (extent - lengths[r]) / 2;
    for (const item of layer) {
      item.across = at;
      at += size(item) + sizes.gap;
    }
  });
  // Lines leave and reach a card at points of their own, in the order of where they come from.
  const middle = (item) => item.across + size(item) / 2;
  const port = (item, list, other) => {
    const sorted = [...list].sort((a, b) => middle(a) - middle(b));
    return item.across + (size(item) * (sorted.indexOf(other) + 1)) / (list.length + 1);
  };
  return {
    ranks: layers.length,
    extent,
    places: new Map([...items].map(([id, item]) => [id, { rank: item.rank, across: item.across }])),
    lines: lines.map(({ edge, via }) => ({
      edge,
      fromCount: via[0].after.length,
      toCount: via.at(-1).before.length,
      points: via.map((item, i) => ({ rank: item.rank,
        across: item.lane ? middle(item) : i === 0 ? port(item, item.after, via[1]) : port(item, item.before, via[i - 1]) })),
    })),
  };
}

export function svg(tag, attributes, text) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}
