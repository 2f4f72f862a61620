// Operations: htmx asks for the figures every few seconds; this says when it cannot.

import { field, part, say, show } from "../dom.js";
import { t } from "../i18n.js";

export function mount(main, signal) {
  const state = (live) => {
    show(field(main, "live"), live);
    const note = part(main, "connection");
    say(note, t("Connection lost. Reconnecting."));
    show(note, !live);
  };
  const ours = (event) => event.detail.ctx?.sourceElement?.id === "figures";
  const listen = { signal };
  for (const type of ["htmx:error", "htmx:response:error"]) {
    document.addEventListener(type, (event) => ours(event) && state(false), listen);
  }
  document.addEventListener("htmx:after:swap", (event) => ours(event) && state(true), listen);
}
