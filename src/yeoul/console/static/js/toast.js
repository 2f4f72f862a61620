// Short notes that leave by themselves, and questions that must be answered.

import { field, make, say } from "./dom.js";

const STAY_MS = 3500;

export function toast(text) {
  const note = make("div", { className: "toast" }, text);
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), STAY_MS);
}

/** Asks before something that cannot be undone: true for yes. */
export function confirmed({ title, text, yes, no }) {
  const dialog = document.getElementById("confirm");
  for (const [name, words] of Object.entries({ title, text, yes, no })) say(field(dialog, name), words);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
