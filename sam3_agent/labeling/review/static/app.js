// The review page: what is on the state, and what keys and buttons do to it.
import { call } from "./api.js";
import { areaOf, runsOf } from "./masks.js";
import { drawChecks, drawClasses, drawLabels } from "./panel.js";
import { Queue } from "./queue.js";
import { View } from "./view.js";

const at = (id) => document.getElementById(id);
const view = new View(at("picture"));
const queue = new Queue(at("queue"), at("queue-space"), (index) => run(() => open(index)));
const state = { classes: [], image: null, labels: [], chosen: null, sliders: new Map(), clicks: null };
let turn = 0, hush = 0, last = Promise.resolve();

function say(text, bad = false) {
  at("toast").textContent = text;
  at("toast").className = bad ? "bad" : "";
  at("toast").hidden = false;
  clearTimeout(hush);
  hush = setTimeout(() => { at("toast").hidden = true; }, bad ? 9000 : 3000);
}

async function now(act) {
  try { return await act(); } catch (error) { say(error.message, true); return null; }
}

// One after the other, in the order of keys and clicks: each acts on what the one before it left.
function run(act) { return (last = last.then(() => now(act))); }

const numberOf = (name) => Math.max(state.classes.findIndex((each) => each.name === name), 0);
const lineOf = (name) => state.sliders.get(name) ?? state.classes[numberOf(name)]?.threshold ?? 0;
const isDecided = (label) => label.reviewer !== "";
const isShown = (label) => (isDecided(label) ? label.route !== "rejected" : label.score >= lineOf(label.class) && !isLost(label));
// Rejected for another reason than its score, or under a threshold that nobody is moving.
const isLost = (label) => label.route === "rejected" && !(state.sliders.has(label.class) && label.reason.startsWith("score "));
const chosen = () => state.labels.find((label) => label.id === state.chosen) ?? null;

function take(label) {
  const runs = runsOf(label.mask.counts);
  return { ...label, runs, area: areaOf(runs), number: numberOf(label.class) };
}

function draw() {
  const shown = state.labels.filter((label) => isShown(label) || label.id === state.chosen);
  view.masks(shown, state.chosen);
  document.body.dataset.drawn = shown.length;
  drawLabels(at("labels"), state.labels, state.chosen, isShown, choose);
}

function choose(id) { state.chosen = id; draw(); }

async function refresh() {
  const state = await call("state");
  state.classes = state.classes;
  const { review, accepted, rejected, decided } = state.progress;
  at("folder").textContent = state.folder;
  at("progress").textContent = `${review} to review, ${accepted} accepted, ${rejected} rejected, ${decided} decided by people`;
  const { running, done, total, found, error } = state.search;
  at("search").textContent = running || error ? `search: ${done} of ${total} images, ${found} found ${error}` : "";
  if (running) setTimeout(() => run(refresh), 700);
  drawClasses(at("classes"), state.classes, state.sliders, move, (name, value) => run(() => apply(name, value)));
  return state;
}

async function load() {
  const total = await queue.load({ filter: at("filter").value, class: at("class-filter").value });
  at("count").textContent = `${total} image${total === 1 ? "" : "s"}`;
  at("empty").hidden = total > 0;
  if (total) await open(0); else { state.image = null; state.labels = []; state.chosen = null; at("title").textContent = "no image"; drawChecks(at("checks"), []); view.close(); draw(); }
}

async function open(index) {
  const item = await queue.select(index);
  if (item) await show(item);
}

async function show(item) {
  const mine = ++turn;
  leave();
  state.chosen = null;
  const [, image] = await Promise.all([view.open(`picture/${item.sha}`, item.width, item.height), call("image", { sha: item.sha })]);
  if (mine !== turn) return;
  put(image);
  next(1);
  document.body.dataset.image = item.sha;
}

function put(image) {
  state.image = image;
  const order = { review: 0, accepted: 1, rejected: 2 };
  state.labels = image.labels.map(take).sort((a, b) => order[a.route] - order[b.route] || b.quality - a.quality);
  at("title").textContent = `${image.path} (${image.width} x ${image.height})`;
  drawChecks(at("checks"), image.checks);
  count();
  draw();
}

function count() {
  const counts = { review: 0, accepted: 0, rejected: 0 };
  for (const label of state.labels) counts[label.route]++;
  counts.missed = state.image.checks.filter((check) => check.route === "review").length;
  queue.count(state.image.sha, counts);
}

async function reload() {
  if (!state.image) return;
  const image = await call("image", { sha: state.image.sha });
  if (image.sha === state.image.sha) put(image);
  await refresh();
}

// The next label that waits, from the chosen one on; the first label where none does.
function next(step) {
  const waiting = state.labels.filter((label) => label.route === "review" && isShown(label));
  const list = waiting.length ? waiting : state.labels.filter(isShown);
  if (!list.length) return choose(null);
  const place = list.findIndex((label) => label.id === state.chosen);
  return choose(list[(place < 0 ? (step > 0 ? 0 : list.length - 1) : place + step + list.length) % list.length].id);
}

async function decide(action, name) {
  const label = chosen();
  if (!label) return say("choose a label first: click on it, or press Tab");
  await call("decide", { labels: [label.id], action, class: name });
  const after = state.labels.slice(state.labels.indexOf(label) + 1).concat(state.labels).find((other) => other.id !== label.id && other.route === "review" && isShown(other));
  state.chosen = after?.id ?? label.id;
  return reload();
}

async function acceptAll() {
  const ids = state.labels.filter((label) => isShown(label) && label.route !== "accepted" && !isDecided(label)).map((label) => label.id);
  if (!ids.length) return say("nothing waits here");
  await call("decide", { labels: ids, action: "accept" });
  return reload();
}

async function undo() {
  const { undone } = await call("undo");
  if (!undone) return say("there is nothing to undo");
  say(`undone: ${undone.action}`);
  state.sliders.clear();
  if (undone.sha && undone.sha !== state.image?.sha) {
    const image = await call("image", { sha: undone.sha });
    return show(image).then(refresh);
  }
  return reload();
}

function move(name, value) { state.sliders.set(name, value); draw(); }

async function apply(name, value) {
  const { changed } = await call("threshold", { class: name, threshold: value });
  state.sliders.delete(name);
  say(`${name}: threshold ${value.toFixed(2)}, ${changed} labels have another route`);
  return reload();
}

function leave() { state.clicks = null; at("mode").hidden = true; if (view.width) view.sketch(null, []); }

function enter() {
  const label = chosen();
  state.clicks = { points: [], label, find: null };
  at("mode").textContent = label
    ? `refining ${label.class}: click what is missing, Shift+click what is too much, N for a new object, Enter keeps`
    : "click on an object, Shift+click beside it, 1-9 or Enter keeps it, Escape leaves";
  at("mode").hidden = false;
}

async function press(place, beside) {
  if (!state.clicks) return choose(view.labelAt(place)?.id ?? null);
  const { points, label } = state.clicks;
  points.push({ ...place, on: !beside });
  view.sketch(null, points);
  const given = { sha: state.image.sha, points: points.map((p) => [p.x, p.y]), labels: points.map((p) => p.on), box: label?.box };
  const mine = state.clicks;
  try {
    const found = await call("click", given);
    if (mine !== state.clicks) return null;
    mine.find = found.find;
    return view.sketch(runsOf(found.mask.counts), points);
  } catch (error) {
    points.pop();
    view.sketch(null, points);
    throw error;
  }
}

async function keep(number) {
  const { find, label } = state.clicks;
  if (!find) return say("click on the object first");
  const name = state.classes[number ?? (label ? label.number : 0)]?.name;
  const { labels } = await call("mask", { find, class: name, id: label?.id });
  leave();
  state.chosen = labels[0].id;
  return reload();
}

async function like() {
  if (!chosen()) return say("choose a label first");
  const { labels } = await call("like", { id: state.chosen });
  say(labels.length ? `${labels.length} more like this` : "nothing else like this here");
  return reload();
}

async function search() {
  if (!chosen()) return say("choose a label first");
  await call("search", { id: state.chosen });
  return refresh();
}

async function confirm() {
  await call("confirm", { sha: state.image.sha });
  say("nothing is missing here");
  return reload();
}

async function calibrate() {
  const { fits } = await call("calibrate");
  say(fits.map((fit) => `${fit.class}: accept from ${fit.accept.toFixed(2)}`).join(", "));
  return reload();
}

const ACTS = {
  accept: () => decide("accept"), reject: () => decide("reject"), click: () => (state.clicks ? leave() : enter()),
  like, search, all: acceptAll, confirm,
};
const KEYS = {
  a: ACTS.accept, r: ACTS.reject, x: ACTS.reject, c: ACTS.click, m: like, M: search, A: acceptAll, d: confirm, u: undo,
  j: () => open(queue.now + 1), k: () => open(queue.now - 1), 0: () => view.fit(),
  h: () => { view.hidden = !view.hidden; view.draw(); }, "?": () => at("help").showModal(),
};

// What a key does by now; null for keys of others.
function actOf(key, back) {
  const number = /^[1-9]$/.test(key) ? Number(key) - 1 : null;
  if (key === "Tab") return () => next(back ? -1 : 1);
  if (state.clicks && key === "Escape") return leave;
  if (state.clicks && key === "Enter") return () => keep(null);
  if (state.clicks && key === "n") return () => { state.chosen = null; draw(); enter(); };
  if (number !== null && number < state.classes.length) return () => (state.clicks ? keep(number) : decide("relabel", state.classes[number].name));
  return KEYS[key] ?? null;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || at("help").open || ["SELECT"].includes(event.target.tagName)) return;
  const { key, shiftKey } = event;
  if (actOf(key, shiftKey)) event.preventDefault();
  if (key === "Escape") now(async () => leave());  // whatever is still on its way
  run(async () => actOf(key, shiftKey)?.());
});

view.onclick = (place, beside) => run(() => press(place, beside));
for (const button of document.querySelectorAll("[data-act]")) button.addEventListener("click", () => run(async () => ACTS[button.dataset.act]()));
at("undo").addEventListener("click", () => run(undo));
at("calibrate").addEventListener("click", () => run(calibrate));
at("keys").addEventListener("click", () => at("help").showModal());
for (const id of ["filter", "class-filter"]) at(id).addEventListener("change", () => run(load));

run(async () => {
  const { classes } = await refresh();
  for (const each of classes) at("class-filter").append(new Option(each.name, each.name));
  await load();
});
