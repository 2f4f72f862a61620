// Keys of model providers that one brings along: stored once, shown never, removed at any time.

import { call, get } from "./api.js";
import { field, make, part, say, show } from "./dom.js";
import { entries, time } from "./entries.js";
import { fieldErrors, tell } from "./errors.js";
import { ago, day } from "./format.js";
import { t } from "./i18n.js";
import { confirmed, toast } from "./toast.js";

const SHORTEST = 8;

export function mountProviderKeys(main, signal) {
  const listen = { signal };
  const { fill, load, gone } = entries(main, signal);
  const form = part(main, "provider-key-form");
  const provider = form.querySelector("#provider-name");
  const key = form.querySelector("#provider-key");
  const wrong = form.querySelector("#provider-key-error");
  const box = part(main, "provider-key-form-error");
  const submit = form.querySelector("[type=submit]");

  const policies = {
    require: () => t("This server asks vendors with your own key alone. It is kept encrypted, and nobody can read it again."),
    off: () => t("This server asks with its own keys alone: keys of yours are not used."),
  };

  const keys = async () => {
    const found = await get("/api/provider-keys", { signal });
    if (policies[found.policy]) say(field(main, "provider-policy"), policies[found.policy]());
    fill("provider-keys", found.items, (one) => ({
      title: one.title,
      facts: [
        one.hint ? make("code", {}, `…${one.hint}`) : null,
        one.last_used_at ? time(one.last_used_at, t("used %(when)s", { when: ago(one.last_used_at) })) : t("never used"),
        time(one.created_at, t("since %(day)s", { day: day(one.created_at) })),
      ],
      button: t("Remove"),
      label: t("Remove %(name)s", { name: one.title }),
      end: async () => {
        const sure = await confirmed({
          title: t("Remove your key of %(name)s?", { name: one.title }),
          text: t("Jobs that wait or run no longer use it from their next question on."),
          yes: t("Remove"), no: t("Keep it"),
        });
        if (!sure) return;
        await call("DELETE", `/api/provider-keys/${one.provider}`);
        await keys();
        gone("provider-keys", t("Removed"));
      },
    }));
    const chosen = provider.value;
    provider.replaceChildren(...found.providers.map((one) => make("option", { value: one.provider }, one.title)));
    if (chosen) provider.value = chosen;
    show(form, found.policy !== "off" && found.providers.length > 0);
  };
  load("provider-keys", keys);

  const mark = (message) => {
    say(wrong, message ?? "");
    show(wrong, Boolean(message));
    if (message) key.setAttribute("aria-invalid", "true");
    else key.removeAttribute("aria-invalid");
  };
  const clear = () => { key.value = ""; }; // not for whoever sits here next

  let busy = false; // not `disabled`: the button would lose the focus
  async function store({ unchecked = false } = {}) {
    if (busy) return;
    const given = key.value.trim();
    show(box, false);
    mark(given.length < SHORTEST ? t("Paste the whole key.") : null);
    if (given.length < SHORTEST) {
      key.focus();
      return;
    }
    busy = true;
    submit.setAttribute("aria-busy", "true");
    try {
      const query = unchecked ? "?unchecked=true" : "";
      const stored = await call("PUT", `/api/provider-keys/${provider.value}${query}`, { body: { key: given }, signal });
      clear();
      await keys();
      toast(stored.checked ? t("Stored: %(name)s accepts it", { name: stored.title }) : t("Stored, unchecked"));
      if (stored.note) tell(box, { code: "model_quota_exceeded", detail: stored.note });
    } catch (error) {
      if (signal.aborted) return;
      const fields = fieldErrors(error, ["key"]);
      if (fields.size) {
        mark(fields.get("key"));
        key.focus();
      } else if (error.code === "provider_key_unchecked") {
        const anyway = make("button", { className: "button small", type: "button" }, t("Store it unchecked"));
        anyway.addEventListener("click", () => store({ unchecked: true }), listen);
        tell(box, error, anyway);
      } else {
        tell(box, error);
        key.focus();
      }
    } finally {
      busy = false;
      submit.removeAttribute("aria-busy");
    }
  }
  form.addEventListener("submit", (event) => { event.preventDefault(); store(); }, listen);
  key.addEventListener("input", () => mark(null), listen);
  signal.addEventListener("abort", clear, { once: true });
  addEventListener("pagehide", clear, listen);
}
