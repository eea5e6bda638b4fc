// The list of images: only the rows that are on the screen exist, and they are fetched when they come into sight.
import { call } from "./api.js";

const HEIGHT = 44, PART = 200;

export class Queue {
  constructor(list, space, open) {
    this.list = list; this.space = space; this.open = open;
    this.items = new Map(); this.asked = new Set(); this.total = 0; this.now = -1; this.wanted = {}; this.turn = 0;
    list.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(list);
  }

  async load(wanted) {
    this.wanted = wanted; this.turn++;
    this.items.clear(); this.asked.clear(); this.now = -1; this.list.scrollTop = 0;
    await this.fetch(0);
    this.draw();
    return this.total;
  }

  async fetch(part) {
    if (this.asked.has(part)) return;
    this.asked.add(part);
    const turn = this.turn;
    const found = await call("queue", { ...this.wanted, offset: part * PART, limit: PART });
    if (turn !== this.turn) return;
    if (part === 0 || found.total) this.total = found.total;
    found.items.forEach((item, i) => this.items.set(part * PART + i, item));
    this.draw();
  }

  async select(index) {
    const item = await this.item(index);
    if (!item) return null;
    this.now = index;
    const top = index * HEIGHT;
    if (top < this.list.scrollTop) this.list.scrollTop = top;
    else if (top + HEIGHT > this.list.scrollTop + this.list.clientHeight) this.list.scrollTop = top + HEIGHT - this.list.clientHeight;
    this.draw();
    return item;
  }

  // The image at a place of the queue; null outside of it.
  async item(index) {
    if (index < 0 || index >= this.total) return null;
    await this.fetch(Math.floor(index / PART));
    return this.items.get(index) ?? null;
  }

  // Mark the image as the one that is open, if the queue has it.
  point(sha) {
    for (const [index, item] of this.items) if (item.sha === sha) this.now = index;
    this.draw();
  }

  // Say anew how many labels of each route an image has.
  count(sha, counts) {
    for (const item of this.items.values()) if (item.sha === sha) Object.assign(item, counts);
    this.draw();
  }

  draw() {
    this.space.style.height = `${this.total * HEIGHT}px`;
    const first = Math.max(Math.floor(this.list.scrollTop / HEIGHT) - 4, 0);
    const last = Math.min(first + Math.ceil(this.list.clientHeight / HEIGHT) + 8, this.total);
    const rows = [];
    for (let index = first; index < last; index++) {
      const item = this.items.get(index);
      if (!item) { this.fetch(Math.floor(index / PART)).catch(() => {}); continue; }
      const row = document.createElement("div");
      row.className = index === this.now ? "item now" : "item";
      row.style.top = `${index * HEIGHT}px`;
      const name = document.createElement("div"), counts = document.createElement("div");
      name.className = "name"; name.textContent = item.path; name.title = item.path;
      counts.className = "counts";
      const missed = item.missed ? `, ${item.missed} maybe missed` : "";
      counts.textContent = `${item.review} to review, ${item.accepted} accepted, ${item.rejected} rejected${missed}`;
      row.append(name, counts);
      row.addEventListener("click", () => this.open(index));
      rows.push(row);
    }
    this.space.replaceChildren(...rows);
  }
}
