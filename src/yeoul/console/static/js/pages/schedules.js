// Schedules: what runs again and again, when it runs next in the reader's own time, and the form that adds one.

import { call, get, post } from "../api.js";
import { action, copyOf, everySecond, field, part, say, show } from "../dom.js";
import { tell, words } from "../errors.js";
import { moment } from "../format.js";
import { language, t } from "../i18n.js";
import { ScheduleForm } from "../schedule_form.js";
import { closeness, whenWords } from "../schedules.js";
import { confirmed, toast } from "../toast.js";

const PAGE = 20;
/** What has come due is read anew this long after, and not more often. */
const PATIENCE_MS = 3000;

/** Why the last tick made no job; the server says it in English. */
const reasonOf = (error) => (language === "en" ? error.message : words(error).title);

export function mount(main, signal) {
  const list = part(main, "list");
  const errorBox = part(main, "error");
  const more = action(main, "more");
  const opener = action(main, "new");
  const shown = new Map(); // id → {schedule, row}
  let cursor = null;
  let readAt = 0;

  function draw(row, schedule) {
    row.dataset.id = schedule.id;
    say(field(row, "name"), schedule.name);
    const state = field(row, "state");
    state.className = `badge ${schedule.enabled ? "succeeded" : ""}`;
    say(state, schedule.enabled ? t("Active") : t("Paused"));
    say(field(row, "when"), whenWords(schedule));
    drawNext(row, schedule);
    const last = field(row, "last");
    show(last, schedule.last_job_id !== null);
    if (schedule.last_job_id !== null) {
      last.href = `/jobs/${schedule.last_job_id}`;
      say(last, t("Last run: %(time)s", { time: moment(schedule.last_at) }));
    }
    const note = field(row, "note");
    show(note, schedule.last_error !== null);
    say(note, schedule.last_error === null ? "" : t("Not run the last time: %(reason)s", { reason: reasonOf(schedule.last_error) }));
    for (const [name, visible, label] of [
      ["run", true, t("Run now: %(name)s", schedule)],
      ["pause", schedule.enabled, t("Pause: %(name)s", schedule)],
      ["resume", !schedule.enabled, t("Resume: %(name)s", schedule)],
      ["delete", true, t("Delete: %(name)s", schedule)],
    ]) {
      show(action(row, name), visible);
      action(row, name).setAttribute("aria-label", label);
    }
  }

  function drawNext(row, schedule) {
    const time = field(row, "next");
    const coming = schedule.next_at !== null;
    say(field(row, "next-words"), coming ? t("Next run:") : "");
    if (coming) time.dateTime = schedule.next_at;
    say(time, coming ? `${moment(schedule.next_at)} (${closeness(schedule.next_at)})` : "");
  }

  function put(schedule) {
    const known = shown.get(schedule.id);
    const row = known?.row ?? copyOf("schedule-row");
    draw(row, schedule);
    if (!known) {
      const next = [...list.children].find((other) => other.dataset.id < schedule.id);
      list.insertBefore(row, next ?? null);
    }
    shown.set(schedule.id, { schedule, row });
  }

  function drop(id) {
    shown.get(id)?.row.remove();
    shown.delete(id);
  }

  function settle() {
    list.setAttribute("aria-busy", "false");
    list.querySelectorAll(".placeholder").forEach((row) => row.remove());
    show(more, cursor !== null);
    show(list, shown.size > 0);
    show(part(main, "empty"), shown.size === 0 && cursor === null);
  }

  /** Reads a page: the newest anew (`from` null), or the one after the cursor. */
  async function read(from) {
    readAt = Date.now();
    try {
      const query = new URLSearchParams({ limit: PAGE, ...(from ? { cursor: from } : {}) });
      const page = await get(`/api/schedules?${query}`, { signal });
      show(errorBox, false);
      if (from !== null || shown.size <= PAGE) cursor = page.next_cursor;
      page.items.forEach(put);
      settle();
    } catch (error) {
      if (signal.aborted) return;
      settle();
      show(part(main, "empty"), false);
      tell(errorBox, error);
    }
  }

  const acts = {
    async run({ id }) {
      const job = await post(`/api/schedules/${id}/run`);
      put({ ...shown.get(id).schedule, last_job_id: job.id, last_at: job.created_at, last_error: null });
      toast(t("A new job has been started."));
    },
    async pause({ id }) {
      put(await call("PATCH", `/api/schedules/${id}`, { body: { enabled: false } }));
      toast(t("Paused"));
    },
    async resume({ id }) {
      put(await call("PATCH", `/api/schedules/${id}`, { body: { enabled: true } }));
      toast(t("It goes on at its next time."));
    },
    async delete({ id, name }) {
      const sure = await confirmed({
        title: t("Delete this schedule?"),
        text: t("“%(name)s” does not run any more. The jobs it has made stay.", { name }),
        yes: t("Delete the schedule"),
        no: t("Keep it"),
      });
      if (!sure) return;
      await call("DELETE", `/api/schedules/${id}`);
      drop(id);
      settle();
      toast(t("Deleted"));
      main.querySelector("h1").focus({ preventScroll: true });
    },
  };

  const listen = { signal };
  list.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-action]");
    const known = button && shown.get(button.closest(".job").dataset.id);
    if (!known) return;
    const { action: name } = button.dataset;
    button.disabled = true;
    show(errorBox, false);
    try {
      await acts[name](known.schedule);
    } catch (error) {
      tell(errorBox, error);
      if (error.status === 404) {
        drop(known.schedule.id);
        settle();
      }
    } finally {
      button.disabled = false;
      // The button that was pressed has given way to its opposite: the focus goes there.
      if (button.hidden && button.isConnected) action(known.row, name === "pause" ? "resume" : "pause").focus();
    }
  }, listen);
  more.addEventListener("click", async () => {
    more.disabled = true;
    await read(cursor);
    more.disabled = false;
  }, listen);

  const form = new ScheduleForm(part(main, "form"), signal, (schedule) => {
    put(schedule);
    settle();
    close();
    toast(t("Added"));
    say(field(main, "announce"), t("Added: %(name)s", schedule));
  });
  const close = () => {
    form.hide();
    opener.setAttribute("aria-expanded", "false");
    opener.focus();
  };
  opener.disabled = false;
  opener.addEventListener("click", () => {
    opener.setAttribute("aria-expanded", "true");
    form.open();
  }, listen);
  action(main, "close").addEventListener("click", close, listen);
  part(main, "form").addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.isComposing) close();
  }, listen);

  everySecond(() => {
    let past = false;
    for (const { schedule, row } of shown.values()) {
      drawNext(row, schedule);
      past ||= schedule.next_at !== null && Date.parse(schedule.next_at) < Date.now() - 500;
    }
    if (past && Date.now() - readAt > PATIENCE_MS) read(null);
  }, signal);
  read(null);
}
