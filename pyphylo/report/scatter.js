// Points on a plane: the map of the models, and predicted against true scores.

class Scatter {
  // points(): {tips, x, y, low?, high?, equal, axes?}
  constructor(id, points) {
    this.points = points;
    this.cursor = 0;
    this.spots = [];
    this.board = new Board(id, {
      draw: (pen, w, h) => this.draw(pen, w, h),
      zoom: (factor, x, y) => this.board.camera.zoom(factor, factor, x, y, 0.5, 500),
      hover: (x, y) => { const tip = this.find(x, y); this.light(tip); return tip < 0 ? null : this.words(tip); },
      leave: () => this.light(-1),
      press: (x, y) => { const tip = this.find(x, y); if (tip >= 0) choose(tip, id); },
      key: (e) => this.key(e),
    });
  }

  light(tip) { if (state.hovered !== tip) { state.hovered = tip; changed(); } }

  words(tip) {
    const p = this.points();
    const i = p.tips.indexOf(tip);
    return p.axes ? [names[tip], `true ${digits(p.x[i], 3)}, predicted ${digits(p.y[i], 3)} (${digits(p.low[i], 3)} to ${digits(p.high[i], 3)})`] : nodeWords(tip);
  }

  draw(pen, w, h) {
    const p = this.points();
    if (!p) return;
    const edge = p.axes ? 44 : 24;
    let [x0, x1] = p.range || [Math.min(...p.x), Math.max(...p.x)];
    let [y0, y1] = p.range || [Math.min(...p.y), Math.max(...p.y)];
    let sx = (w - 2 * edge) / (x1 - x0 || 1);
    let sy = (h - 2 * edge) / (y1 - y0 || 1);
    if (p.equal) sx = sy = Math.min(sx, sy);
    const c = this.board.camera;
    const px = (v) => c.x(w / 2 + (v - (x0 + x1) / 2) * sx);
    const py = (v) => c.y(h / 2 - (v - (y0 + y1) / 2) * sy);
    if (p.axes) this.axes(pen, p, px, py, w, h);
    const radius = Math.max(2.2, Math.min(5, 60 / Math.sqrt(p.tips.length)));
    this.spots = p.tips.map((tip, i) => [tip, px(p.x[i]), py(p.y[i])]);
    const first = (tip) => tip === state.hovered || inChosen(tip) || state.matched.has(tip);
    const paper = theme('paper');
    for (const strong of [false, true]) {
      for (const [tip, x, y] of this.spots) {
        if (first(tip) !== strong) continue;
        if (strong) pen.path(markPath('circle', x, y, radius + 3.5), theme('halo'), theme('ink'));
        pen.path(markPath(colours.shape[tip], x, y, radius), colours.tip[tip], radius > 2.5 && paper, 0.6);
      }
    }
    const size = 10.5;
    const taken = new Taken(size * 0.5);
    for (const [, x, y] of this.spots) taken.take(x - radius, y, 2 * radius, 0, 2);
    const order = [...this.spots.filter((s) => first(s[0])).slice(0, 60), ...this.spots];
    for (const [tip, x, y] of order) {
      if (x < 0 || y < 0 || x > w || y > h) continue;
      const words = short(names[tip], 26);
      if (!taken.take(x + radius + 5, y, widthOf(words, size), 0, size)) continue;
      if (x + radius + 4 + widthOf(words, size) > w) continue;
      pen.text(words, x + radius + 4, y, { size, colour: theme(first(tip) ? 'ink' : 'soft'), bold: first(tip) });
    }
  }

  axes(pen, p, px, py, w, h) {
    const [low, high] = p.range;
    const step = roundLength((high - low) / 3);
    const ink = theme('soft');
    pen.lines([px(low), py(low), px(high), py(high)], theme('line'), 1.5);
    for (let v = Math.ceil(low / step) * step; v <= high + 1e-9; v += step) {
      const words = String(Number(v.toPrecision(3)));
      pen.lines([px(v), py(low), px(v), py(low) + 4, px(low) - 4, py(v), px(low), py(v)], ink, 1);
      pen.text(words, px(v), py(low) + 12, { size: 10, anchor: 'middle', colour: ink });
      pen.text(words, px(low) - 7, py(v), { size: 10, anchor: 'end', colour: ink });
    }
    pen.lines([px(low), py(low), px(high), py(low), px(low), py(low), px(low), py(high)], ink, 1);
    pen.text('true', px(high), py(low) + 26, { size: 11, anchor: 'end', colour: ink });
    pen.text('predicted', px(low) - 30, py(high) - 12, { size: 11, colour: ink });
    const bars = [];
    p.tips.forEach((tip, i) => {
      if ((tip === state.hovered || inChosen(tip)) && p.low[i] !== null) bars.push(px(p.x[i]), py(p.low[i]), px(p.x[i]), py(p.high[i]));
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
    if (!tips) return false;
    const step = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 }[e.key];
    if (e.key === 'Enter') choose(tips[this.cursor], 'scatter');
    else if (e.key === '0') { this.board.camera.reset(); changed(); }
    else if (!step) return false;
    else {
      this.cursor = (this.cursor + step + tips.length) % tips.length;
      this.light(tips[this.cursor]);
      say(this.words(tips[this.cursor]).join(', '));
    }
    return true;
  }
}

function inChosen(tip) {
  const v = state.chosen;
  return v >= 0 && tip >= tree.low[v] && tip < tree.low[v] + tree.size[v];
}

const mapPoints = (() => {
  const tips = Array.from({ length: nTips }, (_, i) => i);
  const of = (text) => {
    const xy = floats(text);
    return { tips, x: tips.map((i) => xy[2 * i]), y: tips.map((i) => xy[2 * i + 1]), equal: true };
  };
  return { mds: of(data.map.xy), umap: data.map.umap && of(data.map.umap) };
})();
const map = new Scatter('map', () => mapPoints[at('method').value]);

function scorePoints() {
  const target = data.scores?.targets[at('target').selectedIndex];
  if (!target) return null;
  const all = [...target.true, ...target.predicted];
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const spare = (high - low || 0.1) * 0.04;
  return { tips: target.tip, x: target.true, y: target.predicted, low: target.lower, high: target.upper, axes: true, equal: true, range: [low - spare, high + spare] };
}
const scores = new Scatter('scores', scorePoints);
