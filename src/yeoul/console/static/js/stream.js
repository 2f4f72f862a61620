// An event stream that lasts: it comes back by itself after every interruption, with its cursor.

import { Problem } from "./api.js";
import { leave, renew } from "./session.js";

const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 5000;
/** A session renewed so recently has not ended. */
const RENEWED_MS = 60_000;
/** A tab in the background gives its connection back after so long: browsers open few to one server, and nothing is lost. */
const HIDDEN_MS = 15_000;

/**
 * Follows `url` until `signal` ends, or `onEvent` or `check` returns "end".
 *
 * onEvent(type, data, seq): each event once, in order; seq is null for what is not part of the log.
 * numbered: whether ids are numbers that rise; otherwise they are cursors of whatever form, and seq is null.
 * onState("live" | "away" | "gone", error): away = interrupted, being tried again; gone = over for good.
 * check(): asked before coming back; it renews the session, and a Problem of 403 or 404 from it ends everything.
 */
export function follow({ url, types, loose = [], after = null, numbered = true, onEvent, onState = () => {}, check, signal }) {
  let source = null;
  let cursor = after;
  let failures = 0;
  let timer = null;
  let hiding = null;
  let over = false;

  const close = () => {
    clearTimeout(timer);
    clearTimeout(hiding);
    source?.close();
    source = null;
  };
  const end = () => {
    over = true;
    close();
  };
  const retry = () => {
    close();
    if (over) return;
    onState("away");
    const wait = Math.min(FIRST_WAIT_MS * 2 ** failures, LONGEST_WAIT_MS);
    failures += 1;
    timer = setTimeout(comeBack, wait * (0.75 + Math.random() / 2));
  };
  const comeBack = async () => {
    close();
    try {
      if ((await check()) === "end") end();
      // Refused again and again by a server that answers: its session may have ended, which a renewal alone tells.
      else if (failures > 2 && !(await renew(Date.now() - RENEWED_MS))) return leave();
    } catch (error) {
      if (over || signal.aborted) return;
      if (error instanceof Problem && (error.status === 403 || error.status === 404)) {
        end();
        onState("gone", error);
      } else {
        retry();
      }
      return;
    }
    if (!over && !signal.aborted) open();
  };
  const take = (event) => {
    let seq = null;
    if (!numbered) {
      cursor = event.lastEventId;
    } else if (!loose.includes(event.type)) {
      seq = Number(event.lastEventId);
      if (cursor !== null && seq <= cursor) return;
      cursor = seq;
    } else if (event.type === "reset") {
      cursor = 0;
    }
    if (onEvent(event.type, JSON.parse(event.data), seq) === "end") end();
  };
  const open = () => {
    close();
    source = new EventSource(cursor === null ? url : `${url}?after=${encodeURIComponent(cursor)}`);
    source.addEventListener("open", () => {
      failures = 0;
      onState("live");
    });
    // The server may call an event "error" too: that one brings data.
    source.addEventListener("error", (event) => (event instanceof MessageEvent ? take(event) : retry()));
    for (const type of [...types, ...loose]) if (type !== "error") source.addEventListener(type, take);
  };

  const listen = { signal };
  document.addEventListener(
    "visibilitychange",
    () => {
      clearTimeout(hiding);
      if (over) return;
      if (document.hidden) hiding = setTimeout(close, HIDDEN_MS);
      else if (source === null) comeBack();
    },
    listen,
  );
  window.addEventListener("online", () => over || comeBack(), listen);
  window.addEventListener("pagehide", close, listen);
  signal.addEventListener("abort", end, { once: true });
  open();
}
