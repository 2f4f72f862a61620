// Jobs: the list, kept current by the stream of status changes.

import { get, post } from "../api.js";
import { action, copyOf, everySecond, field, part, say, show } from "../dom.js";
import { tell } from "../errors.js";
import { ago, moment } from "../format.js";
import { t, tn } from "../i18n.js";
import { badge, COMPLETION, isOver, mayCancel, ranFor, statusWords, titleOf } from "../jobs.js";
import { follow } from "../stream.js";
import { toast } from "../toast.js";

const PAGE = 20;
/** Several jobs that appear at once are read at once. */
const GATHER_MS = 200;

export function mount(main, signal) {
  const list = part(main, "list");
  const filters = part(main, "filters");
  const more = action(main, "more");
  const errorBox = part(main, "error");
  const shown = new Map(); // id → {job, row}
  let cursor = null;
  let filtering = 0; // which choice of filters counts: what was read for an earlier one is dropped
  let gathering = null;

  const chosen = () => Object.fromEntries([...new FormData(filters)].filter(([, value]) => value !== ""));
  const fits = (job) => {
    const { status, kind } = chosen();
    return (!status || job.status === status) && (!kind || job.kind === kind);
  };

  function draw(row, job) {
    const link = row.querySelector(".job-link");
    link.href = `/jobs/${job.id}`;
    row.dataset.id = job.id;
    row.dataset.status = job.status;
    say(field(row, "title"), titleOf(job));
    badge(field(row, "status"), job);
    say(field(row, "model"), job.kind === COMPLETION ? (job.input.model === "default" ? t("Default model") : job.input.model) : job.kind);
    const created = field(row, "created");
    created.dateTime = job.created_at;
    created.title = moment(job.created_at);
    say(created, ago(job.created_at));
    say(field(row, "duration"), ranFor(job) ?? "");
    const title = titleOf(job).slice(0, 80);
    for (const [name, visible, words] of [
      ["cancel", !isOver(job), t("Cancel: %(job)s", { job: title })],
      ["retry", job.status === "failed" || job.status === "canceled", t("Retry: %(job)s", { job: title })],
    ]) {
      show(action(row, name), visible);
      action(row, name).setAttribute("aria-label", words);
    }
    action(row, "cancel").disabled = job.cancel_requested;
  }

  function put(job, { fresh = false } = {}) {
    const known = shown.get(job.id);
    if (known && isOver(known.job) && !isOver(job)) return; // read before it ended, arrived after
    if (!fits(job)) {
      known?.row.remove();
      shown.delete(job.id);
      return;
    }
    const row = known?.row ?? copyOf("job-row");
    draw(row, job);
    if (!known) {
      // Ids rise with time: the list is in their order, newest first.
      const next = [...list.children].find((other) => other.dataset.id < job.id);
      list.insertBefore(row, next ?? null);
      if (fresh) row.classList.add("fresh");
    }
    shown.set(job.id, { job, row });
  }

  function settle() {
    list.setAttribute("aria-busy", "false");
    list.querySelectorAll(".placeholder").forEach((row) => row.remove());
    show(more, cursor !== null);
    show(list, shown.size > 0);
    const empty = part(main, "empty");
    show(empty, shown.size === 0 && cursor === null);
    const filtered = Object.keys(chosen()).length > 0;
    say(field(empty, "empty-text"), filtered ? t("No job fits this filter.") : t("No jobs yet. Whatever you ask becomes one, and is kept here."));
    show(field(empty, "empty-ask"), !filtered);
  }

  /** Reads a page: the first anew (`from` null), or the one after the cursor. */
  async function read(from, { fresh = false } = {}) {
    const mine = filtering;
    const query = new URLSearchParams({ ...chosen(), limit: PAGE, ...(from ? { cursor: from } : {}) });
    try {
      const page = await get(`/api/jobs?${query}`, { signal });
      if (mine !== filtering) return;
      show(errorBox, false);
      if (from !== null || !fresh) cursor = page.next_cursor;
      page.items.forEach((job) => put(job, { fresh }));
      settle();
      if (from !== null) say(field(main, "announce"), tn("%(n)s more job", "%(n)s more jobs", page.items.length));
    } catch (error) {
      if (signal.aborted) return;
      settle();
      show(part(main, "empty"), false);
      tell(errorBox, error);
    }
  }

  function start() {
    filtering += 1;
    shown.clear();
    list.replaceChildren();
    cursor = null;
    const query = new URLSearchParams(chosen());
    history.replaceState(history.state, "", query.size ? `/jobs?${query}` : "/jobs");
    return read(null);
  }

  const gather = () => {
    gathering ??= setTimeout(() => {
      gathering = null;
      if (!signal.aborted) read(null, { fresh: true });
    }, GATHER_MS);
  };

  // As the address says, unless somebody was quicker than this script and has chosen already.
  const given = new URLSearchParams(location.search);
  const radios = [...filters.elements.status];
  if (radios.every((radio) => radio.checked === radio.defaultChecked)) {
    for (const radio of radios) radio.checked = radio.value === (given.get("status") ?? "");
    if (!radios.some((radio) => radio.checked)) radios[0].checked = true;
  }
  filters.elements.kind.value = given.get("kind") ?? "";
  if (filters.elements.kind.selectedIndex < 0) filters.elements.kind.value = "";

  const listen = { signal };
  filters.addEventListener("submit", (event) => event.preventDefault(), listen);
  filters.addEventListener("change", () => start(), listen);
  more.addEventListener("click", async () => {
    more.disabled = true;
    await read(cursor);
    more.disabled = false;
  }, listen);
  list.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-action]");
    const known = button && shown.get(button.closest(".job").dataset.id);
    if (!known) return;
    const { action: name } = button.dataset;
    if (name === "cancel" && !(await mayCancel(known.job))) return;
    button.disabled = true;
    try {
      const job = await post(`/api/jobs/${known.job.id}/${name}`);
      put(job, { fresh: true });
      toast(name === "retry" ? t("A new job has been started.") : job.status === "canceled" ? t("Canceled") : t("Canceling"));
    } catch (error) {
      tell(errorBox, error);
    } finally {
      button.disabled = false;
    }
  }, listen);

  let wasLive = false;
  follow({
    url: "/api/jobs/live",
    types: ["job"],
    loose: ["reset"],
    check: () => get("/api/me", { signal }),
    signal,
    onState: (state) => {
      show(field(main, "live"), state === "live");
      const note = part(main, "connection");
      say(note, t("Connection lost. Reconnecting."));
      show(note, state === "away");
      // What happened between reading the list and listening, or while away, is read now.
      if (state === "live") gather();
      wasLive ||= state === "live";
    },
    onEvent: (type, job) => {
      const known = type === "job" && shown.get(job.id);
      if (known) {
        put({ ...known.job, ...job });
        settle();
        if (isOver(job)) say(field(main, "announce"), `${statusWords(job.status)}: ${titleOf(known.job).slice(0, 80)}`);
      } else if (type === "reset" || fits(job)) {
        gather();
      }
    },
  });
  everySecond(() => {
    for (const { job, row } of shown.values()) {
      if (job.status === "running") say(field(row, "duration"), ranFor(job) ?? "");
      say(field(row, "created"), ago(job.created_at));
    }
  }, signal);
  start();
}
