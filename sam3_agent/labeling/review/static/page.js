// What both pages have: words at the bottom, and acts that run one after the other.

export const at = (id) => document.getElementById(id);

let hush = 0, last = Promise.resolve();

export function say(text, bad = false) {
  at("toast").textContent = text;
  at("toast").className = bad ? "bad" : "";
  at("toast").hidden = false;
  clearTimeout(hush);
  hush = setTimeout(() => { at("toast").hidden = true; }, bad ? 9000 : 3000);
}

export async function now(act) {
  try { return await act(); } catch (error) { say(error.message, true); return null; }
}

// One after the other, in the order of keys and clicks: each acts on what the one before it left.
export function run(act) { return (last = last.then(() => now(act))); }

export function node(kind, name, text) {
  const made = document.createElement(kind);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}
