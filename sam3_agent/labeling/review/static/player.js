// Frames and masks of a video, fetched when they are wanted and a little ahead; nothing else is held.
import { call } from "./api.js";
import { areaOf, runsOf } from "./masks.js";

const PICTURES = 40, AHEAD = 12;  // frames held, and fetched before they are shown
const PART = 16, PARTS = 16;  // frames whose masks come in one answer, and answers held

// The latest things by key; the one that was used longest ago goes first.
class Latest {
  constructor(most) { this.most = most; this.map = new Map(); }
  get(key) {
    const found = this.map.get(key);
    if (found !== undefined) { this.map.delete(key); this.map.set(key, found); }
    return found;
  }
  set(key, value) {
    this.map.set(key, value);
    if (this.map.size > this.most) this.map.delete(this.map.keys().next().value);
  }
  drop(key) { this.map.delete(key); }
  clear() { this.map.clear(); }
}

export class Player {
  // `shown(frame)` is told every frame that is to be drawn: { index, time, picture, seen }.
  constructor(shown, failed) {
    this.shown = shown; this.failed = failed;
    this.pictures = new Latest(PICTURES); this.parts = new Latest(PARTS);
    this.index = -1; this.wanted = -1; this.count = 0; this.fps = 25;
    this.busy = null; this.playing = false; this.speed = 1;
  }

  open(video) { this.count = video.frames; this.fps = video.fps; }

  // Masks have changed: fetch those of the frame on the screen anew.
  async refresh() {
    this.parts.clear();
    if (this.index >= 0) { const index = this.index; this.index = -1; await this.go(this.wanted < 0 ? index : this.wanted); }
  }

  // Show a frame; of many that are asked for while one comes, the latest.
  go(index) {
    this.wanted = Math.min(Math.max(index, 0), this.count - 1);
    this.busy ??= this.follow().finally(() => { this.busy = null; });
    return this.busy;
  }

  async follow() {
    while (this.index !== this.wanted) {
      const index = this.wanted, back = index < this.index;
      try {
        const frame = await this.frame(index);
        if (index !== this.wanted && Math.abs(index - this.wanted) > 1) continue;
        this.put(frame);
      } catch (error) { this.wanted = this.index; this.failed(error); return; }
      this.ahead(back ? -1 : 1);
    }
  }

  put(frame) { this.index = frame.index; this.shown(frame); }

  async frame(index) {
    const [picture, part] = await Promise.all([this.picture(index), this.part(Math.floor(index / PART))]);
    const found = part.get(index) ?? (await this.single(index));
    return { index, time: found.time, picture, seen: found.seen };
  }

  picture(index) {
    const held = this.pictures.get(index);
    if (held) return held;
    const image = new Image();
    image.src = `picture/${index}`;
    const made = image.decode().then(() => image, () => { this.pictures.drop(index); throw new Error(`frame ${index} cannot be shown; is the video still there?`); });
    this.pictures.set(index, made);
    return made;
  }

  part(number) {
    const held = this.parts.get(number);
    if (held) return held;
    const made = this.fetched(number * PART, PART).catch((error) => { this.parts.drop(number); throw error; });
    this.parts.set(number, made);
    return made;
  }

  async fetched(first, count) {
    const { frames } = await call("frames", { first, count });
    return new Map(frames.map(({ frame, time, tracks }) => [frame, { time, seen: tracks.map(take) }]));
  }

  // A frame that its part had no room for.
  async single(index) { return (await this.fetched(index, 1)).get(index); }

  ahead(way) {
    for (let step = 1; step <= AHEAD; step++) {
      const index = this.index + way * step;
      if (index < 0 || index >= this.count) return;
      this.picture(index).catch(() => {});
      this.part(Math.floor(index / PART)).catch(() => {});
    }
  }

  // Play from here on, every frame of it: where they come slower than they should, it plays slower.
  async play(ended) {
    if (this.playing) return;
    this.playing = true;
    if (this.index >= this.count - 1) await this.go(0);
    let due = performance.now();
    while (this.playing && this.index < this.count - 1) {
      const index = this.index + 1;
      let frame;
      try { frame = await this.frame(index); } catch (error) { this.failed(error); break; }
      due = Math.max(due + this.step(index, frame.time), performance.now() - 100);
      await new Promise((done) => setTimeout(done, Math.max(due - performance.now(), 0)));
      await new Promise(requestAnimationFrame);
      if (!this.playing || this.busy) { await this.busy; if (!this.playing) break; continue; }
      if (this.index !== index - 1) continue;  // somebody has jumped meanwhile
      this.wanted = index;
      this.put(frame);
      this.time = frame.time;
      this.ahead(1);
    }
    this.playing = false;
    ended();
  }

  step(index, time) {
    const before = this.at === index - 1 ? this.time : null;
    this.at = index;
    const seconds = before === null ? 1 / this.fps : Math.min(Math.max(time - before, 0), 10);
    return (1000 * seconds) / this.speed;
  }

  pause() { this.playing = false; }
}

function take(track) {
  const runs = runsOf(track.mask);
  return { ...track, runs, area: areaOf(runs) };
}
