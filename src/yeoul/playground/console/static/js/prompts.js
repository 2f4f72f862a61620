// What the pages of the playground share about prompts.

import { say, show } from "../../../js/dom.js";
import { know } from "../../../js/errors.js";
import { t } from "../../../js/i18n.js";

const statuses = {
  started: ["queued", () => t("Waiting")],
  running: ["running", () => t("Running")],
  completed: ["succeeded", () => t("Done")],
  partial: ["queued", () => t("Some failed")],
  failed: ["failed", () => t("Failed")],
  canceled: ["canceled", () => t("Stopped")],
};

/** Shows an execution's status. */
export function badgeOf(element, status, canceling = false) {
  const [sort, words] = statuses[status] ?? ["", () => status];
  const stopping = canceling && (status === "started" || status === "running");
  element.className = `badge ${sort}`;
  say(element, stopping ? t("Stopping") : words());
  show(element);
}

/** One line that tells a prompt from others. */
export const titleOf = (prompt) => (prompt.name || prompt.user_prompt.trim().split("\n", 1)[0] || t("Prompt")).slice(0, 200);

const NAME = /\{\{[ \t]*([A-Za-z_][A-Za-z0-9_]{0,63})[ \t]*\}\}/g; // as the server reads them

/** The variables of texts, each once, in their order. */
export const variablesOf = (...texts) => [...new Set(texts.flatMap((text) => [...text.matchAll(NAME)].map((found) => found[1])))];

know({
  prompt_not_found: () => [t("There is no such prompt"), t("It may have been deleted, or belong to another account.")],
  never_executed: () => [t("This prompt has never been run"), t("Run it first.")],
  no_such_snippet: () => [t("There is no such program"), t("Choose another language or another target.")],
  parameter_not_taken: () => [t("A model does not take this parameter"), t("Leave it out, or choose another model.")],
  iteration_not_found: () => [t("There is no such answer"), t("Load the page again.")],
  label_not_found: () => [t("This version no longer has the label"), t("Load the page again.")],
  share_not_found: () => [t("This link leads nowhere"), t("It was mistyped, or its owner no longer shares the prompt.")],
  bad_table: () => [t("The file cannot be read"), t("Save it as CSV in UTF-8, with names in its first row.")],
  bad_cases: () => [t("The cases do not fit the prompt"), t("Give every variable a value in every case.")],
  too_many_iterations: () => [t("These are too many calls"), t("Ask fewer models, fewer times, or with fewer cases.")],
  timeout: () => [t("The answer took too long"), t("Allow more time, or choose another model.")],
  canceled: () => [t("Stopped"), t("It was stopped before it had an answer.")],
  deleted: () => [t("This prompt has been deleted"), ""],
  cost_cap: () => [t("The most it may cost is reached"), t("This one was not asked. Raise the limit to ask the rest.")],
});
