// One job: its facts, input and output, and its event log while it grows.

import { get, post } from "../api.js";
import { action, everySecond, field, make, part, rows, say, show } from "../dom.js";
import { tell } from "../errors.js";
import { moment, number } from "../format.js";
import { t, tn } from "../i18n.js";
import { badge, COMPLETION, isOver, link, mayCancel, ranFor, statusWords, titleOf } from "../jobs.js";
import { Prose } from "../markdown.js";
import { follow } from "../stream.js";
import { toast } from "../toast.js";
import { EVENT_TYPES, LOOSE_TYPES, TERMINAL } from "../transcript.js";

const pretty = (value) => JSON.stringify(value, null, 2);

function facts(job) {
  const found = [
    [t("Kind"), job.kind],
    [t("Priority"), number(job.priority)],
    [t("Attempt"), t("%(attempt)s of at most %(most)s", { attempt: number(job.attempt), most: number(job.max_attempts) })],
    [t("Created"), moment(job.created_at)],
  ];
  if (job.status === "queued" && job.queue_position) found.push([t("Place in line"), number(job.queue_position)]);
  if (job.started_at) found.push([t("Started"), moment(job.started_at)]);
  if (job.finished_at) found.push([t("Finished"), moment(job.finished_at)]);
  if (job.started_at) found.push([t("Duration"), ranFor(job)]);
  if (job.retry_of) found.push([t("Repeats"), link(`/jobs/${job.retry_of}`, t("an earlier job"))]);
  found.push(["ID", make("code", {}, job.id)]);
  return found;
}

/** One line about an event: errors in words, the result elsewhere on the page, the rest as it is. */
function summary(type, data) {
  const { error, ...rest } = type === "succeeded" ? {} : data;
  const facts = Object.keys(rest).length ? [JSON.stringify(rest)] : [];
  if (error) facts.push(`${error.code}: ${error.message}`);
  return facts.join(" · ");
}

/** The log: text comes in many small events, so a run of them is one line. */
class Log {
  #list;
  #run = null; // {first, pieces, length, item} of the text line being added to
  #lines = []; // {last, item}: text lines, to be struck when void

  constructor(list) {
    this.#list = list;
  }

  add(type, data, seq) {
    if (type === "text") this.#text(data, seq);
    else {
      this.#run = null;
      if (type === "retrying") this.#lines.filter(({ last }) => last > data.void_after).forEach(({ item }) => item.classList.add("void"));
      this.#line(String(seq), type, summary(type, data));
    }
  }

  clear() {
    this.#list.replaceChildren();
    this.#run = null;
    this.#lines = [];
  }

  #text(data, seq) {
    if (this.#run === null) {
      this.#run = { first: seq, pieces: 0, length: 0, line: { last: seq, item: this.#line("", "text", "") } };
      this.#lines.push(this.#run.line);
    }
    const run = this.#run;
    run.pieces += 1;
    run.length += data.delta.length;
    run.line.last = seq;
    const [number_, , words] = run.line.item.children;
    say(number_, run.pieces > 1 ? `${run.first}–${seq}` : String(seq));
    const pieces = tn("%(n)s piece", "%(n)s pieces", run.pieces);
    say(words, `${pieces} · ${tn("%(n)s character", "%(n)s characters", run.length)}`);
  }

  #line(seq, type, data) {
    const item = make("li", {}, make("span", { className: "seq" }, seq), make("span", { className: "type" }, type), make("span", { className: "data" }, data));
    this.#list.append(item);
    return item;
  }
}

export function mount(main, signal) {
  const id = main.dataset.job;
  const url = `/api/jobs/${id}`;
  const errorBox = part(main, "error");
  const log = new Log(field(main, "log"));
  const prose = new Prose(field(main, "output-text"));
  let job = null;

  function draw(now) {
    job = now;
    show(part(main, "job"));
    say(field(main, "title"), titleOf(job));
    document.title = `${titleOf(job).slice(0, 60)} · ${t("Yeoul")}`;
    badge(field(main, "status"), job);
    rows(field(main, "facts"), facts(job));
    say(field(main, "input"), pretty(job.input));
    const answer = field(main, "answer-link");
    answer.href = `/ask/${job.id}`;
    show(answer, job.kind === COMPLETION);
    show(action(main, "retry"), isOver(job));
    show(action(main, "cancel"), !isOver(job));
    action(main, "cancel").disabled = job.cancel_requested;
    const progress = field(main, "progress");
    show(progress, job.status === "running" && typeof job.progress?.percent === "number");
    if (!progress.hidden) progress.value = job.progress.percent;
    if (job.error) tell(field(main, "job-error"), job.error);
    else show(field(main, "job-error"), false);
    show(field(main, "output-panel"), job.output !== null);
    if (job.output !== null) {
      say(field(main, "output"), pretty(job.output));
      const text = typeof job.output.text === "string" ? job.output.text : "";
      prose.update(text, { done: true });
      show(field(main, "output-text"), text !== "");
    }
  }

  const read = async () => draw(await get(url, { signal }));
  const act = async (button, name, after) => {
    button.disabled = true;
    try {
      after(await post(`${url}/${name}`));
    } catch (error) {
      tell(errorBox, error);
    } finally {
      button.disabled = job?.cancel_requested ?? false;
    }
  };
  const listen = { signal };
  action(main, "retry").addEventListener("click", (event) => act(event.currentTarget, "retry", (made) => location.assign(`/jobs/${made.id}`)), listen);
  action(main, "cancel").addEventListener("click", async (event) => {
    const button = event.currentTarget;
    if (await mayCancel(job)) act(button, "cancel", (now) => { draw(now); toast(isOver(now) ? t("Canceled") : t("Canceling")); });
  }, listen);

  function watch() {
    follow({
      url: `${url}/events`,
      types: EVENT_TYPES,
      loose: LOOSE_TYPES,
      after: 0,
      check: read,
      signal,
      onState: (state) => {
        show(field(main, "live"), state === "live" && !isOver(job));
        const note = part(main, "connection");
        say(note, t("Connection lost. Reconnecting."));
        show(note, state === "away");
      },
      onEvent: (type, data, seq) => {
        if (type === "reset") log.clear();
        else if (seq !== null) log.add(type, data, seq);
        show(field(main, "log-empty"), false);
        if (type === "progress") draw({ ...job, progress: data });
        const ended = TERMINAL.has(type);
        if ((ended && !isOver(job)) || type === "started" || type === "retrying") {
          read().catch((error) => signal.aborted || tell(errorBox, error));
          if (ended) say(field(main, "announce"), statusWords(type));
        }
        if (ended) show(field(main, "live"), false);
        return ended ? "end" : undefined;
      },
    });
  }

  everySecond(() => {
    if (job?.status === "running") rows(field(main, "facts"), facts(job));
  }, signal);
  read().then(() => signal.aborted || watch(), (error) => {
    if (signal.aborted) return;
    say(field(main, "title"), t("Job"));
    tell(errorBox, error);
  });
}
