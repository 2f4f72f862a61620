// Starts the page's script, which <main data-script> names, and does so again when htmx has put another page in its place.

import { nameKeys, watchShortcuts } from "./shortcuts.js";
import { watchSession } from "./session.js";

let leaving = new AbortController();
let mounted = null;

async function mount({ moved = false } = {}) {
  const main = document.getElementById("main");
  if (main === mounted) return;
  leaving.abort();
  leaving = new AbortController();
  mounted = main;
  const { signal } = leaving;
  nameKeys();
  if (moved && !main.querySelector("[autofocus]:focus")) main.querySelector("h1")?.focus({ preventScroll: true });
  if (!main.dataset.script) return;
  const page = await import(main.dataset.script);
  if (!signal.aborted) page.mount(main, signal);
}

document.addEventListener("htmx:after:swap", () => mount({ moved: true }));
// A page that cannot be had quietly is asked for in the open: the browser then says what is wrong.
for (const type of ["htmx:error", "htmx:response:error"]) {
  document.addEventListener(type, (event) => {
    const { request, sourceElement } = event.detail.ctx ?? {};
    if (sourceElement?.hasAttribute("data-refresh")) return; // it asks again by itself
    if (request?.method === "GET" && request.action) location.assign(request.action);
  });
}
watchShortcuts();
watchSession(() => document.querySelector(".nav") !== null);
mount();
