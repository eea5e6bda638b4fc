// A row for each track, with the frames in which it is seen, under a bar that scrubs.
import { node } from "./page.js";

export class Timeline {
  // `go(frame)` jumps, `pick(id, frame)` chooses a track where its row was clicked; frame is null on its name.
  constructor(place, go, pick) {
    this.place = place; this.pick = pick;
    this.count = 1; this.tracks = []; this.index = 0; this.rows = new Map();
    this.scrub = node("div", "scrub"); this.ruler = node("canvas", "bar"); this.list = node("div", "rows"); this.head = node("div", "playhead");
    this.corner = node("div", "name");
    this.scrub.append(this.corner, this.ruler);
    this.ruler.tabIndex = 0; this.ruler.setAttribute("role", "slider"); this.ruler.setAttribute("aria-label", "frame");
    place.replaceChildren(this.scrub, this.list, this.head);
    new ResizeObserver(() => this.paint()).observe(place);
    this.ruler.addEventListener("pointerdown", (event) => {
      this.ruler.setPointerCapture(event.pointerId);
      const move = (moved) => go(this.frameAt(moved));
      move(event);
      this.ruler.addEventListener("pointermove", move);
      this.ruler.addEventListener("pointerup", () => this.ruler.removeEventListener("pointermove", move), { once: true });
    });
  }

  open(video, span, cuts) { this.count = video.frames; this.fps = video.fps; this.span = span; this.cuts = cuts; }

  frameAt(event) {
    const box = this.ruler.getBoundingClientRect();
    return Math.min(Math.max(Math.floor(((event.clientX - box.left) / box.width) * this.count), 0), this.count - 1);
  }

  draw(tracks, chosen, merging) {
    this.tracks = tracks;
    this.list.replaceChildren(...tracks.map((track) => this.row(track, chosen, merging)));
    this.list.querySelector(".now")?.scrollIntoView({ block: "nearest" });
    this.paint();
  }

  row(track, chosen, merging) {
    const row = node("div", `track${track.id === chosen ? " now" : ""}${track.route === "rejected" ? " under" : ""}${merging && track.id !== chosen ? " target" : ""}`);
    const name = node("div", "name"), swatch = node("span", "swatch"), bar = node("canvas", "bar");
    swatch.style.background = `rgb(${track.color.join(",")})`;
    name.append(swatch, node("span", "what", `${track.id} ${track.label}`), node("span", `route ${track.route}`, track.route));
    name.title = `${track.id} ${track.label}: ${track.frames} frames${track.reason ? `, ${track.reason}` : ""}`;
    row.dataset.id = track.id;
    row.append(name, bar);
    name.addEventListener("click", () => this.pick(track.id, null));
    bar.addEventListener("click", (event) => this.pick(track.id, this.frameAt(event)));
    this.rows.set(track.id, bar);
    return row;
  }

  paint() {
    this.mark(this.index);
    this.paintRuler();
    for (const [number, row] of [...this.list.children].entries()) this.paintBar(row.lastChild, this.tracks[number]);
  }

  sized(canvas) {
    const ratio = window.devicePixelRatio || 1, wide = canvas.clientWidth, high = canvas.clientHeight;
    canvas.width = wide * ratio; canvas.height = high * ratio;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    return { context, wide, high, x: (frame) => (frame / this.count) * wide };
  }

  paintBar(canvas, track) {
    const { context, wide, high, x } = this.sized(canvas);
    context.fillStyle = "#ffffff0c";
    context.fillRect(0, high / 2 - 1, wide, 2);
    context.fillStyle = `rgb(${track.color.join(",")})`;
    for (const [first, last] of track.spans) context.fillRect(x(first), 4, Math.max(x(last + 1) - x(first), 1.5), high - 8);
    for (const frame of track.corrected) {  // a white notch where clicks have corrected it
      context.fillStyle = "#fff"; context.strokeStyle = "#000"; context.lineWidth = 1;
      context.beginPath(); context.moveTo(x(frame) - 4, 1); context.lineTo(x(frame) + 4, 1); context.lineTo(x(frame), 8); context.closePath();
      context.fill(); context.stroke();
    }
  }

  paintRuler() {
    const { context, wide, high, x } = this.sized(this.ruler);
    if (this.span) { context.fillStyle = "#ffffff14"; context.fillRect(x(this.span[0]), 0, x(this.span[1] + 1) - x(this.span[0]), high); }
    const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 1e4, 2e4, 5e4, 1e5].find((each) => x(each) >= 60) ?? 2e5;
    context.font = "11px system-ui, sans-serif"; context.textBaseline = "middle";
    for (let frame = 0; frame < this.count; frame += step) {
      context.fillStyle = "#ffffff50";
      context.fillRect(x(frame), high - 6, 1, 6);
      if (x(frame) + 30 < wide) { context.fillStyle = "#979eab"; context.fillText(String(frame), x(frame) + 4, high / 2); }
    }
    context.fillStyle = "#e0a93b";
    for (const cut of this.cuts ?? []) context.fillRect(x(cut), 0, 2, high);
  }

  // Put the line at a frame.
  mark(index) {
    this.index = index;
    const left = this.ruler.offsetLeft + ((index + 0.5) / this.count) * this.ruler.clientWidth;
    this.head.style.transform = `translateX(${left}px)`;
    this.ruler.setAttribute("aria-valuenow", index); this.ruler.setAttribute("aria-valuemax", this.count - 1);
  }
}
