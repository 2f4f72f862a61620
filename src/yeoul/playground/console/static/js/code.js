// The prompt as a program.

import { get } from "../../../js/api.js";
import { copyText } from "../../../js/clipboard.js";
import { action, field, make, part, say, show } from "../../../js/dom.js";
import { tell } from "../../../js/errors.js";
import { t } from "../../../js/i18n.js";

export class Code {
  #dialog;
  #signal;
  #id = null;
  #turn = 0;

  constructor(main, signal) {
    this.#dialog = part(main, "code-dialog");
    this.#signal = signal;
    this.#dialog.addEventListener("change", () => this.#read(), { signal });
    action(this.#dialog, "copy-code").addEventListener("click", () => copyText(field(this.#dialog, "code").textContent), { signal });
  }

  /** Opens it for an execution. */
  open({ id, models }) {
    if (id !== this.#id) field(this.#dialog, "model").replaceChildren(...models.map((model) => make("option", { value: model }, model)));
    this.#id = id;
    this.#dialog.showModal();
    this.#read();
  }

  async #read() {
    const mine = (this.#turn += 1);
    const [language, client] = this.#dialog.querySelector("[name=pg-language]:checked").value.split(" ");
    const query = new URLSearchParams({ language, target: field(this.#dialog, "target").value, model: field(this.#dialog, "model").value, ...(client ? { client } : {}) });
    const error = field(this.#dialog, "error");
    try {
      const snippet = await get(`/api/prompts/${this.#id}/code?${query}`, { signal: this.#signal });
      if (mine !== this.#turn) return;
      show(error, false);
      say(field(this.#dialog, "code"), snippet.code);
      const needs = [t("Reads %(names)s from the environment.", { names: snippet.variables.join(", ") })];
      if (snippet.install) needs.push(t("First: %(command)s", { command: snippet.install }));
      say(field(this.#dialog, "needs"), needs.join(" "));
    } catch (problem) {
      if (this.#signal.aborted || mine !== this.#turn) return;
      for (const name of ["code", "needs"]) say(field(this.#dialog, name), "");
      tell(error, problem);
    }
  }
}
