// Who may get into the account: ways to sign in, open sessions, API keys.

import { call, get, post } from "./api.js";
import { copyText } from "./clipboard.js";
import { action, field, make, part, say, show } from "./dom.js";
import { entries, time } from "./entries.js";
import { fieldErrors } from "./errors.js";
import { ago, day } from "./format.js";
import { t } from "./i18n.js";
import { signOut } from "./session.js";
import { confirmed, toast } from "./toast.js";

const PAGE = 20;
const DAY_MS = 86_400_000;
const BROWSERS = [[/\bEdgA?\//, "Edge"], [/\bOPR\//, "Opera"], [/Firefox\/|FxiOS\//, "Firefox"], [/Chrom(e|ium)\/|CriOS\//, "Chrome"], [/Safari\//, "Safari"]];
const SYSTEMS = [[/iPhone|iPad/, "iOS"], [/Android/, "Android"], [/Windows/, "Windows"], [/Mac OS X/, "macOS"], [/CrOS/, "ChromeOS"], [/Linux/, "Linux"]];
const LONGEST_AGENT = 60;

/** What a User-Agent header says to a person. */
function device(agent) {
  if (!agent) return t("Unknown program");
  const known = (table) => table.find(([pattern]) => pattern.test(agent))?.[1];
  const browser = known(BROWSERS);
  const system = known(SYSTEMS);
  if (browser && system) return t("%(browser)s on %(system)s", { browser, system });
  return browser ?? agent.slice(0, LONGEST_AGENT);
}

export function mountAccess(main, signal) {
  const listen = { signal };

  const { fill, run, load, gone } = entries(main, signal);

  // Ways to sign in
  const offered = [...main.querySelectorAll("[data-issuer]")];
  const labelOf = (issuer) => offered.find((link) => link.dataset.issuer === issuer)?.dataset.label ?? new URL(issuer).host;
  const identities = async () => {
    const found = await get("/api/auth/identities", { signal });
    fill("identities", found, (one) => ({
      title: one.email ?? one.subject,
      facts: [labelOf(one.issuer), time(one.last_used_at, t("used %(when)s", { when: ago(one.last_used_at) }))],
      button: t("Remove"),
      label: t("Remove %(name)s", { name: `${labelOf(one.issuer)} ${one.email ?? one.subject}` }),
      end: async () => {
        const sure = await confirmed({
          title: t("Remove this way to sign in?"),
          text: t("%(provider)s will no longer sign you in to this account.", { provider: labelOf(one.issuer) }),
          yes: t("Remove"), no: t("Keep it"),
        });
        if (!sure) return;
        await call("DELETE", `/api/auth/identities/${one.id}`);
        await identities();
        gone("identities", t("Removed"));
      },
    }));
  };
  load("identities", identities);

  // Sessions
  const moreSessions = action(main, "more-sessions");
  let cursor = null;
  const sessions = async ({ add = false } = {}) => {
    const query = new URLSearchParams({ limit: PAGE, ...(add && cursor ? { cursor } : {}) });
    const page = await get(`/api/auth/sessions?${query}`, { signal });
    cursor = page.next_cursor;
    show(moreSessions, Boolean(cursor));
    fill("sessions", page.items, (one) => ({
      title: device(one.user_agent),
      mark: one.current ? t("This browser") : null,
      facts: [
        time(one.last_used_at, t("used %(when)s", { when: ago(one.last_used_at) })),
        time(one.created_at, t("since %(day)s", { day: day(one.created_at) })),
      ],
      button: t("Sign out"),
      label: t("Sign out: %(name)s", { name: device(one.user_agent) }),
      end: async () => {
        if (one.current) return signOut();
        await call("DELETE", `/api/auth/sessions/${one.id}`);
        await sessions();
        gone("sessions", t("Signed out there"));
      },
    }), { add });
  };
  load("sessions", sessions);
  moreSessions.addEventListener("click", () => run("sessions", moreSessions, () => sessions({ add: true })), listen);
  const everywhere = action(main, "sign-out-everywhere");
  everywhere.addEventListener("click", () => run("sessions", everywhere, async () => {
    const sure = await confirmed({
      title: t("Sign out everywhere?"),
      text: t("Every browser is signed out, this one too. API keys stay: revoke those you no longer trust."),
      yes: t("Sign out everywhere"), no: t("Stay signed in"),
    });
    if (sure) await signOut({ everywhere: true });
  }), listen);

  // Keys
  const scopeWords = (scopes) => scopes.length === 2 ? t("may do everything") : scopes[0] === "read" ? t("may read") : t("may change and ask");
  const endWords = (key) => {
    if (!key.expires_at) return t("never ends");
    const when = { day: day(key.expires_at) };
    return Date.parse(key.expires_at) < Date.now() ? t("ended %(day)s", when) : t("ends %(day)s", when);
  };
  const keys = async () => {
    const page = await get("/api/keys", { signal });
    fill("keys", page.items, (key) => ({
      title: key.name,
      facts: [
        make("code", {}, `${key.prefix}…`),
        scopeWords(key.scopes),
        key.last_used_at ? time(key.last_used_at, t("used %(when)s", { when: ago(key.last_used_at) })) : t("never used"),
        endWords(key),
      ],
      button: t("Revoke"),
      label: t("Revoke %(name)s", { name: key.name }),
      end: async () => {
        const sure = await confirmed({
          title: t("Revoke %(name)s?", { name: key.name }),
          text: t("Programs that use this key are refused at once. This cannot be undone."),
          yes: t("Revoke"), no: t("Keep it"),
        });
        if (!sure) return;
        await call("DELETE", `/api/keys/${key.id}`);
        await keys();
        gone("keys", t("Revoked"));
      },
    }));
  };
  load("keys", keys);

  const form = part(main, "key-form");
  const made = part(main, "new-key");
  const text = field(main, "key");
  const button = form.querySelector("[type=submit]");
  const mark = (id, message) => {
    const error = document.getElementById(`${id}-error`);
    say(error, message ?? "");
    show(error, Boolean(message));
    if (id === "key-name") {
      if (message) nameField.setAttribute("aria-invalid", "true");
      else nameField.removeAttribute("aria-invalid");
    }
  };
  const nameField = form.querySelector("#key-name");
  button.disabled = false;
  nameField.addEventListener("input", () => mark("key-name", null), listen);
  form.addEventListener("change", () => mark("key-scopes", null), listen);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = new FormData(form);
    const name = given.get("name").trim();
    const scopes = given.getAll("scope");
    mark("key-name", name ? null : t("Say what it is for."));
    mark("key-scopes", scopes.length ? null : t("Allow at least one."));
    if (!name || !scopes.length) {
      (name ? form.querySelector("[name=scope]") : nameField).focus();
      return;
    }
    run("keys", button, async () => {
      const days = Number(given.get("end"));
      const body = { name, scopes, ...(days ? { expires_at: new Date(Date.now() + days * DAY_MS).toISOString() } : {}) };
      try {
        text.value = (await post("/api/keys", body)).key;
      } catch (error) {
        const wrong = fieldErrors(error, ["name"]);
        if (!wrong.size) throw error;
        mark("key-name", wrong.get("name"));
        nameField.focus();
        return;
      }
      form.reset();
      show(made);
      made.focus();
      await keys();
    });
  }, listen);
  text.addEventListener("focus", () => text.select(), listen);
  action(main, "copy-key").addEventListener("click", () => copyText(text.value), listen);
  const hide = () => {
    text.value = ""; // not for whoever sits here next
    show(made, false);
  };
  action(main, "hide-key").addEventListener("click", () => { hide(); nameField.focus(); }, listen);
  signal.addEventListener("abort", hide, { once: true });
  addEventListener("pagehide", hide, listen);
}
