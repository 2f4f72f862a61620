// What has been written and not yet run is kept in this browser, for each prompt by itself, so that tabs with different
// prompts leave each other's alone. Of many, the latest are kept.

import { recall, remember, remembered } from "../../../js/store.js";

const WAIT_MS = 300;
const KEPT = "playground.draft.";
const MOST = 20;

let timer = null;
let latest = null;

const nameOf = (of) => `${KEPT}${of ?? "new"}`;

function read(name) {
  try {
    return JSON.parse(recall(name));
  } catch {
    return null;
  }
}

function write() {
  clearTimeout(timer);
  timer = null;
  if (!latest) return;
  remember(nameOf(latest.of), JSON.stringify({ at: Date.now(), values: latest.values() }));
  latest = null;
  const names = remembered(KEPT);
  if (names.length <= MOST) return;
  const byAge = names.map((name) => [read(name)?.at ?? 0, name]).sort(([a], [b]) => b - a);
  for (const [, name] of byAge.slice(MOST)) remember(name, null);
}
addEventListener("pagehide", write);

/** Keeps `values()` for a prompt (null: a new one), a moment after the last change. */
export function keep(of = null, values) {
  latest = { of, values };
  timer ??= setTimeout(write, WAIT_MS);
}

/** What was kept of a prompt (null: a new one), or null. What is still to be kept, of whichever, is kept first. */
export function kept(of = null) {
  write();
  return read(nameOf(of))?.values ?? null;
}

/** Forgets what was kept of a prompt (null: a new one); of another, what is still to be kept is kept first. */
export function forget(of = null) {
  if (latest && latest.of === of) latest = null;
  write();
  remember(nameOf(of), null);
}
