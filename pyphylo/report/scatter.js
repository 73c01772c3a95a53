// Points on a plane: the map of the models, predicted against true scores, training runs.

class Scatter {
  // points(): {tips, x, y, low?, high?, equal?, range?, axes?, lines?, label?, words?, stands?}, or null.
  // `lines` are places in `tips`, a line each; `range` is [[x0, x1], [y0, y1]]; `stands` says
  // which tips are to be seen at once, if not all that are marked.
  constructor(id, points) {
    this.points = points;
    this.cursor = 0;
    this.spots = [];
    this.wanted = -1;
    this.board = new Board(id, {
      draw: (pen, w, h) => this.draw(pen, w, h),
      zoom: (factor, x, y) => this.board.camera.zoom(factor, factor, x, y, 0.5, 500),
      hover: (x, y) => { const tip = this.find(x, y); light(tip); return tip < 0 ? null : this.words(tip); },
      leave: () => light(-1),
      press: (x, y) => { const tip = this.find(x, y); if (tip >= 0) choose(tip, id); else clearChoice(); },
      key: (e) => this.key(e),
    });
    choosers.push((node, from) => { if (from !== id && isTip(node)) this.seek(node); });
  }

  words(tip) {
    const p = this.points();
    return p.words ? [names[tip], p.words(p.tips.indexOf(tip))] : nodeWords(tip);
  }

  // A tip chosen elsewhere: the keys go on from it, and an enlarged picture shows it.
  seek(tip) {
    const place = this.points()?.tips.indexOf(tip) ?? -1;
    if (place < 0) return;
    this.cursor = place;
    this.wanted = tip;
  }

  draw(pen, w, h) {
    const p = this.points();
    if (!p || !p.tips.length) return;
    const edge = p.axes ? 48 : 24;
    const [[x0, x1], [y0, y1]] = p.range || [span(p.x), span(p.y)];
    let sx = (w - 2 * edge) / (x1 - x0 || 1);
    let sy = (h - 2 * edge) / (y1 - y0 || 1);
    if (p.equal) sx = sy = Math.min(sx, sy);
    const c = this.board.camera;
    const px = (v) => c.x(w / 2 + (v - (x0 + x1) / 2) * sx);
    const py = (v) => c.y(h / 2 - (v - (y0 + y1) / 2) * sy);
    this.show(p, px, py, w, h);
    if (p.axes) this.axes(pen, p, px, py);
    const radius = Math.max(2.2, Math.min(5, 60 / Math.sqrt(p.tips.length)));
    this.spots = p.tips.map((tip, i) => [tip, px(p.x[i]), py(p.y[i])]);
    const first = (tip) => (p.stands || marked)(tip) || inChosen(tip);
    for (const line of p.lines || []) this.path(pen, line.map((i) => this.spots[i]), radius);
    if (p.low) this.bars(pen, p, first, px, py);
    const paper = theme('paper');
    for (const strong of [false, true]) {
      for (const [tip, x, y] of this.spots) {
        if (first(tip) !== strong) continue;
        if (strong) pen.path(markPath('circle', x, y, radius + 3.5), theme('halo'), theme('ink'));
        pen.path(markPath(colours.shape[tip], x, y, radius), colours.tip[tip], radius > 2.5 && paper, 0.6);
      }
    }
    this.labels(pen, p, first, radius, w, h);
  }

  // Moves the picture where what was chosen elsewhere is outside of it.
  show(p, px, py, w, h) {
    const place = p.tips.indexOf(this.wanted);
    this.wanted = -1;
    if (place < 0) return;
    const [x, y] = [px(p.x[place]), py(p.y[place])];
    if (x >= 0 && x <= w && y >= 0 && y <= h) return;
    this.board.camera.ox += w / 2 - x;
    this.board.camera.oy += h / 2 - y;
  }

  // The way of a run from checkpoint to checkpoint, each stretch with an arrow's head.
  path(pen, spots, radius) {
    const run = runOf.get(spots[0][0])?.[0];
    const strong = run !== undefined && (run === state.run || [state.chosen, state.hovered].some((v) => runOf.get(v)?.[0] === run));
    // Beside a run that was chosen the others stand back
    const ink = theme(strong ? 'accent' : state.run >= 0 ? 'line' : 'soft');
    const flat = [];
    for (let i = 1; i < spots.length; i++) {
      const [[, a, b], [, x, y]] = [spots[i - 1], spots[i]];
      flat.push(a, b, x, y);
      const far = Math.hypot(x - a, y - b);
      if (far < 4 * radius + 8) continue;
      const [dx, dy] = [(x - a) / far, (y - b) / far];
      const [mx, my] = [(a + x) / 2, (b + y) / 2];
      flat.push(mx, my, mx - 5 * dx - 3 * dy, my - 5 * dy + 3 * dx, mx, my, mx - 5 * dx + 3 * dy, my - 5 * dy - 3 * dx);
    }
    pen.lines(flat, ink, strong ? 2 : 1);
  }

  labels(pen, p, first, radius, w, h) {
    const size = 10.5;
    const taken = new Taken(size * 0.5);
    for (const [, x, y] of this.spots) taken.take(x - radius, y, 2 * radius, 0, 2);
    const rises = (i) => p.axes && p.lines && i + 1 < this.spots.length && this.spots[i + 1][2] < this.spots[i][2] - 2;
    const all = this.spots.map(([tip, x, y], i) => [tip, x, y, rises(i), short(first(tip) || !p.label ? names[tip] : p.label(i), 26)]);
    const order = [...all.filter((s) => first(s[0])).slice(0, 60), ...all];
    const [ink, soft, paper] = [theme('ink'), theme('soft'), theme('paper')];
    const written = new Set();
    for (const [tip, x, y, left, words] of order) {
      if (!words || written.has(tip) || x < 0 || y < 0 || x > w || y > h) continue;
      const strong = first(tip);
      const length = widthOf(words, size) * (strong ? 1.08 : 1);
      const [gap, rise] = [radius + 5, radius + 10];
      const middle = Math.min(Math.max(x - length / 2, 2), w - length - 2);
      // Beside the point, on the side where there is room; in front of lines from point to point, above
      const level = p.axes && p.lines ? y - 9 : y;
      const places = [[x + gap, level], [x - gap - length, level]];
      if (left) places.reverse();
      if (strong) places.push([middle, y - rise], [middle, y + rise]);
      const inside = places.filter(([a]) => a >= 0 && a + length <= w);
      let found = inside.find(([a, b]) => taken.take(a, b, length, 0, size));
      // What the reader points at is named, whatever that covers
      if (!found && single(tip)) {
        found = inside[0] || [middle, y - rise];
        taken.take(...found, length, 0, size, true);
      }
      if (!found) continue;
      written.add(tip);
      pen.text(words, ...found, { size, colour: strong ? ink : soft, bold: strong, halo: (strong || p.lines) && paper });
    }
  }

  axes(pen, p, px, py) {
    const [[x0, x1], [y0, y1]] = p.range;
    const ink = theme('soft');
    if (p.axes.diagonal) pen.lines([px(x0), py(y0), px(x1), py(y1)], theme('line'), 1.5);
    for (const [v, words] of p.axes.xs) {
      pen.lines([px(v), py(y0), px(v), py(y0) + 4], ink, 1);
      pen.text(words, px(v), py(y0) + 12, { size: 10, anchor: 'middle', colour: ink });
    }
    for (const [v, words] of p.axes.ys) {
      pen.lines([px(x0) - 4, py(v), px(x0), py(v)], ink, 1);
      pen.text(words, px(x0) - 7, py(v), { size: 10, anchor: 'end', colour: ink });
    }
    pen.lines([px(x0), py(y0), px(x1), py(y0), px(x0), py(y0), px(x0), py(y1)], ink, 1);
    pen.text(p.axes.x, px(x1), py(y0) + 26, { size: 11, anchor: 'end', colour: ink });
    pen.text(p.axes.y, px(x0) - 30, py(y1) - 12, { size: 11, colour: ink });
  }

  bars(pen, p, first, px, py) {
    const bars = [];
    p.tips.forEach((tip, i) => {
      if (first(tip) && p.low[i] !== null && p.high[i] !== null) bars.push(px(p.x[i]), py(p.low[i]), px(p.x[i]), py(p.high[i]));
    });
    pen.lines(bars, theme('ink'), 1.2);
  }

  find(x, y) {
    let [best, least] = [-1, 10];
    for (const [tip, a, b] of this.spots) {
      const far = Math.hypot(a - x, b - y);
      if (far < least) [best, least] = [tip, far];
    }
    return best;
  }

  key(e) {
    const tips = this.points()?.tips;
    if (!tips?.length) return false;
    this.cursor = Math.min(this.cursor, tips.length - 1);
    const step = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 }[e.key];
    if (e.key === 'Enter') choose(tips[this.cursor], this.board.canvas.id);
    else if (e.key === '0') { this.board.camera.reset(); changed(); }
    else if (!step) return false;
    else {
      this.cursor = (this.cursor + step + tips.length) % tips.length;
      light(tips[this.cursor]);
      say(this.words(tips[this.cursor]).join(', '));
    }
    return true;
  }
}

function inChosen(tip) {
  const v = state.chosen;
  return v >= 0 && tip >= tree.low[v] && tip < tree.low[v] + tree.size[v];
}

const span = (values) => values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);

function evenTicks([low, high]) {
  const step = roundLength((high - low) / 3 || 1);
  const ticks = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + 1e-9 * step; v += step) ticks.push([v, String(Number(v.toPrecision(3)))]);
  return ticks;
}
