// The session behind the cookies: renewed when the access token has expired, by one tab for all.

import { recall, remember } from "./store.js";

const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("yeoul") : null;

let last = Promise.resolve();

/** Runs `task` when no other one of this name runs, in any tab; in this tab alone where the browser has no locks. */
function alone(name, task) {
  if (navigator.locks) return navigator.locks.request(name, task);
  last = last.then(task, task);
  return last;
}

/**
 * Gets a new access token, unless another tab has got one after `since` (milliseconds): true when there is one.
 * Throws what `fetch` throws when the server cannot be reached.
 */
export function renew(since) {
  return alone("yeoul.renew", async () => {
    if (Number(recall("renewed") ?? 0) > since) return true;
    const response = await fetch("/api/auth/refresh", { method: "POST" });
    if (response.ok) remember("renewed", Date.now());
    else if (response.status >= 500 || response.status === 429) throw new TypeError(`refresh answered ${response.status}`);
    return response.ok;
  });
}

/** Leaves for the sign-in form, which leads back here. */
export function leave({ ended = true } = {}) {
  const here = location.pathname + location.search;
  const query = new URLSearchParams();
  if (here !== "/" && ended) query.set("next", here);
  if (ended) query.set("ended", "true");
  location.replace(query.size ? `/signin?${query}` : "/signin");
}

export async function signOut({ everywhere = false } = {}) {
  let response = await fetch(`/api/auth/logout${everywhere ? "?everywhere=true" : ""}`, { method: "POST" });
  // Ending every session takes an open one; ending this one does not.
  if (everywhere && response.status === 401 && (await renew(Date.now()))) response = await fetch("/api/auth/logout?everywhere=true", { method: "POST" });
  if (everywhere && !response.ok && response.status !== 401) throw new TypeError(`logout answered ${response.status}`);
  channel?.postMessage("signed out");
  leave({ ended: false });
}

/** Leaves too when another tab signs out, or when the browser shows again a page from before. */
export function watchSession(isPrivate) {
  channel?.addEventListener("message", (event) => {
    if (event.data === "signed out" && isPrivate()) leave({ ended: false });
  });
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
}
