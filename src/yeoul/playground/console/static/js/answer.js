// One answer on the page. Its text is text: it only ever grows, until it is void.

import { copyText } from "../../../js/clipboard.js";
import { action, copyOf, field, make, rows, say, show } from "../../../js/dom.js";
import { tell, words } from "../../../js/errors.js";
import { dollars, duration, elapsed, number } from "../../../js/format.js";
import { t } from "../../../js/i18n.js";
import { Prose } from "../../../js/markdown.js";

const finishes = {
  stop: () => t("complete"),
  length: () => t("cut off at its longest"),
  other: () => t("otherwise"),
};

function stateWords({ state, retrying, text }) {
  if (state === "queued") return t("Waiting");
  if (state === "running") return text ? "" : t("Thinking");
  if (state === "canceled") return t("Stopped");
  if (state !== "retrying") return "";
  const left = Math.ceil((retrying.at + retrying.in_seconds * 1000 - Date.now()) / 1000);
  const why = retrying.error ? words(retrying.error).title : t("It was interrupted");
  return left > 0 ? t("%(why)s. Trying again in %(time)s", { why, time: elapsed(left) }) : t("%(why)s. Trying again", { why });
}

/** What an answer took, as [[term, text], …]. */
export function metrics(result) {
  const { tokens_used: tokens, cost_usd: cost } = result;
  const facts = [];
  if (result.response_time_ms !== null) facts.push([t("Time"), duration(result.response_time_ms / 1000)]);
  if (result.first_token_ms !== null) facts.push([t("First word"), duration(result.first_token_ms / 1000)]);
  if (tokens) facts.push([t("Tokens"), t("%(input)s in, %(output)s out", { input: number(tokens.input), output: number(tokens.output) })]);
  if (tokens?.cached) facts.push([t("From cache"), number(tokens.cached)]);
  if (cost !== null) facts.push([t("Cost"), Number(cost) === 0 ? t("free") : dollars(cost)]);
  if (result.finish_reason) facts.push([t("End"), finishes[result.finish_reason]?.() ?? result.finish_reason]);
  return facts;
}

function mark({ name, passed, detail }) {
  const [sort, sign, said] = passed === null ? ["unknown", "?", t("Not judged")] : passed ? ["passed", "✓", t("Passed")] : ["failed", "✗", t("Failed")];
  return make("li", { className: sort, title: detail ?? "" }, make("span", { "aria-hidden": "true" }, sign), make("span", { className: "sr-only" }, `${said}: `), name,
    detail && passed !== true ? make("span", { className: "pg-soft" }, ` · ${detail}`) : null);
}

export class Answer {
  #lane;
  #drawn = 0; // how much of the text is there
  #void = 0;
  #node = null; // the text's node, or the Prose that draws it
  #formatted;

  /** `label`: which one it is, when there are several; `stop(lane)`, `retry(lane)`: what its buttons do, or null. */
  constructor(lane, label, { stop = null, retry = null, formatted = false } = {}) {
    this.#lane = lane;
    this.#formatted = formatted;
    this.root = copyOf("pg-answer");
    say(field(this.root, "label"), label);
    this.own = stop !== null;
    for (const [name, does] of [["stop", stop], ["retry", retry]]) action(this.root, name).addEventListener("click", () => does(lane));
    action(this.root, "copy").addEventListener("click", () => copyText(lane.text));
  }

  set formatted(on) {
    if (on === this.#formatted) return;
    this.#formatted = on;
    this.#clear();
    this.#write();
  }

  /** Whether the reader is at the text's end, so that it is to follow. Reads the layout: ask before anything is drawn. */
  get follows() {
    const box = field(this.root, "text");
    return this.#lane.state === "running" && box.scrollHeight > box.clientHeight && box.scrollTop + box.clientHeight >= box.scrollHeight - 40;
  }

  toEnd() {
    const box = field(this.root, "text");
    box.scrollTop = box.scrollHeight;
  }

  draw() {
    const lane = this.#lane;
    if (this.root.dataset.state !== lane.state) this.#state();
    this.#tick();
    this.#write();
    if (!lane.result || lane.result === this.shown) return;
    this.shown = lane.result;
    this.#result();
  }

  /** What is said of it while it is not there yet, some of it by the second. */
  tick() {
    if (this.#lane.state === "retrying") this.#tick();
  }

  #tick() {
    say(field(this.root, "state"), stateWords(this.#lane));
  }

  #state() {
    const { state } = this.#lane;
    const busy = state === "queued" || state === "running" || state === "retrying";
    this.root.dataset.state = state;
    show(action(this.root, "stop"), busy && this.own);
    show(action(this.root, "retry"), (state === "error" || state === "canceled") && this.own);
    show(action(this.root, "copy"), state === "completed");
    if (busy) {
      show(field(this.root, "error"), false);
      this.shown = null;
    }
  }

  #clear() {
    field(this.root, "text").replaceChildren();
    this.#drawn = 0;
    this.#node = null;
  }

  #write() {
    const { text, result } = this.#lane;
    const box = field(this.root, "text");
    if (this.#void !== this.#lane.void) {
      this.#clear();
      this.#void = this.#lane.void;
    }
    if (text.length === this.#drawn && !(this.#formatted && result)) return;
    if (this.#formatted) {
      box.className = "pg-text prose";
      this.#node ??= new Prose(box);
      this.#node.update(text, { done: result !== null });
    } else {
      box.className = "pg-text";
      if (this.#node === null) box.append((this.#node = document.createTextNode("")));
      this.#node.appendData(text.slice(this.#drawn));
    }
    this.#drawn = text.length;
  }

  #result() {
    const { result, state } = this.#lane;
    if (state === "error") tell(field(this.root, "error"), { code: result.error_code ?? "model_error", message: result.error_message ?? "" });
    else show(field(this.root, "error"), false);
    if (state === "completed" && !result.response_text?.trim()) say(field(this.root, "state"), t("The model answered with nothing."));
    rows(field(this.root, "metrics"), state === "completed" ? metrics(result) : []);
    const checks = result.checks ?? [];
    field(this.root, "checks").replaceChildren(...checks.map(mark));
    show(field(this.root, "checks"), checks.length > 0);
  }
}
