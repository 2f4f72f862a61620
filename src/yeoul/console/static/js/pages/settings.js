// Settings: theme and language are a plain form; the account comes from the API.

import { mountAccess } from "../access.js";
import { get } from "../api.js";
import { action, field, part, say, show } from "../dom.js";
import { tell } from "../errors.js";
import { day } from "../format.js";
import { t } from "../i18n.js";
import { mountProviderKeys } from "../provider_keys.js";
import { signOut } from "../session.js";
import { recall, remember } from "../store.js";

export function mount(main, signal) {
  const listen = { signal };
  const keys = field(main, "single-keys");
  keys.checked = recall("keys") !== "off";
  keys.disabled = false;
  // Another tab has changed it, or this one just before a reload: browsers pass it on a moment later.
  addEventListener("storage", () => { keys.checked = recall("keys") !== "off"; }, listen);
  keys.addEventListener("change", () => remember("keys", keys.checked ? null : "off"), listen);

  // At once, before the server has kept it.
  const choices = main.querySelector("form");
  choices.addEventListener("change", (event) => {
    if (event.target.name === "theme") document.documentElement.dataset.theme = event.target.value;
  }, listen);
  // What was chosen before anybody listened.
  for (const choice of choices.querySelectorAll("input")) {
    if (choice.checked && !choice.defaultChecked) choice.dispatchEvent(new Event("change", { bubbles: true }));
  }

  action(main, "sign-out").disabled = false;
  action(main, "sign-out").addEventListener("click", async (event) => {
    event.currentTarget.disabled = true;
    await signOut();
  }, listen);

  mountProviderKeys(main, signal);
  mountAccess(main, signal);

  get("/api/me", { signal }).then(
    (me) => {
      say(field(main, "email"), me.email);
      say(field(main, "role"), me.role === "admin" ? t("Administrator") : t("User"));
      say(field(main, "since"), day(me.created_at));
      if (me.name) say(field(main, "name"), me.name);
      show(field(main, "name-row"), Boolean(me.name));
      field(main, "account").setAttribute("aria-busy", "false");
    },
    (error) => signal.aborted || tell(part(main, "error"), error),
  );
}
