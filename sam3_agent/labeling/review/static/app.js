// The review page: its state, and what keys and buttons do to it.
import { call } from "./api.js";
import { Editor } from "./editor.js";
import { areaOf, runsOf } from "./masks.js";
import { at, now, run, say } from "./page.js";
import { drawChecks, drawClasses, drawLabels } from "./panel.js";
import { Queue } from "./queue.js";
import { View } from "./view.js";

const view = new View(at("picture"));
const queue = new Queue(at("queue"), at("queue-space"), (index) => run(() => open(index)));
const state = { classes: [], image: null, labels: [], chosen: null, sliders: new Map(), clicks: null, drawn: null };
let turn = 0, shownAt = 0;

const numberOf = (name) => Math.max(state.classes.findIndex((each) => each.name === name), 0);
const lineOf = (name) => state.sliders.get(name) ?? state.classes[numberOf(name)]?.threshold ?? 0;
const isDecided = (label) => label.decided_by === "person" || label.decided_by === "file";
// What one other reviewer decided, looked at as if nobody had: by the filter of that name alone.
const isSecond = (label) => at("filter").value === "second" && label.decided_by === "person" && !label.reviewer.includes(", ") && label.reviewer !== state.reviewer;
const isShown = (label) => isSecond(label) || (isDecided(label) ? label.route !== "rejected" : label.score >= lineOf(label.class) && !isLost(label));
// Rejected for another reason than its score, or under a threshold that nobody is moving.
const isLost = (label) => label.route === "rejected" && !(state.sliders.has(label.class) && !label.repeats && label.score < (state.classes[numberOf(label.class)]?.threshold ?? 0));
// What the filter is about and no person has decided: the only labels that are chosen without being pointed at.
const wanted = () => ({ accepted: "accepted", rejected: "rejected" })[at("filter").value] ?? "review";
const isOpen = (label) => isSecond(label) || at("filter").value !== "second" && !isDecided(label) && (at("filter").value !== "disagree" || label.decided_by === "people") && label.route === wanted() && (isShown(label) || wanted() === "rejected");
const chosen = () => state.labels.find((label) => label.id === state.chosen) ?? null;

function take(label) {
  const runs = runsOf(label.mask.counts);
  return { ...label, runs, area: areaOf(runs), number: numberOf(label.class) };
}

// The second reviewer does not see what the first one said.
const asSeen = (label) => (isSecond(label) ? Object.assign(Object.create(label), { route: "review", reason: "" }) : label);

function draw() {
  const labels = state.labels.map(asSeen), shown = labels.filter((label) => isShown(label) || label.id === state.chosen);
  view.masks(shown, state.chosen);
  document.body.dataset.drawn = shown.length;
  drawLabels(at("labels"), labels, state.chosen, isShown, choose);
}

function choose(id) { state.chosen = id; draw(); }

async function refresh() {
  const answer = await call("state");
  state.classes = answer.classes; state.reviewer = answer.reviewer;
  const { review, accepted, rejected, decided } = answer.progress;
  at("folder").textContent = answer.folder;
  at("progress").textContent = `${review} to review, ${accepted} accepted, ${rejected} rejected, ${decided} decided by people${answer.progress.disagree ? `, ${answer.progress.disagree} on which they disagree` : ""}`;
  const { running, done, total, found, error } = answer.search;
  at("search").textContent = running || error ? `search: ${done} of ${total} images, ${found} found ${error}` : "";
  if (running) setTimeout(() => run(refresh), 700);
  drawClasses(at("classes"), state.classes, state.sliders, move, (name, value) => run(() => apply(name, value)));
  return answer;
}

async function load() {
  // Nothing of the old list stays chosen while the new one comes.
  choose(null);
  const total = await queue.load({ filter: at("filter").value, class: at("class-filter").value });
  at("count").textContent = `${total} image${total === 1 ? "" : "s"}`;
  at("empty").hidden = total > 0;
  if (total) await open(0); else { state.image = null; state.labels = []; at("title").textContent = "no image"; drawChecks(at("checks"), []); view.close(); draw(); }
}

async function open(index) {
  const item = await queue.select(index);
  if (item) await show(item);
}

async function show(item) {
  const mine = ++turn;
  leave();
  choose(null);
  const [, image] = await Promise.all([view.open(`picture/${item.sha}`, item.width, item.height), call("image", { sha: item.sha })]);
  if (mine !== turn) return;
  put(image);
  choose(state.labels.find(isOpen)?.id ?? null);
  document.body.dataset.image = item.sha;
  shownAt = performance.now();
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
  counts.second = state.labels.filter(isSecond).length;
  counts.disagree = state.labels.filter((label) => label.decided_by === "people").length;
  counts.missed = state.image.checks.filter((check) => check.route === "review").length;
  queue.count(state.image.sha, counts);
}

async function reload() {
  if (!state.image) return;
  const image = await call("image", { sha: state.image.sha });
  if (image.sha === state.image.sha) put(image);
  await refresh();
}

// The next label that is open, from the chosen one on; any label where none is, as someone asks for it.
function next(step) {
  const waiting = state.labels.filter(isOpen);
  const list = waiting.length ? waiting : state.labels.filter(isShown);
  if (!list.length) return choose(null);
  const place = list.findIndex((label) => label.id === state.chosen);
  return choose(list[(place < 0 ? (step > 0 ? 0 : list.length - 1) : place + step + list.length) % list.length].id);
}

async function decide(action, name) {
  const label = chosen();
  if (!label) return say("choose a label first: click on it, or press Tab");
  const after = state.labels.slice(state.labels.indexOf(label) + 1).concat(state.labels).find((other) => other.id !== label.id && isOpen(other));
  await call("decide", { labels: [label.id], action, class: name, second: isSecond(label) });
  // Never stay on what is decided: the next key would decide it anew.
  state.chosen = after?.id ?? null;
  await reload();
  return after ? null : advance();
}

// The next image of the queue with something open; the last one stays, with nothing chosen.
async function advance() {
  const counted = { review: "review", missed: "missed", second: "second", disagree: "disagree" }[at("filter").value];
  for (let index = queue.now + 1; index < queue.total; index++) {
    const item = await queue.item(index);
    if (item && (!counted || item[counted] > 0)) return open(index);
  }
  return say("that was the last image of this queue");
}

async function acceptAll() {
  const second = at("filter").value === "second";
  const ids = state.labels.filter((label) => (second ? isSecond(label) : isShown(label) && label.route !== "accepted" && !isDecided(label))).map((label) => label.id);
  if (!ids.length) return say("nothing waits here");
  await call("decide", { labels: ids, action: "accept", second });
  state.chosen = null;
  await reload();
  return advance();
}

async function undo() {
  const { undone } = await call("undo");
  if (!undone) return say("there is nothing to undo");
  say(`undone: ${undone.words}`);
  state.sliders.clear();
  if (undone.sha && undone.sha !== state.image?.sha) {
    queue.point(undone.sha);
    await show(await call("image", { sha: undone.sha }));
  }
  await reload();
  const back = state.labels.find((label) => undone.labels.includes(label.id));
  return back ? choose(back.id) : null;
}

function move(name, value) { state.sliders.set(name, value); draw(); }

async function apply(name, value) {
  const { changed } = await call("threshold", { class: name, threshold: value });
  state.sliders.delete(name);
  say(`${name}: threshold ${value.toFixed(2)}, ${changed} labels have another route`);
  return reload();
}

function leave() {
  state.clicks = null; state.drawn = null; view.editor = null;
  at("mode").hidden = true;
  if (view.width) view.sketch(null, []);
}

function enter() {
  const label = chosen();
  state.clicks = { points: [], label, find: null };
  at("mode").textContent = label
    ? `refining ${label.class}: click what is missing, Shift+click what is too much, N for a new object, Enter keeps`
    : "click on an object, Shift+click beside it, 1-9 or Enter keeps it, Escape leaves";
  at("mode").hidden = false;
}

const MODES = {
  brush: "paint, Shift erases, [ and ] change the size",
  polygon: "click its vertices, Enter ends it; drag moves one, Shift+click removes, a click on an edge adds",
};

// Draw by hand: a new object, or the mask of the chosen label.
async function drawBy(kind) {
  const was = state.drawn, label = was && !was.label ? null : chosen();
  if (was?.kind === kind) return leave();
  leave();
  if (!state.image) return say("there is no image");
  const rings = label && kind === "polygon" ? (await call("outline", { id: label.id })).rings : [];
  state.drawn = { kind, label };
  view.editor = new Editor(view, kind, label?.runs ?? null, rings.map((points) => ({ closed: true, points: points.map(([x, y]) => ({ x, y })) })));
  view.draw();
  at("mode").textContent = `${label ? `mending ${label.class}` : "a new object"}: ${MODES[kind]}; U takes back, ${label ? "N a new object, Enter keeps" : "1-9 or Enter keeps"}, Escape leaves`;
  at("mode").hidden = false;
  return null;
}

async function drawNew(kind) { leave(); state.chosen = null; draw(); return drawBy(kind); }

async function keepDrawn(number) {
  const { kind, label } = state.drawn;
  if (number === null && view.editor.close()) return null;
  const name = state.classes[number ?? (label ? label.number : 0)]?.name;
  const { labels } = await call("draw", { sha: state.image.sha, runs: view.editor.result(), class: name, id: label?.id, how: kind });
  leave();
  state.chosen = labels[0].id;
  return reload();
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
  like, search, all: acceptAll, confirm, brush: () => drawBy("brush"), polygon: () => drawBy("polygon"),
};
const KEYS = {
  a: ACTS.accept, r: ACTS.reject, x: ACTS.reject, c: ACTS.click, b: ACTS.brush, p: ACTS.polygon, m: like, M: search, A: acceptAll, d: confirm, u: undo,
  j: () => open(queue.now + 1), k: () => open(queue.now - 1), 0: () => view.fit(),
  h: () => { view.hidden = !view.hidden; view.draw(); }, "?": () => at("help").showModal(),
};

// What a key does by now; null for keys of others.
function actOf(key, back) {
  const number = /^[1-9]$/.test(key) ? Number(key) - 1 : null;
  if (key === "Tab") return () => next(back ? -1 : 1);
  if ((state.clicks || state.drawn) && key === "Escape") return leave;
  if (state.drawn && key === "Enter") return () => keepDrawn(null);
  if (state.drawn && (key === "u" || key === "Backspace")) return () => view.editor.undo() || say("nothing is drawn yet");
  if (state.drawn && (key === "[" || key === "]")) return () => view.editor.resize(key === "]" ? 1 : -1);
  if (state.drawn && key === "n") return () => drawNew(state.drawn.kind);
  if (state.drawn && /^[arxAdmM]$/.test(key)) return () => say("Enter keeps what is drawn, Escape leaves it", true);
  if (state.clicks && key === "Enter") return () => keep(null);
  if (state.clicks && key === "n") return () => { state.chosen = null; draw(); enter(); };
  if (number !== null && number < state.classes.length) return () => (state.drawn ? keepDrawn(number) : state.clicks ? keep(number) : decide("relabel", state.classes[number].name));
  return KEYS[key] ?? null;
}

// What a key decided was meant for what was to be seen when it was pressed, not for the image that came since.
const DECIDING = /^[arxAd1-9]$/;

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "z" && state.drawn) { event.preventDefault(); run(async () => view.editor?.undo()); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || at("help").open || ["SELECT"].includes(event.target.tagName)) return;
  const { key, shiftKey } = event, pressed = performance.now();
  if (actOf(key, shiftKey)) event.preventDefault();
  if (key === "Escape") now(async () => leave());  // whatever is still on its way
  run(async () => {
    if (pressed < shownAt && DECIDING.test(key)) return say("another image came before that key; look, then press it again", true);
    return actOf(key, shiftKey)?.();
  });
});

view.onclick = (place, beside) => run(() => press(place, beside));
for (const button of document.querySelectorAll("[data-act]")) button.addEventListener("click", () => run(async () => ACTS[button.dataset.act]()));
at("undo").addEventListener("click", () => run(undo));
at("calibrate").addEventListener("click", () => run(calibrate));
document.addEventListener("relabeled", () => run(async () => { await refresh(); await load(); }));
at("keys").addEventListener("click", () => at("help").showModal());
for (const id of ["filter", "class-filter"]) at(id).addEventListener("change", () => run(load));

run(async () => {
  const { classes } = await refresh();
  for (const each of classes) at("class-filter").append(new Option(each.name, each.name));
  await load();
});
