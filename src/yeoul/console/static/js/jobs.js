// What pages share about jobs.

import { duration } from "./format.js";
import { make } from "./dom.js";
import { t } from "./i18n.js";
import { TERMINAL } from "./transcript.js";
import { confirmed } from "./toast.js";

export const COMPLETION = "llm.complete";

const words = {
  queued: () => t("Queued"),
  running: () => t("Running"),
  succeeded: () => t("Succeeded"),
  failed: () => t("Failed"),
  canceled: () => t("Canceled"),
};

export const statusWords = (status) => (words[status] ? words[status]() : status);
export const isOver = (job) => TERMINAL.has(job.status);

export function badge(element, job) {
  const canceling = job.cancel_requested && !isOver(job);
  element.className = `badge ${job.status}`;
  element.textContent = canceling ? t("Canceling") : statusWords(job.status);
  element.hidden = false;
}

/** The question of a completion: its prompt, or the last thing the user said. */
export function questionOf(job) {
  const said = (job.input?.messages ?? []).filter((message) => message.role === "user");
  return job.input?.prompt ?? said.at(-1)?.content ?? "";
}

/** One line that tells a job from others. */
export function titleOf(job) {
  const question = questionOf(job).trim();
  if (question) return question.split("\n").find((line) => line.trim()).slice(0, 300);
  const input = JSON.stringify(job.input ?? {});
  return input === "{}" ? job.kind : `${job.kind} ${input.slice(0, 200)}`;
}

/** How long it ran, or has been running; null before its start. */
export function ranFor(job) {
  if (!job.started_at) return null;
  const end = job.finished_at ? Date.parse(job.finished_at) : Date.now();
  return duration(Math.max(end - Date.parse(job.started_at), 0) / 1000);
}

/** Asks before a running job is stopped: its work so far is lost. One that waits has nothing to lose. */
export async function mayCancel(job) {
  if (job.status !== "running") return true;
  return confirmed({
    title: t("Cancel this job?"),
    text: t("It stops within a second. What it has made so far is not kept as a result, and cannot be resumed."),
    yes: t("Cancel the job"),
    no: t("Keep it running"),
  });
}

export const link = (href, text) => make("a", { href }, text);
