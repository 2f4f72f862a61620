// Parameters, and which of the chosen models take them.

import { markField, say, show } from "../../../js/dom.js";
import { t } from "../../../js/i18n.js";
import { numberIn } from "./fields.js";

const NUMBERS = {
  temperature: { least: 0, most: 2 },
  max_tokens: { whole: true, least: 1, most: 1_000_000 },
  top_p: { above: true, least: 0, most: 1 },
  seed: { whole: true, least: 0, most: 2_147_483_647 },
  presence_penalty: { least: -2, most: 2 },
  frequency_penalty: { least: -2, most: 2 },
};
export const PARAMETERS = [...Object.keys(NUMBERS), "stop"];
const MOST_STOPS = 4;

/** What is entered; what does not fit is marked. Those that no chosen model takes are left out. */
export function readParameters(form) {
  const found = {};
  for (const name of PARAMETERS) {
    const element = form.elements[name];
    const wrong = (message) => markField(form, name, message);
    wrong(null);
    if (element.disabled) continue;
    if (name === "stop") {
      const texts = element.value.split("\n").filter((line) => line !== "");
      if (texts.length > MOST_STOPS) wrong(t("Four at most."));
      else if (texts.length) found.stop = texts;
      continue;
    }
    const value = numberIn(element, NUMBERS[name], wrong);
    if (value !== null) found[name] = value;
  }
  return found;
}

/** Shows these. */
export function fillParameters(form, values = {}) {
  for (const name of PARAMETERS) {
    const value = values[name] ?? "";
    form.elements[name].value = name === "stop" && value ? value.join("\n") : value;
    markField(form, name, null);
  }
}

export const setParameters = (form) => PARAMETERS.filter((name) => form.elements[name].value !== "" && !form.elements[name].disabled).length;

function note(name, words, trouble) {
  const element = document.getElementById(`${name}-taken`);
  say(element, words);
  element.classList.toggle("trouble", trouble);
  show(element, words !== "");
}

const namesOf = (models) => models.map((model) => model.name).join(", ");

/** Says beside each which of the chosen models do not take it: with none that does, it cannot be set. */
export function noteTaken(form, models) {
  for (const name of PARAMETERS) {
    const without = models.filter((model) => !model.parameters.includes(name));
    const nobody = models.length > 0 && without.length === models.length;
    const element = form.elements[name];
    element.disabled = nobody;
    if (nobody) note(name, t("No chosen model takes this."), false);
    else noteCapable(name, element.value !== "", without);
  }
}

/** Says beside something which of the chosen models do not take it, and what to do when it is in use. */
export function noteCapable(name, used, without) {
  const models = namesOf(without);
  if (!without.length) note(name, "", false);
  else if (used) note(name, t("Not taken by %(models)s: leave it empty, or choose others.", { models }), true);
  else note(name, t("Not taken by %(models)s.", { models }), false);
}
