// The review page of a video: its state, and what keys and buttons do to it.
import { call } from "./api.js";
import { runsOf } from "./masks.js";
import { at, node, now, run, say } from "./page.js";
import { Player } from "./player.js";
import { Timeline } from "./timeline.js";
import { View } from "./view.js";

const view = new View(at("picture"));
const player = new Player(show, (error) => say(error.message, true));
const timeline = new Timeline(at("timeline"), (frame) => { player.pause(); player.go(frame); }, (id, frame) => run(() => pick(id, frame)));
const state = { video: null, span: [0, 0], tracks: [], labels: [], chosen: null, frame: null, clicks: null, merging: null, version: -1, loaded: false, correction: { state: "idle" } };
let chosenAt = 0, polling = 0;

const chosen = () => state.tracks.find((track) => track.id === state.chosen) ?? null;
const named = (id) => state.tracks.find((track) => track.id === id) ?? null;
const first = (track) => track.spans[0][0];
const final = (track) => track.spans.at(-1)[1];
const isSeen = (track, index) => track.spans.some(([from, to]) => from <= index && index <= to);
const waits = (track) => track.route === "review";

// What the player has fetched is on the screen now.
function show(frame) {
  state.frame = frame;
  view.show(frame.picture, state.video.width, state.video.height);
  paint();
}

function paint() {
  if (!state.frame) return;
  const shown = [];
  for (const each of state.frame.seen) {
    const track = named(each.id);
    if (track && (track.route !== "rejected" || track.id === state.chosen))
      shown.push({ ...each, color: track.color, route: track.route, tag: `${track.id} ${track.label}` });
  }
  view.masks(shown, state.chosen);
  timeline.mark(state.frame.index);
  const { frames, fps } = state.video, last = frames - 1;
  at("where").textContent = `frame ${state.frame.index} of 0-${last}   ${clock(state.frame.time)} of ${clock(state.video.duration)}`;
  at("here").textContent = shown.length ? `${shown.length} here` : `${fps.toFixed(fps % 1 ? 2 : 0)} frames a second`;
  document.body.dataset.frame = state.frame.index;
  document.body.dataset.drawn = shown.length;
}

function clock(seconds) {
  const whole = Math.floor(seconds / 60);
  return `${whole}:${(seconds - 60 * whole).toFixed(2).padStart(5, "0")}`;
}

function draw() {
  timeline.draw(state.tracks, state.chosen, state.merging !== null);
  drawChosen();
  drawLabels();
  paint();
}

function drawChosen() {
  const track = chosen(), place = at("chosen");
  if (!track) {
    const waiting = state.tracks.filter(waits).length;
    place.replaceChildren(node("div", "dim", waiting ? "no track chosen: click on one, or press Tab" : "every track is decided"));
    place.style.borderLeftColor = "";
    return;
  }
  const line = node("div"), many = track.spans.length > 1 ? `, ${track.spans.length} times` : "";
  line.append(node("span", "what", `${track.id} ${track.label} `), node("span", `route ${track.route}`, track.route));
  place.replaceChildren(line, node("div", "dim", `frames ${first(track)}-${final(track)}, seen in ${track.frames}${many}; score ${track.score.toFixed(2)}`), node("div", "dim", track.reason));
  place.style.borderLeftColor = `rgb(${track.color.join(",")})`;
}

function drawLabels() {
  const rows = state.labels.map((label, number) => {
    const row = node("button", `choice${chosen()?.label === label ? " now" : ""}`);
    row.append(node("span", "what", label));
    if (number < 9) row.append(node("kbd", "", String(number + 1)));
    row.addEventListener("click", () => run(() => decide("relabel", label)));
    return row;
  });
  at("label-list").replaceChildren(...rows);
}

function choose(id) {
  if (id !== state.chosen) leave();
  state.chosen = id;
  draw();
}

async function refresh() {
  const answer = await call("state");
  Object.assign(state, { video: answer.video, span: answer.span, tracks: answer.tracks, labels: answer.labels, version: answer.version, loaded: answer.loaded });
  const { review, accepted, rejected } = answer.counts;
  const lost = answer.passed_over ? `, ${answer.passed_over} decisions without their track` : "";
  at("folder").textContent = answer.folder;
  at("title").textContent = `${answer.video.name} (${answer.video.width} x ${answer.video.height})`;
  at("title").title = answer.video.codec;
  at("progress").textContent = `${review} to review, ${accepted} accepted, ${rejected} rejected${lost}`;
  at("empty").hidden = state.tracks.length > 0;
  document.body.dataset.version = answer.version;
  if (!named(state.chosen)) state.chosen = null;
  told(answer.correction);
  return answer;
}

// Tracks are others than before: fetch them, and the masks on the screen.
async function reload() {
  await refresh();
  draw();
  await player.refresh();
}

// Choose a track by itself, and show it where it is not to be seen on this frame.
async function turnTo(track) {
  choose(track?.id ?? null);
  if (track && state.frame && !isSeen(track, state.frame.index)) await player.go(first(track));
  chosenAt = performance.now();
}

async function pick(id, frame) {
  if (state.merging !== null && id !== null && id !== state.merging) return merge(id);
  choose(id);
  const track = chosen();
  if (frame !== null) { player.pause(); return player.go(frame); }
  return track && !isSeen(track, state.frame.index) ? player.go(first(track)) : null;
}

function next(step) {
  const waiting = state.tracks.filter(waits), list = waiting.length ? waiting : state.tracks;
  if (!list.length) return null;
  const place = list.findIndex((track) => track.id === state.chosen);
  return turnTo(list[(place < 0 ? (step > 0 ? 0 : list.length - 1) : place + step + list.length) % list.length]);
}

// Decide; where that is refused, somebody else may have decided meanwhile: show what stands.
async function order(name, given = {}) {
  try { return await call(name, given); } catch (error) { await reload(); throw error; }
}

function need() {
  const track = chosen();
  if (!track) say("choose a track first: click on it, or press Tab");
  return track;
}

async function decide(action, label = "") {
  const track = need();
  if (!track) return null;
  const place = state.tracks.indexOf(track);
  await order("decide", { id: track.id, action, label });
  await refresh();
  // Never stay on what is decided: the next key would decide it anew.
  const after = [...state.tracks.slice(place + 1), ...state.tracks.slice(0, place)].find(waits);
  await turnTo(after);
  return after ? null : say("every track is decided");
}

async function split() {
  const track = need();
  if (!track) return null;
  player.pause();
  const { new_id } = await order("decide", { id: track.id, action: "split", frame: state.frame.index });
  await reload();
  await turnTo(named(new_id));
  return say(`${new_id} is another object from frame ${state.frame.index} on`);
}

function startMerge() {
  const track = need();
  if (!track) return;
  leave();
  state.merging = track.id;
  mode(`merging into ${track.id} ${track.label}: click the track that is the same object, Escape leaves`);
  draw();
}

async function merge(other) {
  const id = state.merging;
  leave();
  await order("decide", { id, action: "merge", other });
  await reload();
  await turnTo(named(id));
  return say(`${other} is part of ${id} now`);
}

async function undo() {
  const { undone } = await order("undo");
  if (!undone) return say("there is nothing to undo");
  await reload();
  const track = undone.ids.map(named).find(Boolean);
  if (track) await turnTo(track);
  if (track && undone.frame >= 0 && undone.frame < state.video.frames) await player.go(undone.frame);
  return say(`undone: ${undone.words}`);
}

function mode(text, waiting = false) {
  at("mode").textContent = text ?? "";
  at("mode").hidden = !text;
  at("mode").className = waiting ? "waits" : "";
}

function leave() {
  const was = state.clicks || state.merging !== null;
  state.clicks = null; state.merging = null;
  mode(null);
  if (view.width && was) { view.sketch(null, []); timeline.draw(state.tracks, state.chosen, false); }
}

async function startClicks() {
  const track = need();
  if (!track) return;
  player.pause();
  await player.busy;
  leave();
  state.clicks = { id: track.id, points: [], sketch: null, index: state.frame.index };
  clickWords();
}

function clickWords(waiting = false) {
  const { id, points, sketch, index } = state.clicks;
  const then = sketch ? "Enter follows it from here on" : points.length ? (state.loaded ? "the model looks" : "the model is being loaded") : "click on it";
  mode(`${id} from frame ${index} on: ${then}; Shift+click beside it, Escape leaves`, waiting);
}

async function press(place, beside) {
  if (!state.clicks) return pick(view.labelAt(place)?.id ?? null, null);
  const mine = state.clicks;
  mine.points.push({ ...place, on: !beside });
  view.sketch(null, mine.points);
  clickWords(true);
  try {
    const given = { id: mine.id, frame: mine.index, points: mine.points.map((p) => [p.x, p.y]), labels: mine.points.map((p) => p.on) };
    const found = await call("click", given);
    if (mine !== state.clicks) return null;
    mine.sketch = found.sketch; state.loaded = true;
    view.sketch(runsOf(found.mask.counts), mine.points);
  } catch (error) {
    mine.points.pop();
    view.sketch(null, mine.points);
    throw error;
  } finally {
    if (mine === state.clicks) clickWords();
  }
  return null;
}

async function follow() {
  const { sketch } = state.clicks;
  if (!sketch) return say("click on the object first");
  leave();
  return told((await call("follow", { sketch })).correction);
}

// Say how far a correction is, and ask again while one runs.
function told(correction) {
  const before = state.correction, { state: stand, id, frame, done, total, fps, left, error } = correction;
  state.correction = correction;
  const cut = stand === "cut off", words = {
    loading: `correcting ${id} from frame ${frame} on: the model is being loaded`,
    tracking: `correcting ${id} from frame ${frame} on: ${done} of ${total} frames, ${fps.toFixed(1)} a second, ${left === null ? "?" : clock(left).slice(0, -3)} left`,
    "cut off": `the correction of ${id} from frame ${frame} on was cut off`,
  };
  at("correction").hidden = stand === "idle";
  at("correction-words").textContent = `${words[stand] ?? ""}${error && cut ? `: ${error}` : ""}`;
  at("correction-bar").max = total || 1; at("correction-bar").value = done;
  at("correction-bar").hidden = cut; at("resume").hidden = !cut; at("keep").hidden = cut;
  at("keep").disabled = stand !== "tracking" || done < 1;
  document.body.dataset.correction = stand;
  if (stand === "idle" && before.state !== "idle") say(error ? `${before.id} was not corrected: ${error}` : `the correction of ${before.id} has ended`, Boolean(error));
  clearTimeout(polling);
  if (stand === "loading" || stand === "tracking") polling = setTimeout(() => now(poll), 500);
}

async function poll() {
  const { version, correction } = await call("progress");
  if (version !== state.version) await run(reload);
  told(correction);
}

async function stop(keep) {
  const { correction } = await call("stop", { keep });
  await reload();
  told(correction);
  say(keep ? "the correction is kept as far as it has come" : "the correction is thrown away");
}

function toggle() {
  if (player.playing) return player.pause();
  leave();
  at("play").textContent = "Pause";
  document.body.dataset.playing = "yes";
  player.play(() => { at("play").textContent = "Play"; delete document.body.dataset.playing; });
  return null;
}

// Step from where the last key wanted to be, so that no key is lost while a frame comes.
function step(by) { player.pause(); leaveClicks(); return player.go((player.busy ? player.wanted : player.index) + by); }
function jump(index) { player.pause(); leaveClicks(); return player.go(index); }
// Clicks are about one frame.
function leaveClicks() { if (state.clicks) leave(); }

const ACTS = { accept: () => decide("accept"), reject: () => decide("reject"), split, merge: startMerge, correct: () => (state.clicks ? leave() : startClicks()) };
const KEYS = {
  a: ACTS.accept, r: ACTS.reject, x: ACTS.reject, s: split, m: startMerge, c: ACTS.correct, u: undo,
  l: () => at("other-label").focus(), 0: () => view.fit(), h: () => { view.hidden = !view.hidden; view.draw(); }, "?": () => at("help").showModal(),
};
// These do not wait for what was decided before them.
const MOVES = {
  " ": () => toggle(), ArrowLeft: (shift) => step(shift ? -10 : -1), ArrowRight: (shift) => step(shift ? 10 : 1), ",": () => step(-1), ".": () => step(1),
  Home: () => jump(0), End: () => jump(state.video.frames - 1), "[": () => chosen() && jump(first(chosen())), "]": () => chosen() && jump(final(chosen())),
};

function actOf(key, back) {
  const number = /^[1-9]$/.test(key) ? Number(key) - 1 : null;
  if (key === "Tab") return () => next(back ? -1 : 1);
  if (key === "Escape") return leave;
  if (key === "Enter") return state.clicks ? follow : null;
  if (number !== null) return number < state.labels.length ? () => decide("relabel", state.labels[number]) : null;
  return KEYS[key] ?? null;
}

// What a key decided was meant for the track that was chosen when it was pressed, not for the one that came since.
const DECIDING = /^[arxs1-9]$/;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || at("help").open || ["SELECT", "INPUT"].includes(event.target.tagName)) return;
  const { key, shiftKey } = event, pressed = performance.now();
  if (MOVES[key]) { event.preventDefault(); if (state.video) now(async () => MOVES[key](shiftKey)); return; }
  if (!actOf(key, shiftKey) && key !== "Enter") return;
  event.preventDefault();
  if (key === "Escape") { leave(); return; }  // whatever is still on its way
  run(async () => {
    if (pressed < chosenAt && DECIDING.test(key)) return say("another track was chosen before that key; look, then press it again", true);
    return actOf(key, shiftKey)?.();
  });
});

view.onclick = (place, beside) => run(() => press(place, beside));
for (const button of document.querySelectorAll("button")) button.addEventListener("click", () => button.blur());  // so that Space plays
for (const button of document.querySelectorAll("[data-act]")) button.addEventListener("click", () => run(async () => ACTS[button.dataset.act]()));
at("undo").addEventListener("click", () => run(undo));
at("keys").addEventListener("click", () => at("help").showModal());
at("play").addEventListener("click", toggle);
at("back").addEventListener("click", () => step(-1));
at("forth").addEventListener("click", () => step(1));
at("speed").addEventListener("change", (event) => { player.speed = Number(event.target.value); event.target.blur(); });
at("resume").addEventListener("click", () => run(async () => told((await call("resume")).correction)));
at("keep").addEventListener("click", () => now(() => stop(true)));
at("discard").addEventListener("click", () => now(() => stop(false)));
at("other-label").addEventListener("keydown", (event) => { if (event.key === "Escape") event.target.blur(); });
at("other").addEventListener("submit", (event) => {
  event.preventDefault();
  const label = at("other-label").value.trim();
  at("other-label").value = ""; at("other-label").blur();
  if (label) run(() => decide("relabel", label));
});

run(async () => {
  const { video, span, cuts } = await refresh();
  player.open(video);
  timeline.open(video, span, cuts);
  state.chosen = state.tracks.find(waits)?.id ?? null;
  draw();
  await player.go(chosen() ? first(chosen()) : span[0]);
});
