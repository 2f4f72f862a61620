// What differs between two prompts, line by line.

import { make } from "../../../js/dom.js";
import { t } from "../../../js/i18n.js";

const fields = {
  system_prompt: () => t("System prompt"),
  user_prompt: () => t("Prompt"),
  parameters: () => t("Parameters"),
  response_schema: () => t("Response form"),
  images: () => t("Images"),
  name: () => t("Name of the prompt"),
};
const SIGNS = { same: " ", removed: "−", added: "+" };
const said = { same: () => "", removed: () => t("Removed"), added: () => t("Added") };

const line = ({ op, text }) => make("li", { className: op },
  make("span", { className: "pg-sign", "aria-hidden": "true" }, SIGNS[op]),
  op === "same" ? null : make("span", { className: "sr-only" }, `${said[op]()}: `),
  make("span", {}, text || " "));

/** Nodes that show a diff as the API gives it. */
export function drawDiff(diff) {
  if (!diff.fields.length) return [make("p", { className: "pg-soft" }, t("Nothing differs."))];
  return diff.fields.flatMap(({ name, lines }) => [
    make("h3", {}, fields[name]?.() ?? name),
    make("ol", { className: "pg-lines" }, ...lines.map(line)),
  ]);
}
