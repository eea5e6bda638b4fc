// The picture with its masks: zoom, pan, what lies under the pointer.
import { outlineOf, overlay, paint } from "./masks.js";

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.layer = document.createElement("canvas");
    this.drawing = document.createElement("canvas");
    this.scale = 1; this.x = 0; this.y = 0;
    this.picture = null; this.owner = null; this.shown = []; this.points = [];
    this.hidden = false; this.draft = false; this.fitted = true; this.onclick = () => {};
    this.editor = null; // draws with the pointer while it is set
    new ResizeObserver(() => (this.fitted && this.width ? this.fit() : this.draw())).observe(canvas);
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.editor?.hover(this.at(event)));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  // Show another picture; masks come by `masks`.
  async open(url, width, height) {
    const picture = new Image();
    picture.src = url;
    this.width = width; this.height = height;
    this.points = []; this.draft = false;
    this.owner = null; this.shown = [];
    this.fit();
    try { await picture.decode(); } catch { throw new Error("the picture cannot be shown; is the file still there?"); }
    this.picture = picture;
    this.draw();
  }

  // Show a picture that is there already, as the frames of a video; the place stays where frames are of one size.
  show(picture, width, height) {
    const other = width !== this.width || height !== this.height;
    this.width = width; this.height = height; this.picture = picture;
    if (other) this.fit();
  }

  close() { this.picture = null; this.owner = null; this.shown = []; this.draw(); }

  masks(shown, chosen) {
    if (!this.width) return;
    this.shown = [...shown].sort((a, b) => b.area - a.area);
    this.chosen = chosen;
    const { image, owner } = overlay(this.shown, this.height, this.width, chosen);
    this.owner = owner;
    this.layer.width = this.width; this.layer.height = this.height;
    this.layer.getContext("2d").putImageData(image, 0, 0);
    this.draw();
  }

  // The mask that clicks have made so far; null for none.
  sketch(runs, points) {
    this.points = points;
    this.draft = runs !== null;
    this.drawing.width = this.width; this.drawing.height = this.height;
    if (runs) {
      const owner = new Int32Array(this.width * this.height);
      paint(runs, this.height, this.width, owner, 1);
      const image = new ImageData(this.width, this.height);
      const pixels = new Uint32Array(image.data.buffer);
      for (let i = 0; i < owner.length; i++) if (owner[i]) pixels[i] = 0xa0ffb050;
      this.drawing.getContext("2d").putImageData(image, 0, 0);
    }
    this.draw();
  }

  fit() {
    const box = this.canvas.getBoundingClientRect();
    this.scale = Math.min(box.width / this.width, box.height / this.height) * 0.96 || 1;
    this.x = (box.width - this.width * this.scale) / 2;
    this.y = (box.height - this.height * this.scale) / 2;
    this.fitted = true;
    this.draw();
  }

  draw() {
    const box = this.canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
    this.canvas.width = box.width * ratio; this.canvas.height = box.height * ratio;
    const context = this.context;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, box.width, box.height);
    if (!this.picture) return;
    context.setTransform(ratio * this.scale, 0, 0, ratio * this.scale, ratio * this.x, ratio * this.y);
    context.imageSmoothingEnabled = this.scale < 3;
    context.drawImage(this.picture, 0, 0, this.width, this.height);
    if (!this.hidden && this.owner) {
      context.drawImage(this.layer, 0, 0);
      const chosen = this.shown.find((label) => label.id === this.chosen);
      if (chosen) this.outline(chosen, 2.5);
    }
    const tagged = this.hidden ? [] : this.shown.filter((label) => label.tag);
    for (const label of tagged.sort((a, b) => (a.id === this.chosen) - (b.id === this.chosen))) this.tag(label);
    if (this.draft) {
      context.globalAlpha = this.editor ? 0.6 : 1;
      context.drawImage(this.drawing, 0, 0);
      context.globalAlpha = 1;
    }
    this.editor?.decorate(context, this.scale);
    for (const point of this.points) {
      context.beginPath();
      context.arc(point.x, point.y, 5 / this.scale, 0, 7);
      context.fillStyle = point.on ? "#3fb96f" : "#e5605a";
      context.fill();
      context.lineWidth = 1.5 / this.scale; context.strokeStyle = "#fff"; context.stroke();
    }
  }

  // A white line around a mask, on a darker one so that it shows on any picture.
  outline(label, width) {
    label.path ??= outlineOf(label.runs, this.height);
    this.context.lineCap = "square";
    for (const [style, wide] of [["#000c", width + 2], ["#fff", width]]) {
      this.context.strokeStyle = style;
      this.context.lineWidth = wide / this.scale;
      this.context.stroke(label.path);
    }
  }

  // A name above a mask, of one size at any zoom.
  tag(label) {
    const context = this.context, size = 12 / this.scale, [x0, y0, x1] = label.box, [r, g, b] = label.color;
    context.font = `600 ${size}px system-ui, sans-serif`;
    const wide = context.measureText(label.tag).width + size * 0.7, high = size * 1.4;
    const x = Math.min(Math.max((x0 + x1 - wide) / 2, 0), Math.max(this.width - wide, 0)), y = Math.max(y0 - high - 2 / this.scale, 0);
    context.fillStyle = `rgb(${r},${g},${b})`;
    context.fillRect(x, y, wide, high);
    if (label.id === this.chosen) { context.lineWidth = 2 / this.scale; context.strokeStyle = "#fff"; context.strokeRect(x, y, wide, high); }
    context.fillStyle = 0.3 * r + 0.59 * g + 0.11 * b > 140 ? "#000" : "#fff";
    context.textBaseline = "middle";
    context.fillText(label.tag, x + size * 0.35, y + high / 2);
  }

  // Pixel of the picture under a pointer event.
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left - this.x) / this.scale, y: (event.clientY - box.top - this.y) / this.scale };
  }

  labelAt({ x, y }) {
    if (!this.owner || x < 0 || y < 0 || x >= this.width || y >= this.height) return null;
    const index = this.owner[Math.floor(y) * this.width + Math.floor(x)];
    return index ? this.shown[index - 1] : null;
  }

  wheel(event) {
    event.preventDefault();
    const box = this.canvas.getBoundingClientRect();
    const factor = Math.exp(-event.deltaY * 0.0015), px = event.clientX - box.left, py = event.clientY - box.top;
    const scale = Math.min(Math.max(this.scale * factor, 0.02), 60);
    this.x = px - (px - this.x) * (scale / this.scale);
    this.y = py - (py - this.y) * (scale / this.scale);
    this.scale = scale; this.fitted = false;
    this.draw();
  }

  press(event) {
    if (this.editor?.press(this.at(event), event)) return this.follow(event.pointerId);
    const from = { x: event.clientX, y: event.clientY, left: this.x, top: this.y };
    let moved = false;
    this.canvas.setPointerCapture(event.pointerId);
    const move = (now) => {
      if (Math.hypot(now.clientX - from.x, now.clientY - from.y) > 4) moved = true;
      if (!moved) return;
      this.x = from.left + now.clientX - from.x;
      this.y = from.top + now.clientY - from.y; this.fitted = false;
      this.draw();
    };
    const release = (now) => {
      this.canvas.removeEventListener("pointermove", move);
      if (!moved) this.onclick(this.at(now), now.shiftKey || now.button === 2);
    };
    this.canvas.addEventListener("pointermove", move);
    this.canvas.addEventListener("pointerup", release, { once: true });
  }

  // What the editor has begun goes on until the pointer is let go.
  follow(pointer) {
    this.canvas.setPointerCapture(pointer);
    const drag = (event) => this.editor?.drag(this.at(event));
    this.canvas.addEventListener("pointermove", drag);
    this.canvas.addEventListener("pointerup", () => { this.canvas.removeEventListener("pointermove", drag); this.editor?.release(); }, { once: true });
  }
}
