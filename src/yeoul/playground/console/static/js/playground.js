// The playground: the prompt, the answers of an execution, earlier prompts. The execution's id is in the address, so
// that a reload, another tab and Back show the same.

import { call, get, post } from "../../../js/api.js";
import { action, field, part, say, show } from "../../../js/dom.js";
import { tell } from "../../../js/errors.js";
import { ago, number } from "../../../js/format.js";
import { t } from "../../../js/i18n.js";
import { randomId } from "../../../js/store.js";
import { confirmed, toast } from "../../../js/toast.js";
import { Code } from "./code.js";
import { forget } from "./draft.js";
import { Editor } from "./editor.js";
import { History } from "./history.js";
import { titleOf } from "./prompts.js";
import { Run } from "./run.js";
import { Share } from "./share.js";
import { Versions } from "./versions.js";

export function mount(main, signal) {
  const listen = { signal };
  let shown = null; // {run, end}
  let detail = null; // the prompt with its executions

  const go = (path) => history.pushState({ htmx: true }, "", path);
  const editor = new Editor(main, signal, (started) => openRun(started.execution_id, { fresh: true }));
  const earlier = new History(main, signal);
  const code = new Code(main, signal);
  const share = new Share(main, signal);
  const versions = new Versions(main, signal);
  const runError = part(main, "run-error");

  const view = (name) => {
    shown?.end.abort();
    shown = null;
    main.dataset.view = name;
    show(part(main, "run"), name === "run");
    show(part(main, "history"), name === "new");
    show(part(main, "connection"), false);
    show(field(main, "which"), false);
  };

  /** Which version of which prompt, and which of its runs. */
  const tellWhich = () => {
    const { prompt, executions } = detail;
    const parts = [prompt.name, prompt.version > 1 ? t("version %(n)s", { n: number(prompt.version) }) : "", ...(prompt.labels ?? [])].filter(Boolean);
    say(field(main, "which"), parts.join(" · "));
    show(field(main, "which"), parts.length > 0);
    document.title = `${titleOf(prompt).slice(0, 60)} · ${t("Playground")} · ${t("Yeoul")}`;
    const runs = part(main, "runs");
    runs.replaceChildren(...executions.map((one, i) => new Option(t("Run %(n)s, %(when)s", { n: number(executions.length - i), when: ago(one.created_at) }), one.id, false, one.id === shown.run.id)));
    show(part(main, "runs-box"), executions.length > 1);
    for (const link of part(main, "export").querySelectorAll("a")) link.href = `/api/prompts/${shown.run.id}/export?format=${link.dataset.format}${link.dataset.format === "csv" ? "&bom=true" : ""}`;
  };

  /** Puts answers that begin in the lower half of the screen, or below it, at its top. */
  const toAnswers = () => {
    const root = part(main, "run");
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (root.getBoundingClientRect().top > innerHeight / 2) root.scrollIntoView({ block: "start", behavior: still ? "instant" : "smooth" });
  };

  /** Shows an execution (or a prompt's latest); `fresh`: it has just begun, by the prompt as it stands. */
  function openRun(id, { fresh = false } = {}) {
    view("run");
    const end = new AbortController();
    signal.addEventListener("abort", () => end.abort(), { once: true });
    const run = new Run(main, id, end.signal, async (status) => {
      try {
        detail = await get(`/api/prompts/${status.prompt_id}`, { signal: end.signal });
      } catch (error) {
        if (!end.signal.aborted) tell(runError, error);
        return;
      }
      tellWhich();
      if (fresh) editor.of(detail.prompt);
      else editor.open(detail.prompt, status.execution);
    }, () => fresh || editor.open());
    shown = { run, end };
    if (!fresh) return;
    go(`/playground/${id}`);
    editor.fold();
    part(main, "run").querySelector("h2").focus({ preventScroll: true });
    toAnswers();
  }

  /** `how`: what becomes of a draft; see the editor. */
  const openNew = (how = { drafts: false }) => {
    go("/playground");
    view("new");
    document.title = `${t("Playground")} · ${t("Yeoul")}`;
    editor.open(null, { models: editor.models }, how);
    earlier.read();
    scrollTo(0, 0);
    editor.focus();
  };

  const act = (name, work) => action(main, name).addEventListener("click", async (event) => {
    const button = event.currentTarget;
    button.disabled = true;
    show(runError, false);
    try {
      await work();
    } catch (error) {
      if (!signal.aborted) tell(runError, error);
    } finally {
      button.disabled = false;
    }
  }, listen);
  act("replay", async () => openRun((await post(`/api/prompts/${shown.run.id}/execute`, undefined, { headers: { "Idempotency-Key": randomId() } })).execution_id, { fresh: true }));
  act("code", () => code.open(shown.run.execution));
  act("share", () => share.open(shown.run.execution.prompt_id));
  act("versions", () => versions.open(detail.prompt, shown.run.execution));
  act("delete", async () => {
    const sure = await confirmed({
      title: t("Delete this prompt?"),
      text: t("Its runs and all their answers go with it. This cannot be undone."),
      yes: t("Delete"), no: t("Keep it"),
    });
    if (!sure) return;
    const { prompt_id } = shown.run.execution;
    await call("DELETE", `/api/prompts/${prompt_id}`);
    forget(prompt_id);
    openNew({ early: false }); // what stands there is of the prompt that is gone
    toast(t("Deleted"));
  });
  action(main, "new").addEventListener("click", () => openNew(), listen);
  action(main, "new").disabled = false;
  part(main, "runs").addEventListener("change", (event) => {
    go(`/playground/${event.target.value}`);
    openRun(event.target.value);
  }, listen);
  document.addEventListener("click", (event) => {
    const menu = part(main, "export");
    if (menu.open && (!menu.contains(event.target) || event.target.closest("a"))) menu.open = false;
  }, listen);
  part(main, "export").addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.currentTarget.open = false;
    event.currentTarget.querySelector("summary").focus();
  }, listen);

  document.addEventListener("yeoul:new", (event) => { event.preventDefault(); openNew(); }, listen);
  const keys = {
    e: () => editor.focus(),
    m: () => editor.picker.open(),
    x: () => shown?.run.stop(),
    r: () => part(main, "run").querySelector("h2").focus(),
    h: () => (main.dataset.view === "new" ? earlier.focus() : part(main, "to-history").click()),
  };
  document.addEventListener("yeoul:key", (event) => {
    if (!keys[event.detail]) return;
    event.preventDefault();
    keys[event.detail]();
  }, listen);

  if (!history.state?.htmx) history.replaceState({ htmx: true }, "");
  if (main.dataset.id) {
    openRun(main.dataset.id);
  } else {
    view("new");
    editor.open();
    earlier.read().then(() => signal.aborted || !new URLSearchParams(location.search).has("history") || earlier.focus());
  }
}
