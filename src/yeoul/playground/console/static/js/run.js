// An execution on the page: as it stands, then as it goes on.

import { get, post } from "../../../js/api.js";
import { action, everySecond, field, part, say, show } from "../../../js/dom.js";
import { tell } from "../../../js/errors.js";
import { number } from "../../../js/format.js";
import { t, tn } from "../../../js/i18n.js";
import { recall, remember } from "../../../js/store.js";
import { follow } from "../../../js/stream.js";
import { toast } from "../../../js/toast.js";
import { Board, ENDED, MESSAGE_TYPES } from "./board.js";
import { Columns } from "./columns.js";
import { badgeOf } from "./prompts.js";
import { drawStatistics } from "./statistics.js";

/** Numbers are read anew at most so often while answers end. */
const GATHER_MS = 1000;
/** So many of those asked again are followed at a time, as browsers open few connections; others are looked at each second. */
const MOST_AGAIN = 2;
const JOB_TYPES = ["started", "text", "retrying", "succeeded", "failed", "canceled"];
const JOB_ENDED = new Set(["succeeded", "failed", "canceled"]);

export class Run {
  #main;
  #root;
  #signal;
  #board = null;
  #columns = null;
  #gathering = null;
  #again = new Set(); // jobs that ask again and are followed
  #canceling = false;
  #said = "";

  /** Shows the execution of an id, a prompt's or its own, until `signal` ends; `known(status)` is called once it is, `gone()` when it is not there. */
  constructor(main, id, signal, known, gone) {
    this.#main = main;
    this.#root = part(main, "run");
    this.#signal = signal;
    this.id = id;
    show(this.#root);
    show(part(this.#root, "run-actions"), false);
    this.#clear();
    const formatted = part(this.#root, "formatted");
    formatted.checked = recall("playground.formatted") === "on";
    formatted.addEventListener("change", () => {
      remember("playground.formatted", formatted.checked ? "on" : null);
      if (this.#columns) this.#columns.formatted = formatted.checked;
    }, { signal });
    action(this.#root, "stop-all").addEventListener("click", () => this.stop(), { signal });
    everySecond(() => {
      this.#columns?.tick();
      if (this.#askedAgain().length) this.#gather();
    }, signal);
    // What has ended may have been asked again in another tab meanwhile.
    document.addEventListener("visibilitychange", () => document.hidden || !this.#board?.over || this.#gather(0), { signal });
    this.#open(known, gone);
  }

  get execution() {
    return this.#board?.execution ?? null;
  }

  #clear() {
    for (const name of ["columns", "stats-head", "stats-rows"]) part(this.#root, name).replaceChildren();
    show(part(this.#root, "stats"), false);
    show(part(this.#root, "run-error"), false);
    show(field(this.#root, "status"), false);
    show(action(this.#root, "stop-all"), false);
    say(field(this.#root, "count"), t("Loading"));
    this.#root.setAttribute("aria-busy", "true");
  }

  async #open(known, gone) {
    try {
      const status = await get(`/api/prompts/${this.id}/status`, { signal: this.#signal });
      if (this.#signal.aborted) return;
      this.id = status.execution_id;
      this.#board = new Board(status);
      this.#columns = new Columns(part(this.#root, "columns"), this.#board, this.#signal, {
        stop: (lane) => this.#stop(lane), retry: (lane) => this.#retry(lane), formatted: part(this.#root, "formatted").checked,
      });
      show(part(this.#root, "run-actions"));
      this.#draw();
      this.#followAgain();
      known(status);
    } catch (error) {
      if (this.#signal.aborted) return;
      this.#gone(error);
      gone();
      return;
    }
    if (!this.#board.over) this.#follow();
  }

  #follow() {
    follow({
      url: `/api/prompts/${this.id}/events`,
      types: MESSAGE_TYPES,
      numbered: false,
      check: async () => ENDED.has((await this.#read()).status) && "end",
      signal: this.#signal,
      onState: (state, error) => {
        if (state === "gone") this.#gone(error);
        const note = part(this.#main, "connection");
        say(note, t("Connection lost. Answers go on; reconnecting."));
        show(note, state === "away");
      },
      onEvent: (type, data) => {
        const lane = this.#board.apply(type, data);
        if (lane) this.#columns.changed(lane);
        if (lane?.result) {
          this.#draw();
          this.#gather();
        }
        if (type !== "end") return undefined;
        this.#gather(0);
        return "end";
      },
    });
  }

  #askedAgain() {
    return this.#board?.of((lane) => lane.stale !== null) ?? [];
  }

  /** The execution's own channel tells of its first jobs alone: one that asks again is followed by itself. */
  #followAgain() {
    for (const lane of this.#askedAgain()) {
      if (this.#again.size >= MOST_AGAIN) return;
      if (!this.#again.has(lane.jobId)) this.#followJob(lane);
    }
  }

  #followJob(lane) {
    const { jobId, model, iteration } = lane;
    const tell = (type, data = {}) => {
      if (lane.jobId !== jobId || lane.result) return;
      this.#board.apply(type, { model, iteration, case: lane.case, job_id: jobId, ...data });
      this.#columns.changed(lane);
    };
    const over = () => {
      this.#again.delete(jobId);
      this.#gather(0);
      return "end";
    };
    this.#again.add(jobId);
    follow({
      url: `/api/jobs/${jobId}/events`,
      types: JOB_TYPES,
      loose: ["reset"],
      check: async () => JOB_ENDED.has((await get(`/api/jobs/${jobId}`, { signal: this.#signal })).status) && over(),
      signal: this.#signal,
      onState: (state) => state === "gone" && over(),
      onEvent: (type, data) => {
        if (JOB_ENDED.has(type)) return over();
        if (type === "text") tell("chunk", { content: data.delta });
        else if (type !== "retrying" || !data.void_after) tell(type, data);
        return undefined;
      },
    });
  }

  /** Reads how it stands; gives the status. */
  async #read() {
    const again = this.#askedAgain();
    const status = await get(`/api/prompts/${this.id}/status`, { signal: this.#signal });
    if (!this.#signal.aborted) {
      this.#columns.changed(...this.#board.update(status, again));
      this.#draw();
      this.#followAgain();
    }
    return status;
  }

  #gather(wait = GATHER_MS) {
    if (wait === 0) clearTimeout(this.#gathering);
    else if (this.#gathering !== null) return;
    this.#gathering = setTimeout(() => {
      this.#gathering = null;
      if (!this.#signal.aborted) this.#read().catch((error) => this.#signal.aborted || tell(part(this.#root, "run-error"), error));
    }, wait);
  }

  /** The line above the answers, and the numbers. */
  #draw() {
    const board = this.#board;
    const all = board.lanes.size;
    badgeOf(field(this.#root, "status"), board.status, board.execution.cancel_requested);
    const { ended } = board;
    say(field(this.#root, "count"), all > 1 ? t("%(done)s of %(all)s answers", { done: number(ended), all: number(all) }) : "");
    const progress = field(this.#root, "progress");
    progress.max = all;
    progress.value = ended;
    progress.classList.toggle("over", board.over);
    const stop = action(this.#root, "stop-all");
    show(stop, !board.over);
    stop.disabled = this.#canceling || board.execution.cancel_requested;
    drawStatistics(this.#root, { board });
    this.#root.setAttribute("aria-busy", String(!board.over));
    this.#announce(board.over ? t("All answers have ended.") : ended ? tn("%(n)s answer is there.", "%(n)s answers are there.", ended) : t("Answers are being written."));
  }

  async stop() {
    if (!this.#board || this.#board.over || this.#canceling) return;
    this.#canceling = true;
    this.#draw();
    try {
      const status = await post(`/api/prompts/${this.id}/cancel`);
      this.#columns.changed(...this.#board.update(status));
      toast(t("Stopping"));
    } catch (error) {
      this.#canceling = false;
      tell(part(this.#root, "run-error"), error);
    }
    this.#draw();
  }

  async #stop(lane) {
    try {
      if (!lane.jobId) await this.#read();
      await post(`/api/prompts/${this.id}/iterations/${lane.jobId}/cancel`);
    } catch (error) {
      tell(part(this.#root, "run-error"), error);
    }
  }

  /** A job of its own asks again, and mends the result when it has an answer. */
  async #retry(lane) {
    try {
      const { result } = lane;
      const job = await post(`/api/jobs/${result.job_id}/retry`);
      this.#board.again(lane, result, job.id);
      this.#columns.changed(lane);
      this.#draw();
      this.#followAgain();
    } catch (error) {
      tell(part(this.#root, "run-error"), error);
    }
  }

  #gone(error) {
    if (this.#signal.aborted) return;
    say(field(this.#root, "count"), "");
    this.#root.setAttribute("aria-busy", "false");
    tell(part(this.#root, "run-error"), error);
  }

  /** Says a thing once to screen readers; the answers are not read out piece by piece. */
  #announce(text) {
    if (text === this.#said) return;
    this.#said = text;
    say(field(this.#main, "announce"), text);
  }
}
