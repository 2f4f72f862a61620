// Fields of the editor: numbers with their limits, and errors beside what they are about.

import { markField, say, show } from "../../../js/dom.js";
import { number } from "../../../js/format.js";
import { t } from "../../../js/i18n.js";

/** Says below something that is no single field, such as the table of cases, what is wrong with it; null: nothing. */
export function markBox(name, message) {
  const box = document.getElementById(`${name}-error`);
  say(box, message ?? "");
  show(box, message !== null);
}

/** Either of the two, whichever the form has. */
export const mark = (form, name, message) => (form.elements[name]?.matches?.("input, textarea") ? markField(form, name, message) : markBox(name, message));

/** A number a field holds, or null; `wrong(message)` is told what does not fit. */
export function numberIn(element, { whole = false, least, most, above = false }, wrong) {
  if (element.value === "" && !element.validity.badInput) return null;
  const value = Number(element.value);
  const fits = !element.validity.badInput && (above ? value > least : value >= least) && value <= most && (!whole || Number.isInteger(value));
  if (fits) return value;
  const limits = { least: number(least), most: number(most) };
  if (whole) wrong(t("Enter a whole number from %(least)s to %(most)s, or nothing.", limits));
  else if (above) wrong(t("Enter a number above %(least)s, up to %(most)s, or nothing.", limits));
  else wrong(t("Enter a number from %(least)s to %(most)s, or nothing.", limits));
  return null;
}
