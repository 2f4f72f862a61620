// Copying, also on plain-http addresses, where browsers have no clipboard object.

import { make } from "./dom.js";
import { t } from "./i18n.js";
import { toast } from "./toast.js";

function copyByHand(text) {
  const focused = document.activeElement;
  const area = make("textarea", { value: text, className: "sr-only", readOnly: true });
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  focused?.focus({ preventScroll: true });
  return copied;
}

export async function copyText(text) {
  let copied = true;
  try {
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else copied = copyByHand(text);
  } catch {
    copied = copyByHand(text);
  }
  toast(copied ? t("Copied") : t("Your browser does not allow copying. Select the text instead."));
}
