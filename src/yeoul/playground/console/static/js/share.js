// A link by which everybody can read a prompt and its answers.

import { call, get, post, Problem } from "../../../js/api.js";
import { copyText } from "../../../js/clipboard.js";
import { action, field, part, say, show } from "../../../js/dom.js";
import { trying } from "../../../js/errors.js";
import { t } from "../../../js/i18n.js";
import { confirmed, toast } from "../../../js/toast.js";

export class Share {
  #dialog;
  #id = null;
  #signal;

  constructor(main, signal) {
    this.#dialog = part(main, "share-dialog");
    this.#signal = signal;
    const listen = { signal };
    const link = field(this.#dialog, "link");
    link.addEventListener("focus", () => link.select(), listen);
    action(this.#dialog, "copy-link").addEventListener("click", () => copyText(link.value), listen);
    action(this.#dialog, "start-sharing").addEventListener("click", () => this.#try(async () => this.#draw(await post(`/api/prompts/${this.#id}/share`))), listen);
    action(this.#dialog, "stop-sharing").addEventListener("click", () => this.#try(() => this.#stop()), listen);
  }

  /** Opens it for a prompt. */
  async open(id) {
    this.#id = id;
    say(field(this.#dialog, "words"), t("Loading"));
    for (const name of ["start-sharing", "stop-sharing"]) show(action(this.#dialog, name), false);
    show(field(this.#dialog, "link-row"), false);
    this.#dialog.showModal();
    await this.#try(async () => {
      try {
        this.#draw(await get(`/api/prompts/${id}/share`));
      } catch (error) {
        if (!(error instanceof Problem) || error.status !== 404) throw error;
        this.#draw(null);
      }
    });
  }

  #draw(shared) {
    say(field(this.#dialog, "words"), shared
      ? t("Everybody who has this link can read the prompt and the answers of its latest runs. Nobody can change anything.")
      : t("A link shows the prompt and the answers of its latest runs to everybody who has it, without signing in."));
    field(this.#dialog, "link").value = shared ? new URL(shared.url, location.href).href : "";
    show(field(this.#dialog, "link-row"), shared !== null);
    show(action(this.#dialog, "start-sharing"), shared === null);
    show(action(this.#dialog, "stop-sharing"), shared !== null);
  }

  async #stop() {
    const sure = await confirmed({
      title: t("Stop sharing?"),
      text: t("The link no longer works for anybody, and a new one will be another."),
      yes: t("Stop sharing"), no: t("Keep the link"),
    });
    if (!sure) return;
    await call("DELETE", `/api/prompts/${this.#id}/share`);
    this.#draw(null);
    action(this.#dialog, "start-sharing").focus();
    toast(t("The link no longer works"));
  }

  #try(work) {
    return trying(field(this.#dialog, "error"), this.#signal, work);
  }
}
