// What an execution's status and messages add up to. No page in here: the same messages in the same order always give
// the same board.

export const MESSAGE_TYPES = ["started", "chunk", "retrying", "reset", "complete", "error", "end"];
export const ENDED = new Set(["completed", "partial", "failed", "canceled"]);

const keyOf = (model, iteration, number) => `${number ?? 1}/${iteration}/${model}`;

/**
 * One answer: `state` is queued, running, retrying, completed, error or canceled; `void` counts how often its text was
 * taken back; `stale` is when the result was written that counts no more, while it is asked again by the job `jobId`.
 */
function lane(model, iteration, number) {
  return { key: keyOf(model, iteration, number), model, iteration, case: number, state: "queued", text: "", void: 0, attempt: 0, retrying: null, result: null, jobId: null, stale: null };
}

const settled = (result) => (result.status === "completed" ? "completed" : result.error_code === "canceled" ? "canceled" : "error");

export class Board {
  lanes = new Map();

  /** `status`: as GET …/status answers. */
  constructor(status) {
    const { models, iterations, cases } = status.execution;
    for (let number = 1; number <= Math.max(cases?.length ?? 0, 1); number += 1) {
      for (let iteration = 1; iteration <= iterations; iteration += 1) {
        for (const model of models) {
          const made = lane(model, iteration, number);
          this.lanes.set(made.key, made);
        }
      }
    }
    this.update(status);
  }

  get over() {
    return ENDED.has(this.status);
  }

  /** How many have ended. */
  get ended() {
    return this.of((one) => one.result !== null).length;
  }

  of(fits) {
    return [...this.lanes.values()].filter(fits);
  }

  /**
   * Takes a newer status; gives the lanes that it changes. `again`: those that were asked again before it was read: where
   * it does not say that they wait, that has ended, and their results count once more, whether they are new or not.
   */
  update(status, again = []) {
    this.status = status.status;
    this.execution = status.execution;
    this.statistics = status.statistics;
    const changed = [];
    const waiting = new Map(status.pending.map((pending) => [keyOf(pending.model, pending.iteration_number, pending.case_number), pending]));
    for (const one of again) if (!waiting.has(one.key)) one.stale = null;
    for (const result of status.results) {
      const one = this.lanes.get(keyOf(result.model, result.iteration_number, result.case_number));
      const asked = waiting.get(one.key);
      if (!asked) {
        if (this.#end(one, result)) changed.push(one);
      } else if (one.stale === null) {
        this.again(one, result, asked.job_id);
      }
    }
    for (const [key, pending] of waiting) {
      const one = this.lanes.get(key);
      if (one.result) continue;
      one.jobId = pending.job_id;
      if (one.state === "queued" && pending.status === "running") one.state = "running";
      changed.push(one);
    }
    return changed;
  }

  /** Takes a message; gives the lane that it changes, or null. */
  apply(type, data, now = Date.now()) {
    if (type === "end") {
      if (data.status) this.status = data.status;
      return null;
    }
    const one = this.lanes.get(keyOf(data.model, data.iteration, data.case));
    if (!one || one.result) return null; // told again, after the status has told its end
    if (one.stale !== null && data.job_id !== one.jobId) return null; // of a job before the one that asks again
    switch (type) {
      case "started":
        one.state = "running";
        one.attempt = data.attempt;
        one.retrying = null;
        break;
      case "chunk":
        one.state = "running";
        one.text += data.content;
        break;
      case "retrying":
        one.state = "retrying";
        one.retrying = { ...data, at: now };
        this.#clear(one);
        break;
      case "reset":
        one.state = "queued";
        this.#clear(one);
        break;
      case "complete":
      case "error":
        this.#end(one, data);
        break;
    }
    return one;
  }

  /** An answer that ended in `result` is asked for again by a job: what is known of it counts no more. */
  again(one, result, jobId) {
    Object.assign(one, { result: null, state: "queued", jobId, stale: result.updated_at });
    this.#clear(one);
  }

  #clear(one) {
    one.text = "";
    one.void += 1;
  }

  #end(one, result) {
    if (result.updated_at === (one.result?.updated_at ?? one.stale)) return false;
    const text = result.response_text ?? "";
    if (!text.startsWith(one.text)) one.void += 1;
    Object.assign(one, { result, text, state: settled(result), retrying: null, jobId: result.job_id ?? one.jobId, stale: null });
    return true;
  }
}
