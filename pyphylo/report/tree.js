// The tree on its canvas.

let seen = seenTree();
let placed = null;
let focused = tree.root;

const treeBoard = new Board('tree', {
  draw: (pen, w, h) => { placed = place(seen, treeBoard.camera, w, h); drawTree(pen, placed, w, h); },
  zoom: (factor, x, y, across) => zoomTree(factor, x, y, across),
  hover: (x, y) => {
    const node = nodeAt(x, y);
    light(node);
    return node < 0 ? null : nodeWords(node);
  },
  leave: () => light(-1),
  press: (x, y) => { const node = nodeAt(x, y); if (node < 0) clearChoice(); else { focused = node; choose(node, 'tree'); } },
  twice: (x, y) => { const node = nodeAt(x, y); if (node >= 0) toggle(node); },
  key: (e) => treeKey(e),
});

function zoomTree(factor, x, y, across) {
  const flat = state.shape === 'rectangular';
  treeBoard.camera.zoom(!flat || across ? factor : 1, flat && across ? 1 : factor, x, y, flat ? 1 : 0.3);
  if (flat && !across && treeBoard.camera.zy === 1) treeBoard.camera.oy = 0;
  if (flat && across && treeBoard.camera.zx === 1) treeBoard.camera.ox = 0;
  changed();
}

function drawTree(pen, at2, w, h) {
  const { x, y } = at2;
  const groups = new Map();
  const add = (colour, a, b, c, d) => {
    if (Math.max(a, c) < -5 || Math.min(a, c) > w + 5 || Math.max(b, d) < -5 || Math.min(b, d) > h + 5) return;
    let flat = groups.get(colour);
    if (!flat) groups.set(colour, flat = []);
    flat.push(a, b, c, d);
  };
  for (let v = tree.n - 2; v >= 0; v--) {
    if (!seen.hidden[v]) branch(at2, v, (a, b, c, d) => add(colours.branch[v], a, b, c, d));
  }
  for (let v = nTips; v < tree.n; v++) {
    if (!seen.hidden[v] && !seen.isEnd(v)) spine(at2, v, (a, b, c, d) => add(colours.branch[v], a, b, c, d));
  }
  const width = seen.ends.length > 1500 && (at2.pitch || 1) < 2 ? 0.6 : 1.2;
  for (const [colour, flat] of groups) pen.lines(flat, colour, width);
  drawPath(pen, at2);
  drawCollapsed(pen, at2);
  drawMarks(pen, at2, w, h);
  drawNames(pen, at2, w, h);
  if (state.support) drawSupport(pen, at2, w, h);
  drawScale(pen, at2, w, h);
}

// The branch above a node.
function branch(at2, v, add) {
  const p = tree.parent[v];
  if (at2.shape === 'rectangular') add(at2.x[p], at2.y[v], at2.x[v], at2.y[v]);
  else if (at2.shape === 'circular') {
    const r = at2.radius(p);
    const a = at2.angle[v];
    add(at2.centre[0] + r * Math.cos(a), at2.centre[1] + r * Math.sin(a), at2.x[v], at2.y[v]);
  } else add(at2.x[p], at2.y[p], at2.x[v], at2.y[v]);
}

// The stroke that joins a node's branches.
function spine(at2, v, add) {
  const group = tree.children[v];
  const [first, last] = [group[0], group[group.length - 1]];
  if (at2.shape === 'rectangular') add(at2.x[v], at2.y[first], at2.x[v], at2.y[last]);
  else if (at2.shape === 'circular') {
    const r = at2.radius(v);
    const [from, to] = [at2.angle[first], at2.angle[last]];
    const steps = Math.max(1, Math.min(720, Math.ceil((to - from) * r / 4)));
    for (let i = 0; i < steps; i++) {
      const [a, b] = [from + (to - from) * i / steps, from + (to - from) * (i + 1) / steps];
      add(at2.centre[0] + r * Math.cos(a), at2.centre[1] + r * Math.sin(a), at2.centre[0] + r * Math.cos(b), at2.centre[1] + r * Math.sin(b));
    }
  }
}

// The branches above the node that was chosen and the one under the pointer.
function drawPath(pen, at2) {
  for (const [node, width] of [[state.chosen, 3], [state.hovered, 3]]) {
    if (node < 0 || seen.hidden[node]) continue;
    const flat = [];
    const add = (a, b, c, d) => flat.push(a, b, c, d);
    if (node !== tree.root) branch(at2, node, add);
    pen.lines(flat, theme('accent'), width);
  }
}

function drawCollapsed(pen, at2) {
  for (const v of seen.ends) {
    if (v < nTips) continue;
    const far = seen.reach[v] - tree.depth[v];
    let points;
    if (at2.shape === 'rectangular') {
      const [dx, dy] = [Math.max(far * at2.unit, 8), seen.half[v] * at2.pitch * 0.8];
      points = [[at2.x[v], at2.y[v]], [at2.x[v] + dx, at2.y[v] - dy], [at2.x[v] + dx, at2.y[v] + dy]];
    } else {
      const a = at2.angle[v];
      const r = Math.max(far * at2.unit, 10);
      const wide = at2.shape === 'circular' ? Math.min(0.4, Math.PI * seen.half[v] / seen.rows * 1.6) : 0.25;
      const tip = (s) => [at2.x[v] + r * Math.cos(a + s), at2.y[v] + r * Math.sin(a + s)];
      points = [[at2.x[v], at2.y[v]], tip(-wide), tip(wide)];
    }
    pen.path('M' + points.map((q) => `${q[0].toFixed(2)} ${q[1].toFixed(2)}`).join('L') + 'Z', theme('sheet'), colours.branch[v], 1.2);
  }
}

function drawMarks(pen, at2, w, h) {
  const radius = Math.max(1.2, Math.min(4, (at2.pitch || 200 / Math.sqrt(nTips)) * 0.4));
  const plain = state.column < 0;
  for (const v of seen.ends) {
    const [x, y] = [at2.x[v], at2.y[v]];
    if (x < -9 || x > w + 9 || y < -9 || y > h + 9) continue;
    const strong = endMarked(v);
    if (v >= nTips) {
      if (strong) pen.path(markPath('circle', x, y, 6), theme('halo'), theme('ink'));
      continue;
    }
    if (strong) pen.path(markPath('circle', x, y, Math.max(radius, 3) + 3), theme('halo'), theme('ink'));
    if (!plain || strong) pen.path(markPath(colours.shape[v], x, y, strong ? Math.max(radius, 3) : radius), colours.tip[v]);
  }
}

// A collapsed clade stands for all that it holds.
function endMarked(v) {
  if (marked(v)) return true;
  if (v < nTips) return false;
  for (let tip = tree.low[v]; tip < tree.low[v] + tree.size[v]; tip++) if (marked(tip)) return true;
  return false;
}

// Names where they meet no other: those that were asked for first, then down the page.
function drawNames(pen, at2, w, h) {
  const flat = at2.shape === 'rectangular';
  const halo = theme('paper');
  const [strongInk, softInk] = [theme('ink'), theme('soft')];
  const ink = (much) => (much ? strongInk : softInk);
  const size = flat ? Math.max(9, Math.min(12.5, at2.pitch * 0.82)) : Math.max(9, Math.min(12, (at2.pitch || 10) * 0.8));
  const taken = new Taken(size / 3);
  const first = seen.ends.filter(endMarked);
  const strong = new Set(first);
  if (tree.known) {
    const [width, top] = [scaleLength(at2, w) * at2.unit + 58, h - 22];
    for (let y = top; y <= h; y += size * 0.4) taken.block(10, y, 10 + width, y);
  }
  if (!flat || at2.pitch < 7) for (const v of seen.ends) blockBranch(taken, at2, v, w, h);
  const before = new Set(first.slice(0, 200));
  for (const v of [...before, ...seen.ends.filter((end) => !before.has(end))]) {
    const [x, y] = [at2.x[v], at2.y[v]];
    if (x < -60 || x > w + 10 || y < 0 || y > h) continue;
    const bold = strong.has(v);
    let angle = flat ? 0 : at2.angle[v];
    let gap = bold ? 12 : 8;
    if (v >= nTips) gap += Math.max((seen.reach[v] - tree.depth[v]) * at2.unit, 10);
    const [sx, sy] = [x + gap * Math.cos(angle), y + gap * Math.sin(angle)];
    const must = v === state.chosen || v === state.hovered;
    const words = cut(endName(v), size * (bold ? 1.08 : 1), toEdge(sx, sy, angle, w, h), must);
    const length = widthOf(words, size) * (bold ? 1.08 : 1);
    if (!words || !taken.take(sx, sy, length, angle, size, must)) continue;
    const back = Math.cos(angle) < 0;
    if (back) angle += Math.PI;
    pen.text(words, sx, sy, { size, angle, anchor: back ? 'end' : 'start', bold, colour: ink(bold || v >= nTips), halo });
  }
}

// How far a line of text may go from a point, in a direction, before half its height leaves the canvas.
function toEdge(x, y, angle, w, h) {
  const [dx, dy] = [Math.cos(angle), Math.sin(angle)];
  const across = dx > 1e-9 ? (w - 5 - x) / dx : dx < -1e-9 ? (5 - x) / dx : Infinity;
  const along = dy > 1e-9 ? (h - 5 - y) / dy : dy < -1e-9 ? (5 - y) / dy : Infinity;
  return Math.min(across, along);
}

// A name as far as there is room: nothing where fewer than five letters have it, unless it must be.
function cut(words, size, room, must) {
  const length = widthOf(words, size);
  if (length <= room) return words;
  const most = Math.floor(Array.from(words).length * room / length);
  return most < 5 ? must ? words : '' : short(words, most);
}

// Where rows are close, names keep clear of other tips' branches.
function blockBranch(taken, at2, v, w, h) {
  branch(at2, v, (a, b, c, d) => {
    if (c < 0 || d < 0 || c > w || d > h) return;
    const whole = Math.hypot(c - a, d - b);
    const length = Math.min(whole, 150);
    const part = whole ? length / whole : 0;
    // Two pixels on either side, for the halo of letters and the marks of tips
    const [nx, ny] = whole ? [2 * (b - d) / whole, 2 * (c - a) / whole] : [0, 2];
    for (const side of [-1, 0, 1]) {
      taken.block(c - (c - a) * part + side * nx, d - (d - b) * part + side * ny, c + side * nx, d + side * ny);
    }
  });
}

function drawSupport(pen, at2, w, h) {
  const taken = new Taken(6);
  for (let v = tree.n - 2; v >= nTips; v--) {
    const support = data.tree.support[v];
    if (seen.hidden[v] || support === null) continue;
    const p = tree.parent[v];
    const words = String(Number(support.toPrecision(3)));
    const length = widthOf(words, 8.5);
    const x = at2.shape === 'rectangular' ? at2.x[v] - length - 2 : (at2.x[v] + at2.x[p]) / 2 - length / 2;
    const y = at2.shape === 'rectangular' ? at2.y[v] - 5 : (at2.y[v] + at2.y[p]) / 2;
    if (x < 0 || x > w || y < 0 || y > h || !taken.take(x, y, length, 0, 8.5)) continue;
    pen.text(words, x, y, { size: 8.5, colour: theme('soft') });
  }
}

const scaleLength = (at2, w) => roundLength(w * 0.18 / at2.unit);

function drawScale(pen, at2, w, h) {
  if (!tree.known) return;
  const length = scaleLength(at2, w);
  const across = length * at2.unit;
  pen.rect(10, h - 22, across + 58, 20, theme('paper'));
  pen.lines([14, h - 9, 14 + across, h - 9, 14, h - 12, 14, h - 6, 14 + across, h - 12, 14 + across, h - 6], theme('ink'), 1);
  pen.text(String(Number(length.toPrecision(2))), 20 + across, h - 9, { size: 10.5, colour: theme('ink') });
}

// The node or branch nearest to a point, if it is near.
function nodeAt(px, py) {
  if (!placed) return -1;
  let best = -1;
  let least = 9;
  const flat = placed.shape === 'rectangular';
  for (let v = 0; v < tree.n; v++) {
    if (seen.hidden[v]) continue;
    let far = Math.hypot(placed.x[v] - px, placed.y[v] - py) - (v < nTips ? 2 : 0);
    if (v !== tree.root && far >= least) {
      branch(placed, v, (a, b, c, d) => { far = Math.min(far, toSegment(px, py, a, b, c, d) + 2); });
    }
    if (far >= least && flat && seen.isEnd(v) && px > placed.x[v] && px < placed.x[v] + placed.room) {
      far = Math.abs(placed.y[v] - py) + (placed.pitch > 7 ? 2 : 5);
    }
    if (far < least) { least = far; best = v; }
  }
  return best;
}

function toSegment(px, py, a, b, c, d) {
  const [dx, dy] = [c - a, d - b];
  const t = Math.max(0, Math.min(1, ((px - a) * dx + (py - b) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(px - a - t * dx, py - b - t * dy);
}

function toggle(node) {
  if (isTip(node)) node = tree.parent[node];
  if (node === tree.root || node < 0) return;
  if (state.collapsed.has(node)) state.collapsed.delete(node);
  else state.collapsed.add(node);
  reshaped();
  say(`${nodeName(node)} ${state.collapsed.has(node) ? 'collapsed' : 'expanded'}`);
}

function reshaped() {
  seen = seenTree();
  while (seen.hidden[focused]) focused = tree.parent[focused];
  at('expand').disabled = state.collapsed.size === 0;
  if (at('fold')) at('fold').textContent = state.collapsed.has(state.chosen) ? 'Expand this clade' : 'Collapse this clade';
  changed();
}

// Make a tip seen: expand what hides it, and bring it into the picture.
function reveal(node) {
  let hiding = false;
  for (let v = node; v !== tree.root; v = tree.parent[v]) hiding = state.collapsed.delete(tree.parent[v]) || hiding;
  if (hiding) reshaped();
  const { clientWidth: w, clientHeight: h } = treeBoard.canvas;
  const there = place(seen, treeBoard.camera, w, h);
  const camera = treeBoard.camera;
  if (there.shape === 'rectangular' && there.pitch < 9 && isTip(node)) camera.zoom(1, 11 / there.pitch, w / 2, there.y[node]);
  const now = place(seen, camera, w, h);
  if (now.y[node] < 20 || now.y[node] > h - 30) camera.oy += h / 2 - now.y[node];
  if (now.x[node] < 10 || now.x[node] > w - 20) camera.ox += w / 2 - now.x[node];
  // Nothing is above the first name or below the last
  if (now.shape === 'rectangular') camera.oy = Math.min(10 * (1 - camera.zy), Math.max(camera.oy, (h - 30) * (1 - camera.zy)));
  focused = node;
}

function treeKey(e) {
  const siblings = focused === tree.root ? [focused] : tree.children[tree.parent[focused]];
  const place2 = siblings.indexOf(focused);
  const ends = seen.ends;
  let next = focused;
  const { clientWidth: w, clientHeight: h } = treeBoard.canvas;
  if (e.ctrlKey || e.metaKey || e.altKey) return false;
  if (e.key === 'ArrowLeft' && focused !== tree.root) next = tree.parent[focused];
  else if (e.key === 'ArrowRight' && !seen.isEnd(focused)) [next] = tree.children[focused];
  else if (e.key === 'ArrowUp' || e.key === 'ArrowDown') {
    const step = e.key === 'ArrowUp' ? -1 : 1;
    if (seen.isEnd(focused)) next = ends[Math.min(Math.max(ends.indexOf(focused) + step, 0), ends.length - 1)];
    else next = siblings[place2 + step] ?? focused;
  } else if (e.key === 'Home') [next] = ends;
  else if (e.key === 'End') next = ends[ends.length - 1];
  else if (e.key === 'Enter') { choose(focused, 'tree'); return true; }
  else if (e.key === ' ') { toggle(focused); return true; }
  else if (e.key === '+' || e.key === '=') { zoomTree(1.5, w / 2, h / 2, e.shiftKey && e.key !== '+'); return true; }
  else if (e.key === '-') { zoomTree(1 / 1.5, w / 2, h / 2, false); return true; }
  else if (e.key === '0') { treeBoard.camera.reset(); changed(); return true; }
  else return false;
  focused = next;
  light(next);
  const there = place(seen, treeBoard.camera, w, h);
  if (there.y[next] < 10 || there.y[next] > h - 20) treeBoard.camera.oy += h / 2 - there.y[next];
  if (there.x[next] < 10 || there.x[next] > w - 20) treeBoard.camera.ox += w / 2 - there.x[next];
  say(nodeWords(next).join(', '));
  changed();
  return true;
}
