// What a job's events add up to. No page in here: the same events in the same order always give the same transcript.

export const EVENT_TYPES = ["started", "text", "progress", "usage", "retrying", "step", "component", "succeeded", "failed", "canceled"];
export const LOOSE_TYPES = ["queued", "reset"];
export const TERMINAL = new Set(["succeeded", "failed", "canceled"]);

export class Transcript {
  constructor() {
    this.clear();
  }

  clear() {
    this.status = "queued";
    this.position = null;
    this.attempt = 0;
    this.chunks = []; // {seq, delta}
    this.usage = null;
    this.progress = null;
    this.retrying = null; // {attempt, in_seconds, error, at} while another attempt is awaited
    this.output = null;
    this.error = null;
  }

  get over() {
    return TERMINAL.has(this.status);
  }

  /** The text that counts: the result's once there is one, until then what has been streamed and is not void. */
  get text() {
    return typeof this.output?.text === "string" ? this.output.text : this.chunks.map((chunk) => chunk.delta).join("");
  }

  apply(type, data, seq, now = Date.now()) {
    switch (type) {
      case "queued":
        if (this.status === "queued") this.position = data.position ?? null;
        break;
      case "started":
        this.status = "running";
        this.attempt = data.attempt;
        this.retrying = null;
        break;
      case "text":
        this.status = "running";
        this.chunks.push({ seq, delta: data.delta });
        this.progress = null;
        break;
      case "progress":
        this.progress = data;
        break;
      case "usage":
        this.usage = data;
        break;
      case "retrying":
        this.status = "queued";
        this.position = null;
        this.chunks = this.chunks.filter((chunk) => chunk.seq <= data.void_after);
        this.progress = this.usage = null;
        this.retrying = { ...data, at: now };
        break;
      case "reset":
        this.clear();
        break;
      case "succeeded":
        this.output = data.output ?? {};
        this.status = type;
        break;
      case "failed":
        this.error = data.error ?? {};
        this.status = type;
        break;
      case "canceled":
        this.status = type;
        break;
    }
    if (this.over) this.retrying = this.progress = null;
  }
}
