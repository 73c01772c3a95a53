// Where nodes are: first in units of the tree, then on the screen.

// Nodes that are seen: those above which nothing is collapsed; a collapsed node stands for its tips.
function seenTree() {
  const hidden = new Uint8Array(tree.n);
  for (let v = tree.n - 2; v >= 0; v--) {
    const p = tree.parent[v];
    hidden[v] = hidden[p] || state.collapsed.has(p) ? 1 : 0;
  }
  const isEnd = (v) => v < nTips || state.collapsed.has(v);
  // Rows of the ends, in order; a collapsed clade takes more the larger it is.
  const row = new Float64Array(tree.n);
  const half = new Float64Array(tree.n);
  let rows = 0;
  const ends = [];
  const stack = [tree.root];
  while (stack.length) {
    const v = stack.pop();
    if (isEnd(v)) {
      const high = v < nTips ? 1 : Math.min(tree.size[v], 2 + Math.log2(tree.size[v]));
      row[v] = rows + high / 2;
      half[v] = high / 2;
      rows += high;
      ends.push(v);
    } else {
      const group = tree.children[v];
      for (let i = group.length - 1; i >= 0; i--) stack.push(group[i]);
    }
  }
  for (let v = 0; v < tree.n; v++) {
    if (hidden[v] || isEnd(v)) continue;
    const group = tree.children[v];
    row[v] = (row[group[0]] + row[group[group.length - 1]]) / 2;
  }
  let deepest = 0;
  const reach = Float64Array.from(tree.depth);
  for (let v = 0; v < tree.n - 1; v++) reach[tree.parent[v]] = Math.max(reach[tree.parent[v]], reach[v]);
  for (const v of ends) deepest = Math.max(deepest, reach[v]);
  return { hidden, isEnd, row, half, rows, ends, reach, deepest: deepest || 1 };
}

// A view onto a plane: zoom and shift along each axis.
class Camera {
  constructor() { this.reset(); }

  reset() { this.zx = 1; this.zy = 1; this.ox = 0; this.oy = 0; }

  // Zoom so that the point (x, y) of the screen stays where it is.
  zoom(fx, fy, x, y, least = 1, most = 4000) {
    const nx = Math.min(Math.max(this.zx * fx, least), most);
    const ny = Math.min(Math.max(this.zy * fy, least), most);
    this.ox = x - (x - this.ox) * (nx / this.zx);
    this.oy = y - (y - this.oy) * (ny / this.zy);
    this.zx = nx;
    this.zy = ny;
  }

  x(v) { return v * this.zx + this.ox; }

  y(v) { return v * this.zy + this.oy; }
}

// Places of all seen nodes on a screen of this size: x, y, and the angle at which a tip's name stands.
function place(seen, camera, width, height) {
  const x = new Float64Array(tree.n);
  const y = new Float64Array(tree.n);
  const angle = new Float64Array(tree.n);
  const out = { x, y, angle, shape: state.shape, pitch: 0, centre: null };
  if (state.shape === 'rectangular') {
    const room = Math.min(nameRoom(seen, 12), width * 0.42);
    const across = width - room - 30;
    for (let v = 0; v < tree.n; v++) {
      if (seen.hidden[v]) continue;
      x[v] = camera.x(14 + tree.depth[v] / seen.deepest * across);
      y[v] = camera.y(10 + seen.row[v] / seen.rows * (height - 40));
    }
    out.pitch = (height - 40) / seen.rows * camera.zy;
    out.room = room;
    out.unit = across / seen.deepest * camera.zx;
    return out;
  }
  if (state.shape === 'circular') {
    const size = 10;
    const room = Math.min(nameRoom(seen, size), Math.min(width, height) * 0.13);
    const radius = Math.max(Math.min(width, height) / 2 - room - 14, 40);
    const [cx, cy] = [width / 2, height / 2];
    const turn = (row) => (row / seen.rows) * 2 * Math.PI * 0.985 - Math.PI / 2;
    for (let v = 0; v < tree.n; v++) {
      if (seen.hidden[v]) continue;
      const a = turn(seen.row[v]);
      const r = radius * tree.depth[v] / seen.deepest;
      angle[v] = a;
      x[v] = camera.x(cx + r * Math.cos(a));
      y[v] = camera.y(cy + r * Math.sin(a));
    }
    out.centre = [camera.x(cx), camera.y(cy)];
    out.radius = (v) => radius * tree.depth[v] / seen.deepest * camera.zx;
    out.turn = turn;
    out.pitch = 2 * Math.PI * radius * camera.zx / seen.rows;
    out.unit = radius / seen.deepest * camera.zx;
    return out;
  }
  const xy = tree.unrooted;
  let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let v = 0; v < tree.n; v++) {
    x0 = Math.min(x0, xy[2 * v]); x1 = Math.max(x1, xy[2 * v]);
    y0 = Math.min(y0, xy[2 * v + 1]); y1 = Math.max(y1, xy[2 * v + 1]);
  }
  const edge = Math.min(nameRoom(seen, 10), 0.2 * Math.min(width, height));
  const scale = Math.min((width - 2 * edge) / (x1 - x0 || 1), (height - 2 * edge) / (y1 - y0 || 1));
  for (let v = 0; v < tree.n; v++) {
    x[v] = camera.x(width / 2 + (xy[2 * v] - (x0 + x1) / 2) * scale);
    y[v] = camera.y(height / 2 - (xy[2 * v + 1] - (y0 + y1) / 2) * scale);
  }
  for (let v = 0; v < tree.n - 1; v++) {
    const p = tree.parent[v];
    angle[v] = Math.atan2(y[v] - y[p], x[v] - x[p]);
  }
  out.unit = scale * camera.zx;
  return out;
}

const longest = 30;
const endName = (v) => (v < nTips ? short(names[v], longest) : `${tree.size[v].toLocaleString('en')} models: ${short(names[tree.low[v]], 20)} …`);

let roomKept = [null, 0];
// The room that most names need.
function nameRoom(seen, size) {
  if (roomKept[0] !== seen) {
    const step = Math.max(1, Math.floor(seen.ends.length / 400));
    let room = 0;
    for (let i = 0; i < seen.ends.length; i += step) room = Math.max(room, widthOf(endName(seen.ends[i]), 1));
    roomKept = [seen, room];
  }
  return roomKept[1] * size + 14;
}

// A length of 1, 2 or 5 times a power of ten, for the scale.
function roundLength(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  for (const m of [5, 2, 1]) if (m * power <= most) return m * power;
  return power;
}
