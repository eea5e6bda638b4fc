// The button that teaches: a round runs on the server while the page goes on, and can be stopped.
import { call } from "./api.js";

const at = (id) => document.getElementById(id);
let running = false;

function words({ doing, done, of, seconds_left: left, error, says }) {
  if (error) return error;
  if (!running) return says.join(" | ");
  const time = left === null ? "" : left < 60 ? `, ${Math.round(left)} s left` : `, ${Math.round(left / 60)} min left`;
  return of ? `${doing}: ${done} of ${of}${time}` : doing;
}

async function watch() {
  const state = await call("round_state");
  const ended = running && !state.running;
  running = state.running;
  at("teach").textContent = running ? "Stop teaching" : "Teach";
  at("round").textContent = words(state);
  at("round").title = words(state);
  if (running) setTimeout(() => watch().catch(told), 700);
  if (ended) document.dispatchEvent(new Event("relabeled"));
}

function told(error) { at("round").textContent = error.message; }

at("teach").addEventListener("click", async () => {
  try {
    await call(running ? "round_stop" : "round");
    await watch();
  } catch (error) { told(error); }
});

// A page that is served without rounds has no such button.
watch().then(() => { at("teach").hidden = false; }, () => {});
