// Failed jobs: grouped by error, chosen one by one or a group at once, and retried in numbers.

import { get, post } from "../api.js";
import { action, copyOf, field, part, say, show } from "../dom.js";
import { tell } from "../errors.js";
import { ago, moment, number } from "../format.js";
import { t, tn } from "../i18n.js";
import { titleOf } from "../jobs.js";
import { confirmed, toast } from "../toast.js";

const PAGE = 50;
/** Jobs retried by one request: often enough to see it move. */
const CHUNK = 50;
/** Jobs retried by one click. */
const MOST = 2000;

export function mount(main, signal) {
  const list = part(main, "list");
  const errorBox = part(main, "error");
  const everyone = field(main, "everyone");
  const all = field(main, "all");
  const shown = new Map(); // id → row
  let filter = {};
  let cursor = null;
  let asking = 0; // which filter counts: answers to an earlier one are dropped
  let retrying = false;

  const query = (more = {}) => new URLSearchParams({ ...filter, ...(everyone?.checked ? { everyone: true } : {}), ...more });
  const boxes = () => [...list.querySelectorAll('input[name="job"]')];
  const chosen = () => boxes().filter((box) => box.checked).map((box) => box.value);

  function count() {
    const n = chosen().length;
    all.checked = n > 0 && n === shown.size;
    all.indeterminate = n > 0 && n < shown.size;
    const button = action(main, "retry");
    button.disabled = n === 0 || retrying;
    say(field(button, "retry-words"), n ? tn("Retry %(n)s job", "Retry %(n)s jobs", n) : t("Retry"));
  }

  function put(job) {
    const row = copyOf("failed-row");
    const title = titleOf(job);
    row.querySelector("input").value = job.id;
    say(field(row, "choose"), t("Choose: %(job)s", { job: title.slice(0, 80) }));
    row.querySelector(".job-link").href = job.owner ? "#" : `/jobs/${job.id}`;
    if (job.owner) row.querySelector(".job-link").removeAttribute("href"); // its page is its owner's alone
    say(field(row, "title"), title);
    say(field(row, "message"), job.error?.message ?? "");
    say(field(row, "code"), job.error?.code ?? "");
    say(field(row, "kind"), job.kind);
    say(field(row, "owner"), job.owner ?? "");
    const finished = field(row, "finished");
    finished.dateTime = job.finished_at;
    finished.title = moment(job.finished_at);
    say(finished, ago(job.finished_at));
    list.append(row);
    shown.set(job.id, row);
  }

  function drawGroups({ groups, jobs, capped }) {
    show(part(main, "grouped"), groups.length > 0);
    part(main, "groups").replaceChildren(
      ...groups.map((group) => {
        const row = copyOf("failed-group");
        Object.assign(row.dataset, { kind: group.kind, code: group.code, jobs: group.jobs });
        say(field(row, "words"), `${group.code} · ${group.kind}`);
        say(field(row, "message"), group.message);
        say(field(row, "retry-words"), tn("Retry %(n)s job", "Retry %(n)s jobs", group.jobs));
        if (filter.code === group.code && filter.kind === group.kind) row.setAttribute("aria-current", "true");
        for (const button of row.querySelectorAll("button")) {
          button.disabled = retrying;
          button.setAttribute("aria-label", `${button.textContent.trim()}: ${group.code}, ${group.kind}`);
        }
        return row;
      }),
    );
    const note = field(main, "capped");
    say(note, t("The newest %(n)s are counted; there are more.", { n: number(jobs) }));
    show(note, capped);
  }

  function settle() {
    list.setAttribute("aria-busy", "false");
    show(list, shown.size > 0);
    show(part(main, "bar"), shown.size > 0);
    show(part(main, "empty"), shown.size === 0 && !filter.code);
    show(action(main, "more"), cursor !== null);
    show(action(main, "clear"), Boolean(filter.code));
    say(field(main, "filter"), filter.code ? `${filter.code} · ${filter.kind}` : "");
    count();
  }

  async function page(from) {
    const mine = asking;
    const found = await get(`/api/jobs/failed?${query({ limit: PAGE, ...(from ? { cursor: from } : {}) })}`, { signal });
    if (mine !== asking) return;
    cursor = found.next_cursor;
    found.items.forEach(put);
    settle();
  }

  async function start() {
    asking += 1;
    const mine = asking;
    list.setAttribute("aria-busy", "true");
    try {
      const groups = await get(`/api/jobs/failed/groups?${everyone?.checked ? "everyone=true" : ""}`, { signal });
      if (mine !== asking) return;
      shown.clear();
      list.replaceChildren();
      drawGroups(groups);
      history.replaceState(history.state, "", query().size ? `/failed?${query()}` : "/failed");
      show(errorBox, false);
      await page(null);
    } catch (error) {
      if (signal.aborted) return;
      settle();
      show(part(main, "empty"), false);
      tell(errorBox, error);
    }
  }

  /** Every id of a group as it is now: those that fail anew meanwhile are not retried again and again. */
  async function idsOf({ kind, code }) {
    const ids = [];
    let from = null;
    do {
      const asked = new URLSearchParams({ kind, code, limit: 100, ...(everyone?.checked ? { everyone: true } : {}), ...(from ? { cursor: from } : {}) });
      const found = await get(`/api/jobs/failed?${asked}`, { signal });
      ids.push(...found.items.map((job) => job.id));
      from = found.next_cursor;
    } while (from && ids.length < MOST);
    return ids.slice(0, MOST);
  }

  async function retry(ids) {
    const sure = await confirmed({
      title: tn("Retry %(n)s job?", "Retry %(n)s jobs?", ids.length),
      text: t("Each becomes a new job of its owner and is paid for anew. Steps that are finished are not run again."),
      yes: tn("Retry %(n)s job", "Retry %(n)s jobs", ids.length),
      no: t("Leave them"),
    });
    if (!sure || retrying) return;
    retrying = true;
    count();
    const bar = field(main, "progress");
    bar.max = ids.length;
    show(part(main, "retrying"));
    let [done, made, refused] = [0, 0, []];
    try {
      while (done < ids.length) {
        bar.value = done;
        say(field(main, "progress-words"), t("%(done)s of %(all)s", { done: number(done), all: number(ids.length) }));
        const answer = await post("/api/jobs/retry", { ids: ids.slice(done, done + CHUNK) }, { signal });
        done += CHUNK;
        made += answer.retried;
        refused = refused.concat(answer.results.filter((result) => result.outcome === "refused"));
      }
      toast(tn("%(n)s job has been started anew.", "%(n)s jobs have been started anew.", made));
    } catch (error) {
      if (signal.aborted) return;
      tell(errorBox, error);
      refused = [];
    } finally {
      retrying = false;
      show(part(main, "retrying"), false);
    }
    const stopped = !errorBox.hidden;
    if (!stopped) await start();
    if (refused.length) tell(errorBox, { code: refused[0].error.code, message: `${refused.length} × ${refused[0].error.message}` });
    count();
  }

  const given = new URLSearchParams(location.search);
  if (everyone) everyone.checked = given.get("everyone") === "true";
  if (given.get("kind") && given.get("code")) filter = { kind: given.get("kind"), code: given.get("code") };

  const listen = { signal };
  everyone?.addEventListener("change", () => { filter = {}; start(); }, listen);
  all.addEventListener("change", () => { for (const box of boxes()) box.checked = all.checked; count(); }, listen);
  list.addEventListener("change", count, listen);
  action(main, "more").addEventListener("click", () => page(cursor).catch((error) => signal.aborted || tell(errorBox, error)), listen);
  action(main, "clear").addEventListener("click", () => { filter = {}; start(); }, listen);
  action(main, "retry").addEventListener("click", () => retry(chosen()), listen);
  part(main, "groups").addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    const group = button?.closest(".failed-group")?.dataset;
    if (!group) return;
    if (button.dataset.action === "only") {
      filter = { kind: group.kind, code: group.code };
      await start();
      return;
    }
    button.disabled = true;
    try {
      await retry(await idsOf(group));
    } catch (error) {
      if (!signal.aborted) tell(errorBox, error);
    } finally {
      button.disabled = false;
    }
  }, listen);
  start();
}
