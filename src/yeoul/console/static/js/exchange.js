// A question and its answer, as it is written or as it ended. Draws what the job's events add up to.

import { get, post } from "./api.js";
import { copyText } from "./clipboard.js";
import { action, everySecond, field, make, part, rows, say, show } from "./dom.js";
import { tell, words } from "./errors.js";
import { dollars, duration, elapsed, number } from "./format.js";
import { t, tn } from "./i18n.js";
import { isOver, questionOf } from "./jobs.js";
import { Prose } from "./markdown.js";
import { follow } from "./stream.js";
import { EVENT_TYPES, LOOSE_TYPES, Transcript } from "./transcript.js";

const NEAR_END_PX = 96;

export class Exchange {
  #main;
  #root;
  #signal;
  #job = null;
  #transcript = new Transcript();
  #prose;
  #drawing = false;
  #canceling = false;
  #said = "";

  /** Shows job `id` until `signal` ends; `job` when it has just been submitted. */
  constructor(main, id, signal, job = null) {
    this.#main = main;
    this.#root = part(main, "exchange");
    this.#signal = signal;
    this.#clear();
    const listen = { signal };
    action(this.#root, "cancel").addEventListener("click", () => this.#cancel(), listen);
    action(this.#root, "unfold").addEventListener("click", () => this.#fold(false), listen);
    action(this.#root, "copy").addEventListener("click", () => copyText(this.#transcript.text), listen);
    everySecond(() => this.#state(), signal);
    this.#open(id, job);
  }

  /** What was asked; null while it is being loaded. */
  get input() {
    return this.#job && { ...this.#job.input, prompt: questionOf(this.#job) };
  }

  get id() {
    return this.#job?.id ?? null;
  }

  async #open(id, job) {
    const url = `/api/jobs/${id}`;
    const check = async () => this.#know(await get(url, { signal: this.#signal }));
    try {
      if (job) this.#know(job);
      else await check();
    } catch (error) {
      if (!this.#signal.aborted) this.#gone(error);
      return;
    }
    if (this.#signal.aborted) return;
    follow({
      url: `${url}/events`,
      types: EVENT_TYPES,
      loose: LOOSE_TYPES,
      after: 0,
      check,
      signal: this.#signal,
      onState: (state, error) => (state === "gone" ? this.#gone(error) : this.#connection(state)),
      onEvent: (type, data, seq) => {
        this.#transcript.apply(type, data, seq);
        this.#draw();
        return this.#transcript.over ? "end" : undefined;
      },
    });
  }

  #clear() {
    for (const name of ["prompt", "system", "chips", "text", "facts", "error"]) field(this.#root, name).replaceChildren();
    for (const name of ["system-box", "progress", "error", "note", "actions"]) show(field(this.#root, name), false);
    show(action(this.#root, "cancel"), false);
    this.#fold(true);
    field(this.#root, "prompt").append(make("span", { className: "skeleton" }));
    this.#prose = new Prose(field(this.#root, "text"));
    this.#phase("loading");
    say(field(this.#root, "status"), t("Loading"));
    say(field(this.#root, "elapsed"), "");
  }

  /** A long question shows its first lines, so that the answer is in sight. */
  #fold(folded) {
    const text = field(this.#root, "prompt");
    text.classList.toggle("folded", folded);
    show(action(this.#root, "unfold"), folded && text.scrollHeight > text.clientHeight + 1);
  }

  #phase(name) {
    const answer = part(this.#root, "answer");
    answer.dataset.state = name;
    answer.setAttribute("aria-busy", String(name === "busy" || name === "loading"));
  }

  #know(job) {
    const first = this.#job === null;
    this.#job = job;
    this.#canceling = job.cancel_requested && !isOver(job);
    if (!first) return;
    const { input } = job;
    say(field(this.#root, "prompt"), questionOf(job));
    this.#fold(true);
    document.title = `${questionOf(job).slice(0, 60)} · ${t("Yeoul")}`;
    if (input.system) {
      say(field(this.#root, "system"), input.system);
      show(field(this.#root, "system-box"));
    }
    const given = input.parameters ?? {};
    const chips = [input.model === "default" ? t("Default model") : input.model];
    if (given.temperature !== undefined && given.temperature !== null) chips.push(t("temperature %(n)s", { n: number(given.temperature) }));
    if (given.max_tokens) chips.push(t("at most %(n)s tokens", { n: number(given.max_tokens) }));
    field(this.#root, "chips").replaceChildren(...chips.map((text) => make("li", {}, text)));
    field(this.#root, "details").href = `/jobs/${job.id}`;
    this.#phase(isOver(job) ? "loading" : "busy");
    this.#state();
  }

  /** Draws at most once a frame, however many events arrive. */
  #draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      if (!this.#signal.aborted) this.#paint();
    });
  }

  #paint() {
    const transcript = this.#transcript;
    const page = document.scrollingElement;
    const follows = !transcript.over && page.scrollTop + innerHeight >= page.scrollHeight - NEAR_END_PX;
    this.#prose.update(transcript.text, { done: transcript.over });
    this.#state();
    if (transcript.over) this.#ended();
    else if (follows && transcript.text) page.scrollTop = page.scrollHeight;
  }

  /** The line above the answer: what is going on, and for how long. */
  #state() {
    if (this.#job === null) return;
    const transcript = this.#transcript;
    const over = transcript.over;
    show(action(this.#root, "cancel"), !over && !isOver(this.#job));
    action(this.#root, "cancel").disabled = this.#canceling;
    const progress = field(this.#root, "progress");
    show(progress, !over && transcript.progress?.percent !== null && transcript.progress?.percent !== undefined);
    if (!progress.hidden) progress.value = transcript.progress.percent;
    if (over || isOver(this.#job)) return;
    say(field(this.#root, "status"), this.#status());
    const since = Date.parse(this.#job.created_at);
    say(field(this.#root, "elapsed"), elapsed(Math.max(Math.floor((Date.now() - since) / 1000), 0)));
    if (transcript.text) this.#announce(t("The answer is being written."));
  }

  #status() {
    const { status, retrying, position, progress, chunks } = this.#transcript;
    if (this.#canceling) return t("Canceling");
    if (retrying) {
      const left = Math.ceil((retrying.at + retrying.in_seconds * 1000 - Date.now()) / 1000);
      const why = retrying.error ? words(retrying.error).title : t("It was interrupted");
      return left > 0 ? t("%(why)s. Trying again in %(time)s", { why, time: elapsed(left) }) : t("%(why)s. Trying again", { why });
    }
    if (progress?.message) return progress.message;
    if (status === "queued" && position > 1) return tn("Waiting: %(n)s job before it", "Waiting: %(n)s jobs before it", position - 1);
    if (status === "queued") return t("Waiting for its turn");
    return chunks.length ? t("Answering") : t("Thinking");
  }

  #ended() {
    const { status, output, error, usage, text } = this.#transcript;
    this.#phase({ succeeded: "done", failed: "failed", canceled: "stopped" }[status]);
    this.#connection("live");
    show(field(this.#root, "actions"));
    show(action(this.#root, "copy"), text !== "");
    say(field(this.#root, "status"), status === "canceled" ? t("Canceled") : "");
    say(field(this.#root, "elapsed"), "");
    if (status === "failed") tell(field(this.#root, "error"), error);
    const note = field(this.#root, "note");
    if (output?.finish_reason === "length") say(note, t("The answer stops here: it is as long as was allowed. Allow more tokens and ask again."));
    else if (status === "succeeded" && !text.trim()) say(note, t("The model answered with nothing. Ask again or choose another model."));
    show(note, note.textContent !== "");
    this.#facts({ ...usage, ...output });
    this.#announce({ succeeded: t("The answer is complete."), failed: "", canceled: t("The answer was canceled.") }[status]);
  }

  #facts({ model, usage, cost, time_ms: time }) {
    const facts = [];
    if (model) facts.push([t("Model"), model]);
    if (usage) facts.push([t("Tokens"), t("%(input)s in, %(output)s out", { input: number(usage.input_tokens), output: number(usage.output_tokens) })]);
    if (cost?.usd !== null && cost?.usd !== undefined) facts.push([t("Cost"), Number(cost.usd) === 0 ? t("free") : dollars(cost.usd)]);
    if (time) facts.push([t("Time"), duration(time / 1000)]);
    if (this.#transcript.attempt > 1) facts.push([t("Attempts"), number(this.#transcript.attempt)]);
    rows(field(this.#root, "facts"), facts);
  }

  async #cancel() {
    this.#canceling = true;
    this.#state();
    try {
      await post(`/api/jobs/${this.#job.id}/cancel`);
    } catch (error) {
      this.#canceling = false;
      this.#state();
      tell(field(this.#root, "error"), error);
    }
  }

  #gone(error) {
    this.#phase("failed");
    field(this.#root, "prompt").replaceChildren();
    show(field(this.#root, "actions"));
    for (const name of ["copy", "again", "edit"]) show(action(this.#root, name), false);
    tell(field(this.#root, "error"), error);
  }

  #connection(state) {
    const note = part(this.#main, "connection");
    if (state === "away") say(note, t("Connection lost. The answer goes on; reconnecting."));
    show(note, state === "away");
  }

  /** Says a thing once to screen readers; the text itself is not read out piece by piece. */
  #announce(text) {
    if (text === this.#said) return;
    this.#said = text;
    say(field(this.#root, "announce"), text);
  }
}
