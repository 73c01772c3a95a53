// What is seen, as files.

function offer(name, parts, type) {
  const link = element('a', { href: URL.createObjectURL(new Blob(parts, { type })), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  say(`${name} saved`);
}

const legendHeight = 18;

// The tree as it is seen, its legend below.
function picture(pen, w, h) {
  drawTree(pen, place(seen, treeBoard.camera, w, h), w, h);
  pen.rect(0, h, w, legendRows(w).length * legendHeight + 8, theme('paper'));
  legendRows(w).forEach((row, r) => {
    for (const [entry, x] of row) {
      const y = h + 10 + r * legendHeight;
      pen.path(markPath(entry.shape, x, y, 4.5), entry.colour);
      pen.text(short(entry.text, 40), x + 9, y, { size: 11, colour: theme('ink') });
    }
  });
}

function legendRows(w) {
  const rows = [[]];
  let x = 16;
  for (const entry of colours.legend) {
    const wide = widthOf(short(entry.text, 40), 11) + 28;
    if (x + wide > w && rows[rows.length - 1].length) { rows.push([]); x = 16; }
    rows[rows.length - 1].push([entry, x]);
    x += wide;
  }
  return colours.legend.length ? rows : [];
}

// Of each view: its name, its size, what draws it.
const scenes = {
  tree: () => {
    const { clientWidth: w, clientHeight: h } = treeBoard.canvas;
    const rows = legendRows(w).length;
    return ['tree', w, h + (rows ? rows * legendHeight + 8 : 0), (pen) => picture(pen, w, h)];
  },
  view: () => {
    const [id, board] = [['heat', heatBoard], ['map', map.board], ['scores', scores.board], ['runs', runsView.board]].find(([name]) => !at(`${name}-panel`).hidden);
    const { clientWidth: w, clientHeight: h } = board.canvas;
    return [id, w, h, (pen) => board.handlers.draw(pen, w, h)];
  },
};

function saveSvg(scene) {
  const [name, w, h, draw] = scenes[scene]();
  const pen = new SvgPen(w, h, theme('paper'));
  draw(pen);
  offer(`${name}.svg`, [pen.toString()], 'image/svg+xml');
}

function savePng(scene) {
  const [name, w, h, draw] = scenes[scene]();
  const canvas = document.createElement('canvas');
  const ratio = 3;
  canvas.width = w * ratio;
  canvas.height = h * ratio;
  const context = canvas.getContext('2d');
  context.scale(ratio, ratio);
  context.fillStyle = theme('paper');
  context.fillRect(0, 0, w, h);
  draw(new CanvasPen(context));
  canvas.toBlob((blob) => offer(`${name}.png`, [blob], 'image/png'), 'image/png');
}

// Names that other readers would change are quoted.
const quoted = (name) => (/^[A-Za-z0-9.+-]+$/.test(name) ? name : `'${name.replace(/'/g, "''")}'`);

// The tree as it is seen: a collapsed clade is one tip that says how many models it stands for.
function newick() {
  const parts = [];
  // What is still to be written, the next thing last: a node, or text that closes one.
  const stack = [tree.root];
  while (stack.length) {
    const v = stack.pop();
    if (typeof v === 'string') { parts.push(v); continue; }
    const length = data.tree.length[v];
    const tail = v === tree.root || length === null ? '' : `:${length}`;
    if (v < nTips) parts.push(quoted(names[v]) + tail);
    else if (seen.isEnd(v)) parts.push(quoted(`${tree.size[v]} models, ${names[tree.low[v]]} to ${names[tree.low[v] + tree.size[v] - 1]}`) + tail);
    else {
      const label = data.tree.labels && data.tree.labels[v - nTips];
      const support = data.tree.support[v];
      const own = label ? `'${label.replace(/'/g, "''")}'` : support === null ? '' : String(support);
      stack.push(`)${own}${tail}`);
      const group = tree.children[v];
      for (let i = group.length - 1; i >= 0; i--) { stack.push(group[i]); if (i) stack.push(','); }
      parts.push('(');
    }
  }
  return `${parts.join('')};\n`;
}

for (const [prefix, scene] of [['save', 'tree'], ['view', 'view']]) {
  at(`${prefix}-svg`).addEventListener('click', () => saveSvg(scene));
  at(`${prefix}-png`).addEventListener('click', () => savePng(scene));
}
at('save-newick').addEventListener('click', () => offer('tree.nwk', [newick()], 'text/plain'));
