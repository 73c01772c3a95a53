// The heat map: rows and columns in the order of the tree.

const heat = (() => {
  const { side, block, low, high } = data.heat;
  return { side, block, low, high, cells: bytes(data.heat.cells), picture: null, dark: null, at: [0, 0] };
})();

// One pixel a cell; made anew where the colour of missing cells changes.
function heatPicture() {
  if (heat.picture && heat.dark === isDark()) return heat.picture;
  const canvas = document.createElement('canvas');
  canvas.width = heat.side;
  canvas.height = heat.side;
  const context = canvas.getContext('2d');
  const image = context.createImageData(heat.side, heat.side);
  const table = Array.from({ length: 255 }, (_, level) => rampColour(level / 254));
  const lone = theme('missing');
  table.push([1, 3, 5].map((k) => parseInt(lone.substr(k, 2), 16)));
  for (let i = 0; i < heat.cells.length; i++) {
    const [r, g, b] = table[heat.cells[i]];
    image.data[4 * i] = r;
    image.data[4 * i + 1] = g;
    image.data[4 * i + 2] = b;
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  heat.picture = canvas;
  heat.dark = isDark();
  return canvas;
}

const legendRoom = 18;

// The square of cells on the screen: left, top, side.
function heatBox() {
  const { clientWidth: w } = heatBoard.canvas;
  const h = heatBoard.canvas.clientHeight - legendRoom;
  const side = Math.max(Math.min(w, h) - 16, 10);
  const c = heatBoard.camera;
  return [c.x((w - side) / 2), c.y((h - side) / 2), side * c.zx];
}

// Which colour is which similarity.
function drawRamp(pen, w, h) {
  const [low, high] = [heat.low, heat.high].map((value) => value.toFixed(2));
  const ink = { size: 10.5, colour: theme('ink') };
  const [room, length, steps] = [widthOf(low, 10.5), 100, 50];
  const left = (w - length) / 2;
  pen.rect(left - room - 12, h - legendRoom, length + 2 * room + 24, legendRoom, theme('paper'));
  for (let i = 0; i < steps; i++) {
    // A little over the next, so that no seam shows between two.
    pen.rect(left + i / steps * length, h - legendRoom + 5, length / steps + (i < steps - 1 ? 0.5 : 0), 8, rgb(rampColour((i + 0.5) / steps)));
  }
  pen.text(low, left - room - 6, h - legendRoom + 9, ink);
  pen.text(high, left + length + 6, h - legendRoom + 9, ink);
}

const heatBoard = new Board('heat', {
  zoom: (factor, x, y) => heatBoard.camera.zoom(factor, factor, x, y, 1, 400),
  draw: (pen, w, h) => {
    const [left, top, side] = heatBox();
    // Cells stand for `block` models each, the last for what is left of them.
    pen.image(heatPicture(), left, top, heat.side * heat.block / nTips * side, side);
    const band = (first, count, colour) => {
      const a = first / nTips * side;
      const b = a + Math.max(count / nTips * side, 1);
      const [x0, x1, y0, y1] = [left - 2, left + side + 2, top - 2, top + side + 2];
      pen.lines([x0, top + a, x1, top + a, x0, top + b, x1, top + b, left + a, y0, left + a, y1, left + b, y0, left + b, y1], colour, 1.5);
    };
    if (state.run >= 0) pen.lines(runs[state.run].tips.flatMap((tip) => {
      const a = (tip + 0.5) / nTips * side;
      return [left - 5, top + a, left + side + 5, top + a, left + a, top - 5, left + a, top + side + 5];
    }), theme('accent'), 1);
    if (state.beside >= 0) band(state.beside, 1, theme('halo'));
    if (state.hovered >= 0) band(tree.low[state.hovered], tree.size[state.hovered], theme('halo'));
    if (state.chosen >= 0) band(tree.low[state.chosen], tree.size[state.chosen], '#ff5a36');
    if (document.activeElement === heatBoard.canvas) {
      const cell = Math.max(heat.block / nTips * side, 4);
      const [x, y] = [left + heat.at[1] * heat.block / nTips * side, top + heat.at[0] * heat.block / nTips * side];
      pen.lines([x, y, x + cell, y, x + cell, y, x + cell, y + cell, x + cell, y + cell, x, y + cell, x, y + cell, x, y], '#ffffff', 2);
    }
    drawRamp(pen, w, h);
  },
  hover: (x, y) => {
    const found = heatAt(x, y);
    if (found) light(...found.map(firstOf));
    else light(-1);
    return found && heatWords(...found);
  },
  leave: () => light(-1),
  press: (x, y) => { const found = heatAt(x, y); if (found) choose(firstOf(found[0]), 'heat'); else clearChoice(); },
  key: (e) => {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[e.key];
    if (e.key === 'Enter') choose(firstOf(heat.at[0]), 'heat');
    else if (e.key === '0') { heatBoard.camera.reset(); changed(); }
    else if (!move) return false;
    else {
      heat.at = heat.at.map((v, i) => Math.min(Math.max(v + move[i], 0), heat.side - 1));
      say(heatWords(...heat.at).join(', '));
      light(...heat.at.map(firstOf));
      changed();
    }
    return true;
  },
});

// The first model that a row or column of cells stands for.
const firstOf = (place) => Math.min(place * heat.block, nTips - 1);

// What was chosen elsewhere is brought into the picture, where that is enlarged.
choosers.push((node, from) => {
  if (from === 'heat') return;
  const middle = tree.low[node] + tree.size[node] / 2;
  heat.at = [Math.floor(tree.low[node] / heat.block), heat.at[1]];
  const { clientHeight: h } = heatBoard.canvas;
  const [, top, side] = heatBox();
  const y = top + middle / nTips * side;
  if (heatBoard.camera.zy > 1 && h && (y < 0 || y > h)) heatBoard.camera.oy += h / 2 - y;
});

function heatAt(x, y) {
  const [left, top, side] = heatBox();
  const cell = heat.block / nTips * side;
  const found = [Math.floor((y - top) / cell), Math.floor((x - left) / cell)];
  return y < top || x < left || y >= top + side || x >= left + side ? null : found;
}

function heatWords(row, column) {
  const level = heat.cells[row * heat.side + column];
  const value = heat.low + (heat.high - heat.low) * level / 254;
  const group = (i) => {
    const [first, last] = [i * heat.block, Math.min((i + 1) * heat.block, nTips) - 1];
    return first === last ? names[first] : `${names[first]} … ${names[last]}`;
  };
  return [group(row), group(column), level === 255 ? 'no value' : `similarity ${value.toFixed(3)}${heat.block > 1 ? ' on average' : ''}`];
}
