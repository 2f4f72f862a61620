// The editor's own fields: texts, limits and parameters. Cases, checks, images and models have modules of their own.

import { t } from "../../../js/i18n.js";
import { mark, numberIn } from "./fields.js";
import { fillParameters, PARAMETERS, readParameters } from "./parameters.js";

const TEXTS = ["system_prompt", "user_prompt", "response_schema", "name"];
const LIMITS = {
  iterations: { whole: true, least: 1, most: 50 },
  concurrency: { whole: true, least: 1, most: 1000 },
  timeout_seconds: { whole: true, least: 1, most: 1800 },
  max_cost_usd: { above: true, least: 0, most: 1_000_000 },
};
const VALUES = [...TEXTS, ...Object.keys(LIMITS)];
/** Whatever can be wrong, by the names of the API. */
export const FIELDS = [...VALUES, ...PARAMETERS, "cases", "checks", "images", "models"];

/** What is entered, as it is entered. */
export function valuesOf(form) {
  const { elements } = form;
  const entered = (name) => (name === "stop" ? elements.stop.value.split("\n") : elements[name].value);
  const parameters = PARAMETERS.map((name) => [name, entered(name)]).filter(([, value]) => String(value) !== "");
  return { ...Object.fromEntries(VALUES.map((name) => [name, elements[name].value])), parameters: Object.fromEntries(parameters), stream: elements.stream.checked };
}

/** Shows such values, or a prompt's and an execution's. */
export function fillForm(form, values) {
  const { elements } = form;
  for (const name of VALUES) elements[name].value = values[name] ?? "";
  elements.iterations.value ||= "1";
  elements.stream.checked = values.stream ?? true;
  fillParameters(form, values.parameters);
}

/** How many of the limits are set, the name among them. */
export function setLimits(form) {
  const { elements } = form;
  return ["concurrency", "timeout_seconds", "max_cost_usd", "name"].filter((name) => elements[name].value !== "").length + (elements.stream.checked ? 0 : 1);
}

/** As the API takes it; what does not fit is marked. */
export function readForm(form) {
  const { elements } = form;
  const wrong = (name) => (message) => mark(form, name, message);
  // Without its name a version is called as the one before it: null takes that away.
  const found = { name: elements.name.value.trim() || null, user_prompt: elements.user_prompt.value, stream: elements.stream.checked, parameters: readParameters(form) };
  mark(form, "user_prompt", found.user_prompt.trim() ? null : t("Write a prompt first."));
  if (elements.system_prompt.value.trim()) found.system_prompt = elements.system_prompt.value;
  for (const [name, limits] of Object.entries(LIMITS)) {
    mark(form, name, null);
    const value = numberIn(elements[name], limits, wrong(name));
    if (value !== null) found[name] = value;
  }
  const schema = elements.response_schema.value.trim();
  mark(form, "response_schema", null);
  if (!schema) return found;
  try {
    found.response_schema = JSON.parse(schema);
  } catch (error) {
    mark(form, "response_schema", t("This is not JSON: %(why)s", { why: error.message }));
  }
  return found;
}
