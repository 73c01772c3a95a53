// What all canvases share: size, drag, wheel, touch, hover.

class Board {
  constructor(id, handlers) {
    this.canvas = at(id);
    this.context = this.canvas.getContext('2d');
    this.camera = new Camera();
    this.handlers = handlers;
    this.pointers = new Map();
    this.moved = 0;
    const c = this.canvas;
    c.addEventListener('pointerdown', (e) => this.down(e));
    c.addEventListener('pointermove', (e) => this.move(e));
    c.addEventListener('pointerup', (e) => this.up(e));
    c.addEventListener('pointercancel', (e) => this.cancel(e));
    c.addEventListener('pointerleave', () => { hideTip(); handlers.leave?.(); });
    c.addEventListener('blur', () => handlers.leave?.());
    c.addEventListener('wheel', (e) => this.wheel(e), { passive: false });
    c.addEventListener('dblclick', (e) => handlers.twice?.(...this.place(e)));
    c.addEventListener('keydown', (e) => { if (handlers.key?.(e)) e.preventDefault(); });
    new ResizeObserver(() => { if (c.clientWidth) changed(); }).observe(c);
    listeners.push(() => this.draw());
  }

  place(e) {
    const box = this.canvas.getBoundingClientRect();
    return [e.clientX - box.left, e.clientY - box.top];
  }

  down(e) {
    if (e.button) return;
    if (!this.pointers.size) this.before = { ...this.camera };
    this.canvas.setPointerCapture(e.pointerId);
    this.pointers.set(e.pointerId, this.place(e));
    this.moved = 0;
  }

  move(e) {
    const [x, y] = this.place(e);
    const last = this.pointers.get(e.pointerId);
    if (!last) { this.hover(e, x, y); return; }
    if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== e.pointerId)[1];
      const before = Math.hypot(last[0] - other[0], last[1] - other[1]);
      const now = Math.hypot(x - other[0], y - other[1]);
      if (before > 0) this.handlers.zoom(now / before, (x + other[0]) / 2, (y + other[1]) / 2, e.shiftKey);
    } else {
      this.camera.ox += x - last[0];
      this.camera.oy += y - last[1];
    }
    this.moved += Math.abs(x - last[0]) + Math.abs(y - last[1]);
    this.pointers.set(e.pointerId, [x, y]);
    hideTip();
    changed();
  }

  up(e) {
    if (this.pointers.delete(e.pointerId) && this.moved < 5) this.handlers.press?.(...this.place(e));
  }

  // The browser took the finger to scroll the page: what it moved until then goes back.
  cancel(e) {
    if (!this.pointers.delete(e.pointerId) || this.pointers.size) return;
    Object.assign(this.camera, this.before);
    changed();
  }

  // Where there is nothing more to zoom, the wheel scrolls the page.
  wheel(e) {
    const { zx, zy } = this.camera;
    const amount = e.deltaY || e.deltaX;
    this.handlers.zoom(Math.exp(-amount * (e.deltaMode ? 0.06 : 0.0018)), ...this.place(e), e.shiftKey);
    if (zx === this.camera.zx && zy === this.camera.zy) return;
    e.preventDefault();
    hideTip();
    changed();
  }

  hover(e, x, y) {
    const words = this.handlers.hover?.(x, y);
    if (words) showTip(words, e.clientX, e.clientY);
    else hideTip();
  }

  draw() {
    const c = this.canvas;
    const [w, h] = [c.clientWidth, c.clientHeight];
    if (!w || !h) return;
    // One finger moves what is enlarged, and else scrolls the page.
    c.style.touchAction = this.camera.zx === 1 && this.camera.zy === 1 ? 'pan-y' : 'none';
    const ratio = Math.min(window.devicePixelRatio || 1, 3);
    if (c.width !== Math.round(w * ratio) || c.height !== Math.round(h * ratio)) {
      c.width = Math.round(w * ratio);
      c.height = Math.round(h * ratio);
    }
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.fillStyle = theme('paper');
    this.context.fillRect(0, 0, w, h);
    this.handlers.draw(new CanvasPen(this.context), w, h);
  }
}

function showTip(words, x, y) {
  const tip = at('tip');
  tip.textContent = words.join('\n');
  tip.hidden = false;
  const left = Math.min(x + 14, innerWidth - tip.offsetWidth - 6);
  const top = y + 16 + tip.offsetHeight > innerHeight ? y - tip.offsetHeight - 10 : y + 16;
  tip.style.transform = `translate(${Math.max(left, 4)}px, ${Math.max(top, 4)}px)`;
}

function hideTip() { at('tip').hidden = true; }
