// What has been written and not yet run is kept in this browser, for each prompt by itself.

import { recall, remember } from "../../../js/store.js";

const WAIT_MS = 300;
const KEPT = "playground.draft";

let timer = null;
let latest = null;

function write() {
  clearTimeout(timer);
  timer = null;
  if (latest) remember(KEPT, JSON.stringify({ of: latest.of, values: latest.values() }));
  latest = null;
}
addEventListener("pagehide", write);

/** Keeps `values()`, a moment after the last change. */
export function keep(of = null, values) {
  latest = { of, values };
  timer ??= setTimeout(write, WAIT_MS);
}

/** What was kept of a prompt (null: a new one), or null. */
export function kept(of = null) {
  try {
    const found = JSON.parse(recall(KEPT));
    return found?.of === of ? found.values : null;
  } catch {
    return null;
  }
}

export function forget() {
  clearTimeout(timer);
  timer = latest = null;
  remember(KEPT, null);
}
