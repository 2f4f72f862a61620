// Keys for the hurried. Those of a single letter stay quiet while one writes, and can be switched off.

import { recall } from "./store.js";

const PREFIX_MS = 1200;
const isMac = /mac|iphone|ipad/i.test(navigator.userAgentData?.platform ?? navigator.platform ?? "");

let prefixAt = 0;

const writes = (target) => target.closest?.("input, textarea, select, [contenteditable], dialog[open]") !== null;

/** Opens the page whose entry in the menu has this key; whether there is one. */
function open(key) {
  const link = [...document.querySelectorAll(".nav a")].find((candidate) => candidate.dataset.key === key);
  link?.click();
  return link !== undefined;
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || writes(event.target)) return;
  if (recall("keys") === "off" || !document.querySelector(".nav")) return;
  // With a Korean input method on, the N key says ㅜ: then its place on the keyboard counts.
  const key = /^[ -~]$/.test(event.key) ? event.key.toLowerCase() : event.code.replace(/^Key/, "").toLowerCase();
  const afterG = Date.now() - prefixAt < PREFIX_MS;
  prefixAt = 0;
  if (afterG && open(key)) return;
  if (key === "g") prefixAt = Date.now();
  else if (key === "?") document.getElementById("shortcuts").showModal();
  else if (key === "n") {
    event.preventDefault();
    const answered = !document.dispatchEvent(new CustomEvent("yeoul:new", { cancelable: true }));
    if (!answered) open("a");
  } else if (!document.dispatchEvent(new CustomEvent("yeoul:key", { cancelable: true, detail: key }))) {
    event.preventDefault(); // a key of this page's own
  }
}

export function watchShortcuts() {
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", (event) => {
    const opener = event.target.closest?.("[data-open]");
    if (opener) document.getElementById(opener.dataset.open).showModal();
    // A click beside a dialog closes it.
    else if (event.target.matches?.("dialog[open]")) event.target.close();
  });
}

/** Names the key that stands beside Enter as this keyboard does. */
export function nameKeys() {
  if (isMac) for (const key of document.querySelectorAll("kbd[data-mod]")) key.textContent = "⌘";
}
