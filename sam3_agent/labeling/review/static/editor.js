// Masks by hand: a brush that paints and erases, and polygons whose vertices can be moved. What is drawn is kept as a
// list of steps over the mask that was there, so that each can be taken back; pixels are made of them anew.
import { paint, runsOfPixels } from "./masks.js";

const REACH = 8; // screen pixels within which a vertex or an edge is meant
const MOST_STEPS = 500;
const WIDE = 24; // screen pixels of the first brush
const COLOR = "#50b0ff";
export const SIZES = [1, 2, 4, 7, 12, 20, 35, 60, 100, 160];

export class Editor {
  // `runs` is the mask to begin with, null for none; `rings` are its outlines where vertices are edited.
  constructor(view, kind, runs, rings = null) {
    this.view = view; this.kind = kind; this.runs = runs;
    this.steps = [{ rings: rings ?? [], strokes: [] }];
    this.grabbed = null; this.pointer = null;
    // To begin with about as wide on the screen for any image.
    this.size = Math.max(SIZES.findIndex((size) => size * view.scale >= WIDE), 0);
    this.base = this.kind === "brush" && runs ? this.canvasOf(runs) : null;
    this.redraw();
  }

  get now() { return this.steps.at(-1); }
  get open() { return this.now.rings.find((ring) => !ring.closed) ?? null; }
  get width() { return SIZES[this.size]; }

  // Change what is drawn; the state before stays in the list.
  step(change) {
    const { rings, strokes } = this.now;
    const next = { rings: rings.map((ring) => ({ ...ring, points: ring.points.map((p) => ({ ...p })) })), strokes: [...strokes] };
    change(next);
    this.steps.push(next);
    if (this.steps.length > MOST_STEPS) this.steps.splice(1, 1);
    this.redraw();
  }

  // Take the last step back; false where nothing is left to take back.
  undo() {
    if (this.steps.length === 1) return false;
    this.steps.pop();
    this.redraw();
    return true;
  }

  resize(by) { this.size = Math.min(Math.max(this.size + by, 0), SIZES.length - 1); this.view.draw(); }

  // The pointer goes down; true where it draws, false where it may move the image.
  press(place, event) {
    if (event.button !== 0) return false;
    if (this.kind === "brush") {
      const stroke = { size: this.width, erase: event.shiftKey, points: [place] };
      this.step((next) => next.strokes.push(stroke));
      this.grabbed = stroke;
      return true;
    }
    return this.pressVertex(place, event);
  }

  pressVertex(place, event) {
    const reach = REACH / this.view.scale, found = this.vertexAt(place, reach);
    const isFirst = found && this.open && found.ring === this.now.rings.indexOf(this.open) && found.index === 0;
    if (isFirst && this.open.points.length > 2 && !event.shiftKey) { this.close(); return true; }
    if (found && event.shiftKey) {
      this.step((next) => {
        const { points } = next.rings[found.ring];
        points.splice(found.index, 1);
        if (points.length < (next.rings[found.ring].closed ? 3 : 1)) next.rings.splice(found.ring, 1);
      });
      return true;
    }
    const edge = found ? null : this.edgeAt(place, reach);
    if (found || edge) {
      this.step((next) => { if (edge) next.rings[edge.ring].points.splice(edge.index, 0, { ...place }); });
      const at = found ?? edge;
      this.grabbed = this.now.rings[at.ring].points[at.index];
      return true;
    }
    if (event.shiftKey) return false;
    this.step((next) => {
      const ring = next.rings.find((each) => !each.closed);
      if (ring) ring.points.push({ ...place });
      else next.rings.push({ closed: false, points: [{ ...place }] });
    });
    return true;
  }

  drag(place) {
    if (!this.grabbed) return;
    if (this.kind === "brush") {
      this.grabbed.points.push(place);
      this.stroke(this.grabbed, this.grabbed.points.length - 2);
      return this.view.draw();
    }
    Object.assign(this.grabbed, this.inside(place));
    return this.redraw();
  }

  release() { this.grabbed = null; }

  hover(place) { this.pointer = place; this.view.draw(); }

  // End the polygon that is being drawn; false where none is.
  close() {
    if (!this.open || this.open.points.length < 3) return false;
    this.step((next) => { next.rings.find((ring) => !ring.closed).closed = true; });
    return true;
  }

  inside({ x, y }) { return { x: Math.min(Math.max(x, 0), this.view.width), y: Math.min(Math.max(y, 0), this.view.height) }; }

  vertexAt({ x, y }, reach) {
    let best = null, least = reach;
    this.now.rings.forEach(({ points }, ring) => points.forEach((point, index) => {
      const far = Math.hypot(point.x - x, point.y - y);
      if (far <= least) { least = far; best = { ring, index }; }
    }));
    return best;
  }

  // The edge under a place: where a new vertex would go into its ring.
  edgeAt({ x, y }, reach) {
    let best = null, least = reach / 2;
    this.now.rings.forEach(({ points, closed }, ring) => points.forEach((a, index) => {
      const b = points[index + 1] ?? (closed ? points[0] : null);
      if (!b) return;
      const dx = b.x - a.x, dy = b.y - a.y, length = dx * dx + dy * dy;
      const share = length ? Math.min(Math.max(((x - a.x) * dx + (y - a.y) * dy) / length, 0), 1) : 0;
      const far = Math.hypot(a.x + share * dx - x, a.y + share * dy - y);
      if (far <= least) { least = far; best = { ring, index: index + 1 }; }
    }));
    return best;
  }

  redraw() {
    const { view } = this, canvas = view.drawing, { width, height } = view;
    canvas.width = width; canvas.height = height;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    if (this.base) context.drawImage(this.base, 0, 0);
    for (const stroke of this.now.strokes) this.stroke(stroke, 0);
    context.fillStyle = COLOR;
    context.fill(this.path(), "evenodd");
    view.draft = true;
    view.draw();
  }

  // Draw a stroke from one of its points on; a dot is a line too.
  stroke({ points, size, erase }, from) {
    const context = this.view.drawing.getContext("2d", { willReadFrequently: true });
    context.globalCompositeOperation = erase ? "destination-out" : "source-over";
    context.strokeStyle = COLOR;
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = size;
    context.beginPath();
    context.moveTo(points[from].x, points[from].y);
    for (const point of points.slice(from)) context.lineTo(point.x, point.y + 0.001);
    context.stroke();
    context.globalCompositeOperation = "source-over";
  }

  canvasOf(runs) {
    const { width, height } = this.view, canvas = document.createElement("canvas"), owner = new Int32Array(width * height);
    canvas.width = width; canvas.height = height;
    paint(runs, height, width, owner, 1);
    const image = new ImageData(width, height), pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < owner.length; i++) if (owner[i]) pixels[i] = 0xffffb050; // COLOR, as memory has it
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  path() {
    const path = new Path2D();
    for (const { points } of this.now.rings) {
      points.forEach((p, i) => (i ? path.lineTo(p.x, p.y) : path.moveTo(p.x, p.y)));
      path.closePath();
    }
    return path;
  }

  // Lines, vertices and the brush, over everything.
  decorate(context, scale) {
    context.lineWidth = 1.5 / scale;
    context.strokeStyle = "#fff";
    if (this.kind === "brush" && this.pointer) {
      context.beginPath();
      context.arc(this.pointer.x, this.pointer.y, this.width / 2, 0, 7);
      context.stroke();
    }
    if (this.kind !== "polygon") return;
    for (const [style, wide] of [["#000c", 3.5], ["#fff", 1.5]]) {
      context.strokeStyle = style;
      context.lineWidth = wide / scale;
      context.stroke(this.path());
    }
    const side = 7 / scale;
    for (const { points, closed } of this.now.rings) {
      points.forEach((p, i) => {
        context.fillStyle = !closed && i === 0 ? "#3fb96f" : COLOR;
        context.fillRect(p.x - side / 2, p.y - side / 2, side, side);
        context.strokeRect(p.x - side / 2, p.y - side / 2, side, side);
      });
    }
  }

  // The run lengths of what is drawn, beginning with what is outside; a pixel is in it from half of its area on.
  result() {
    const { width, height } = this.view;
    const { data } = this.view.drawing.getContext("2d").getImageData(0, 0, width, height);
    return runsOfPixels((x, y) => data[4 * (y * width + x) + 3] > 127, height, width);
  }
}
