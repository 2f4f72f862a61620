// The access token has expired: get the next one, then load the page that was asked for.

import { Unreachable } from "../api.js";
import { make, part, show } from "../dom.js";
import { tell } from "../errors.js";
import { t } from "../i18n.js";
import { renew } from "../session.js";

export function mount(main) {
  const box = part(main, "error");
  const go = async () => {
    show(box, false);
    const { next } = main.dataset;
    try {
      const renewed = await renew(Date.now() - 1000);
      location.replace(renewed ? next : `/signin?${new URLSearchParams({ ...(next === "/" ? {} : { next }), ended: "true" })}`);
    } catch {
      const again = make("button", { type: "button", className: "button small" }, t("Try again"));
      again.addEventListener("click", go);
      tell(box, new Unreachable(), again);
    }
  };
  go();
}
