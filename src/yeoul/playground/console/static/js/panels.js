// What is set rarely lies in folded panels below the prompt; a row of buttons says which of them hold something.

import { field, part, say, show } from "../../../js/dom.js";
import { number } from "../../../js/format.js";

export class Panels {
  #form;
  #buttons;

  constructor(form, signal) {
    this.#form = form;
    this.#buttons = new Map([...form.querySelectorAll("[data-panel]")].map((button) => [button.dataset.panel, button]));
    for (const [name, button] of this.#buttons) {
      button.disabled = false;
      button.addEventListener("click", () => this.#set(name, button.getAttribute("aria-expanded") !== "true"), { signal });
    }
  }

  open(name) {
    this.#set(name, true);
  }

  fold() {
    for (const name of this.#buttons.keys()) this.#set(name, false);
  }

  /** Opens the one that holds an element. */
  openAround(element) {
    const panel = element.closest(".pg-panel");
    if (panel) this.open(panel.dataset.part.replace("panel-", ""));
  }

  /** Shows how much is set in each: {name: count}. */
  note(counts) {
    for (const [name, count] of Object.entries(counts)) say(field(this.#form, `note-${name}`), count ? number(count) : "");
  }

  /** Opens the table of cases when there is one; the others say how much they hold. */
  openUsed() {
    if (field(this.#form, "note-cases").textContent) this.open("cases");
  }

  #set(name, on) {
    this.#buttons.get(name).setAttribute("aria-expanded", String(on));
    show(part(this.#form, `panel-${name}`), on);
  }
}
