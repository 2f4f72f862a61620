// The versions of a prompt: opened, labelled, held against the one that is shown.

import { call, get } from "../../../js/api.js";
import { action, field, make, part, show } from "../../../js/dom.js";
import { trying } from "../../../js/errors.js";
import { ago, moment, number } from "../../../js/format.js";
import { t, tn } from "../../../js/i18n.js";
import { drawDiff } from "./diff.js";
import { titleOf } from "./prompts.js";

const PAGE = 20;

export class Versions {
  #dialog;
  #signal;
  #shown = null;
  #execution = null;
  #cursor = null;

  constructor(main, signal) {
    this.#dialog = part(main, "versions-dialog");
    this.#signal = signal;
    const more = action(this.#dialog, "more-versions");
    more.addEventListener("click", () => this.#try(() => this.#read(this.#cursor)), { signal });
  }

  /** Opens them for the prompt and the execution that are shown. */
  async open(prompt, execution) {
    this.#shown = prompt;
    this.#execution = execution;
    show(field(this.#dialog, "diff"), false);
    this.#dialog.showModal();
    await this.#try(() => this.#read(null));
  }

  async #read(from) {
    const query = new URLSearchParams({ limit: PAGE, ...(from ? { cursor: from } : {}) });
    const page = await get(`/api/prompts/${this.#shown.id}/versions?${query}`, { signal: this.#signal });
    const list = field(this.#dialog, "versions");
    const rows = page.items.map((one) => this.#row(one));
    if (from) list.append(...rows);
    else list.replaceChildren(...rows);
    this.#cursor = page.next_cursor;
    show(action(this.#dialog, "more-versions"), this.#cursor !== null);
  }

  #row(one) {
    const isShown = one.id === this.#shown.id;
    const words = t("Version %(n)s", { n: number(one.version) });
    const title = make("p", { className: "entry-title" }, make("a", { href: `/playground/${one.id}` }, words), isShown ? make("span", { className: "badge" }, t("shown")) : null, ...one.labels.map((label) => this.#label(one, label)));
    const facts = make("p", { className: "entry-facts" },
      make("span", {}, titleOf(one).slice(0, 80)),
      make("time", { dateTime: one.created_at, title: moment(one.created_at) }, ago(one.created_at)),
      make("span", {}, tn("%(n)s run", "%(n)s runs", one.executions)));
    const against = isShown ? null : make("button", { type: "button", className: "button small", "aria-label": t("What differs from %(version)s", { version: words }) }, t("Differences"));
    against?.addEventListener("click", () => this.#try(() => this.#compare(one)));
    // An id of a prompt means its latest run: with another version that, else the page lets one choose.
    const beside = one.executions > (isShown ? 1 : 0) ? make("a", { className: "button small", href: `/playground/${isShown ? this.#execution.id : one.id}/beside/${this.#execution.id}`, "aria-label": t("Answers of %(version)s beside those shown", { version: words }) }, t("Side by side")) : null;
    return make("li", { className: "entry" }, make("div", { className: "entry-words" }, title, facts, this.#labelForm(one)), against, beside);
  }

  #label(one, label) {
    const gone = make("button", { type: "button", "aria-label": t("Remove the label %(label)s", { label }) }, "×");
    gone.addEventListener("click", () => this.#try(async () => {
      await call("DELETE", `/api/prompts/${one.id}/labels/${label}`);
      await this.#read(null);
    }));
    return make("span", { className: "pg-chip" }, make("span", {}, label), gone);
  }

  #labelForm(one) {
    const input = make("input", { name: "label", maxLength: 40, pattern: "[a-z0-9][a-z0-9._\\-]{0,39}", required: true, placeholder: t("Label"), autocapitalize: "none", spellcheck: false,
      "aria-label": t("Label for version %(n)s", { n: number(one.version) }), title: t("Small letters, digits, dots and dashes.") });
    const form = make("form", { className: "pg-label-form" }, input, make("button", { className: "quiet" }, t("Add")));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#try(async () => {
        await call("PUT", `/api/prompts/${one.id}/labels/${encodeURIComponent(input.value)}`);
        await this.#read(null);
      });
    });
    return form;
  }

  async #compare(one) {
    const diff = await get(`/api/prompts/${this.#shown.id}/diff?against=${one.id}`, { signal: this.#signal });
    const box = field(this.#dialog, "diff");
    box.replaceChildren(make("h3", { className: "pg-diff-title" }, t("Version %(n)s beside the one shown", { n: number(one.version) })), ...drawDiff(diff));
    show(box);
    box.focus({ preventScroll: true });
    box.scrollIntoView({ block: "nearest" });
  }

  #try(work) {
    return trying(field(this.#dialog, "error"), this.#signal, work);
  }
}
