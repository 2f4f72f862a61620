// Earlier prompts: searched, and read page by page.

import { get } from "../../../js/api.js";
import { action, copyOf, field, part, say, show } from "../../../js/dom.js";
import { tell } from "../../../js/errors.js";
import { ago, moment, number } from "../../../js/format.js";
import { t, tn } from "../../../js/i18n.js";
import { badgeOf, titleOf } from "./prompts.js";

const PAGE = 20;
const TYPING_MS = 250;

function row(prompt) {
  const found = copyOf("pg-prompt");
  found.querySelector("a").href = `/playground/${prompt.id}`;
  say(field(found, "title"), titleOf(prompt));
  const labels = (prompt.labels ?? []).join(", ");
  const version = prompt.version > 1 || labels ? t("version %(n)s", { n: number(prompt.version) }) : "";
  say(field(found, "version"), labels ? `${version} · ${labels}` : version);
  const created = field(found, "created");
  created.dateTime = prompt.created_at;
  created.title = moment(prompt.created_at);
  say(created, ago(prompt.created_at));
  const { execution } = prompt;
  if (!execution) return found;
  badgeOf(field(found, "status"), execution.status, execution.cancel_requested);
  say(field(found, "models"), execution.models.length > 2 ? tn("%(n)s model", "%(n)s models", execution.models.length) : execution.models.join(", "));
  return found;
}

export class History {
  #main;
  #list;
  #signal;
  #cursor = null;
  #turn = 0; // which search counts: what was read for an earlier one is dropped

  constructor(main, signal) {
    this.#main = main;
    this.#signal = signal;
    this.#list = part(main, "prompts");
    const more = action(main, "more");
    more.addEventListener("click", async () => {
      more.disabled = true;
      await this.#read(this.#cursor);
      more.disabled = false;
    }, { signal });
    const form = part(main, "search");
    let timer = null;
    form.addEventListener("submit", (event) => { event.preventDefault(); this.read(); }, { signal });
    form.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => signal.aborted || this.read(), TYPING_MS);
    }, { signal });
    form.elements.search.disabled = false;
  }

  focus() {
    part(this.#main, "history").scrollIntoView({ block: "start" });
    part(this.#main, "search").elements.search.focus({ preventScroll: true });
  }

  /** Reads the first page anew. */
  read() {
    this.#turn += 1;
    return this.#read(null);
  }

  async #read(from) {
    const mine = this.#turn;
    const search = part(this.#main, "search").elements.search.value.trim();
    const query = new URLSearchParams({ limit: PAGE, ...(search ? { search } : {}), ...(from ? { cursor: from } : {}) });
    const box = part(this.#main, "history-error");
    try {
      const page = await get(`/api/prompts?${query}`, { signal: this.#signal });
      if (mine !== this.#turn) return;
      const rows = page.items.map(row);
      if (from) this.#list.append(...rows);
      else this.#list.replaceChildren(...rows);
      this.#cursor = page.next_cursor;
      show(box, false);
      const empty = part(this.#main, "history-empty");
      say(empty, search ? t("No prompt has these words.") : t("Nothing yet. What you run is kept here."));
      show(empty, this.#list.children.length === 0);
    } catch (error) {
      if (this.#signal.aborted || mine !== this.#turn) return;
      if (!from) this.#list.replaceChildren();
      tell(box, error);
    }
    this.#list.setAttribute("aria-busy", "false");
    show(action(this.#main, "more"), this.#cursor !== null);
  }
}
