// The data, as they come with the page, and what every part needs of them.

const data = JSON.parse(document.getElementById('data').textContent);

function bytes(text) {
  const raw = atob(text);
  const out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out;
}

const floats = (text) => new Float32Array(bytes(text).buffer);

const names = data.names;
const nTips = names.length;
const near = {
  k: data.near.k,
  index: new Uint32Array(bytes(data.near.index).buffer),
  distance: floats(data.near.distance),
  lower: data.near.lower && floats(data.near.lower),
  upper: data.near.upper && floats(data.near.upper),
};

// The tree: nodes 0..nTips-1 are the tips in the order in which they are shown; children have
// smaller numbers than their parents, and the last node is the root.
const tree = (() => {
  const parent = Int32Array.from(data.tree.parent);
  const n = parent.length;
  const known = data.tree.length.slice(0, n - 1).some((x) => x !== null);
  const length = Float64Array.from(data.tree.length, (x) => (known ? Math.max(x ?? 0, 0) : 1));
  length[n - 1] = 0;
  const children = Array.from({ length: n }, () => []);
  const low = new Int32Array(n).fill(n);
  const size = new Int32Array(n);
  for (let v = 0; v < n; v++) {
    if (v < nTips) { low[v] = v; size[v] = 1; }
    if (v === n - 1) break;
    const p = parent[v];
    low[p] = Math.min(low[p], low[v]);
    size[p] += size[v];
    children[p].push(v);
  }
  for (const group of children) group.sort((a, b) => low[a] - low[b]);
  const depth = new Float64Array(n);
  for (let v = n - 2; v >= 0; v--) depth[v] = depth[parent[v]] + length[v];
  return { n, parent, length, children, low, size, depth, known, root: n - 1, unrooted: floats(data.tree.unrooted) };
})();

// Training runs: each tip is a checkpoint of one run at most.
const runs = data.runs || [];
const runOf = new Map(runs.flatMap((run, r) => run.tips.map((tip, i) => [tip, [r, i]])));
const stepText = (step) => step.toLocaleString('en', { maximumSignificantDigits: 6 });

// What the reader has chosen. Parts draw themselves anew when told that it changed.
const state = {
  shape: 'rectangular',
  column: -1,
  chosen: -1,     // a node: a tip or a clade
  hovered: -1,
  beside: -1,     // the tip of the column, where the pointer is on the heat map
  run: -1,        // a training run, whose checkpoints are marked
  matched: new Set(),
  collapsed: new Set(),
  support: false,
};
const listeners = [];
let waiting = false;

function changed() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; drawAll(); });
}

function drawAll() { for (const draw of listeners) draw(); }

const at = (id) => document.getElementById(id);

// An element with text and parts; text is never taken for markup.
function element(tag, options = {}, ...parts) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(options)) {
    if (key === 'class') made.className = value;
    else if (key === 'click') made.addEventListener('click', value);
    else made.setAttribute(key, value);
  }
  made.append(...parts);
  return made;
}

function say(text) { at('says').textContent = text; }

// Whether a tip, or a clade, is to be seen at once in every view.
const single = (node) => node === state.chosen || node === state.hovered || node === state.beside || state.matched.has(node);
const marked = (node) => single(node) || (state.run >= 0 && runOf.get(node)?.[0] === state.run);

function light(node, beside = -1) {
  if (state.hovered === node && state.beside === beside) return;
  state.hovered = node;
  state.beside = beside;
  changed();
}

const isTip = (node) => node >= 0 && node < nTips;
const short = (text, most = 44) => {
  const letters = Array.from(text);
  return letters.length > most ? letters.slice(0, most - 1).join('') + '…' : text;
};
const digits = (x, n = 4) => (x === null || x === undefined || Number.isNaN(x) ? '–' : x === Infinity ? '∞' : x.toFixed(n));

function nodeName(node) {
  if (isTip(node)) return names[node];
  const label = data.tree.labels && data.tree.labels[node - nTips];
  return label || `clade of ${tree.size[node].toLocaleString('en')} models`;
}

function nodeWords(node) {
  const words = [nodeName(node)];
  const length = data.tree.length[node];
  if (node !== tree.root && length !== null) words.push(`branch length ${digits(length)}`);
  const support = data.tree.support[node];
  if (support !== null && !isTip(node)) words.push(`support ${support}`);
  if (isTip(node) && state.column >= 0) {
    const column = data.columns[state.column];
    words.push(`${column.name}: ${cell(column, node) || 'unknown'}`);
  }
  if (runOf.has(node)) {
    const [r, i] = runOf.get(node);
    words.push(`step ${stepText(runs[r].steps[i])} of ${runs[r].name}`);
  }
  if (!isTip(node)) words.push(`${names[tree.low[node]]} … ${names[tree.low[node] + tree.size[node] - 1]}`);
  return words;
}

function cell(column, tip) {
  if (column.texts) return column.texts[tip];
  if (column.kind === 'number') return column.values[tip] === null ? '' : String(column.values[tip]);
  return column.codes[tip] < 0 ? '' : column.levels[column.codes[tip]];
}

function choose(node, from) {
  state.chosen = node;
  say(nodeWords(node).join(', '));
  for (const tell of choosers) tell(node, from);
  changed();
}
const choosers = [];
