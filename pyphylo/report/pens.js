// Two pens with the same strokes: one on a canvas, one that writes SVG. So what is saved is what is seen.

function markPath(shape, x, y, r) {
  const f = (v) => v.toFixed(2);
  const poly = (points) => 'M' + points.map(([a, b]) => `${f(x + a * r)} ${f(y + b * r)}`).join('L') + 'Z';
  if (shape === 'square') return poly([[-0.85, -0.85], [0.85, -0.85], [0.85, 0.85], [-0.85, 0.85]]);
  if (shape === 'diamond') return poly([[0, -1.15], [1.15, 0], [0, 1.15], [-1.15, 0]]);
  if (shape === 'triangle') return poly([[0, -1.1], [1.05, 0.85], [-1.05, 0.85]]);
  if (shape === 'cross') {
    const a = 0.35;
    return poly([[-a, -1], [a, -1], [a, -a], [1, -a], [1, a], [a, a], [a, 1], [-a, 1], [-a, a], [-1, a], [-1, -a], [-a, -a]]);
  }
  return `M${f(x - r)} ${f(y)}a${f(r)} ${f(r)} 0 1 0 ${f(2 * r)} 0a${f(r)} ${f(r)} 0 1 0 ${f(-2 * r)} 0Z`;
}

const family = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", Arial, sans-serif';

class CanvasPen {
  constructor(context) { this.c = context; }

  // Flat coordinates, four a segment.
  lines(flat, colour, width = 1) {
    const c = this.c;
    c.strokeStyle = colour;
    c.lineWidth = width;
    c.beginPath();
    for (let i = 0; i < flat.length; i += 4) { c.moveTo(flat[i], flat[i + 1]); c.lineTo(flat[i + 2], flat[i + 3]); }
    c.stroke();
  }

  path(d, fill, stroke, width = 1) {
    const path = new Path2D(d);
    if (fill) { this.c.fillStyle = fill; this.c.fill(path); }
    if (stroke) { this.c.strokeStyle = stroke; this.c.lineWidth = width; this.c.stroke(path); }
  }

  text(words, x, y, { size = 11, anchor = 'start', angle = 0, colour = '#000', bold = false, halo = null } = {}) {
    const c = this.c;
    c.save();
    c.translate(x, y);
    if (angle) c.rotate(angle);
    c.font = `${bold ? '600 ' : ''}${size}px ${family}`;
    c.textAlign = anchor === 'start' ? 'left' : anchor === 'end' ? 'right' : 'center';
    c.textBaseline = 'middle';
    c.direction = 'ltr';
    if (halo) { c.strokeStyle = halo; c.lineWidth = 3; c.lineJoin = 'round'; c.strokeText(words, 0, 0); }
    c.fillStyle = colour;
    c.fillText(words, 0, 0);
    c.restore();
  }

  rect(x, y, w, h, fill) { this.c.fillStyle = fill; this.c.fillRect(x, y, w, h); }

  // A square picture, cut off beyond a smaller square.
  image(picture, x, y, side, cut) {
    const c = this.c;
    c.save();
    c.beginPath();
    c.rect(x, y, cut, cut);
    c.clip();
    c.imageSmoothingEnabled = side < picture.width;
    c.drawImage(picture, x, y, side, side);
    c.restore();
  }
}

// What XML cannot hold (controls, halves of pairs) is shown as the replacement character.
const escaped = (text) => String(text)
  .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
  .replace(/[\ud800-\udbff](?![\udc00-\udfff])/g, '\ufffd')
  .replace(/(^|[^\ud800-\udbff])[\udc00-\udfff]/g, '$1\ufffd')
  .replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');

class SvgPen {
  constructor(width, height, ground) {
    this.size = [width, height];
    this.parts = [`<rect width="${width}" height="${height}" fill="${ground}"/>`];
  }

  lines(flat, colour, width = 1) {
    if (!flat.length) return;
    let d = '';
    for (let i = 0; i < flat.length; i += 4) {
      d += `M${flat[i].toFixed(2)} ${flat[i + 1].toFixed(2)}L${flat[i + 2].toFixed(2)} ${flat[i + 3].toFixed(2)}`;
    }
    this.parts.push(`<path d="${d}" fill="none" stroke="${colour}" stroke-width="${width}"/>`);
  }

  path(d, fill, stroke, width = 1) {
    this.parts.push(`<path d="${d}" fill="${fill || 'none'}"${stroke ? ` stroke="${stroke}" stroke-width="${width}"` : ''}/>`);
  }

  text(words, x, y, { size = 11, anchor = 'start', angle = 0, colour = '#000', bold = false, halo = null } = {}) {
    const turn = angle ? ` rotate(${(angle * 180 / Math.PI).toFixed(2)})` : '';
    this.parts.push(`<text transform="translate(${x.toFixed(2)} ${y.toFixed(2)})${turn}" font-size="${size.toFixed(1)}" `
      + `text-anchor="${anchor}" dy="0.35em" fill="${colour}"${bold ? ' font-weight="600"' : ''}${halo ? ` stroke="${halo}" stroke-width="3" stroke-linejoin="round" paint-order="stroke"` : ''} xml:space="preserve">${escaped(words)}</text>`);
  }

  rect(x, y, w, h, fill) { this.parts.push(`<rect x="${x}" y="${y}" width="${w}" height="${h}" fill="${fill}"/>`); }

  image(picture, x, y, side, cut) {
    this.parts.push(`<svg x="${x}" y="${y}" width="${cut}" height="${cut}"><image width="${side}" height="${side}" `
      + `style="image-rendering:pixelated" href="${picture.toDataURL()}"/></svg>`);
  }

  toString() {
    const [w, h] = this.size;
    return `<?xml version="1.0" encoding="UTF-8"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}" `
      + `viewBox="0 0 ${w} ${h}" font-family="${escaped(family)}">\n<title>${escaped(data.title)}</title>\n${this.parts.join('\n')}\n</svg>\n`;
  }
}

// Places that labels have taken: cells of a grid, so that no two labels meet.
class Taken {
  constructor(cell) { this.cell = cell; this.cells = new Set(); }

  // Take what a line covers, whatever else is there.
  block(x0, y0, x1, y1) {
    const steps = Math.max(1, Math.ceil(Math.hypot(x1 - x0, y1 - y0) / this.cell));
    for (let i = 0; i <= steps; i++) {
      this.cells.add(Math.floor((x0 + (x1 - x0) * i / steps) / this.cell) * 65536 + Math.floor((y0 + (y1 - y0) * i / steps) / this.cell));
    }
  }

  // Take the box around a line of text, or say that it is taken (and take it if it must be).
  take(x, y, length, angle, size, must = false) {
    const found = [];
    const steps = Math.max(1, Math.ceil(length / (this.cell * 0.7)));
    const [dx, dy] = [Math.cos(angle), Math.sin(angle)];
    for (let i = 0; i <= steps; i++) {
      const along = length * i / steps;
      for (const across of [-0.42 * size, -0.14 * size, 0.14 * size, 0.42 * size]) {
        const a = Math.floor((x + dx * along - dy * across) / this.cell);
        const b = Math.floor((y + dy * along + dx * across) / this.cell);
        const key = a * 65536 + b;
        if (!must && this.cells.has(key)) return false;
        found.push(key);
      }
    }
    for (const key of found) this.cells.add(key);
    return true;
  }
}

const ruler = document.createElement('canvas').getContext('2d');
const widths = new Map();
function widthOf(words, size) {
  let width = widths.get(words);
  if (width === undefined) {
    ruler.font = `100px ${family}`;
    width = ruler.measureText(words).width / 100;
    widths.set(words, width);
  }
  return width * size;
}
