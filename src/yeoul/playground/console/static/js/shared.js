// A shared prompt, for whoever has its link. It is read, never changed.

import { call } from "../../../js/api.js";
import { field, make, part, say, show } from "../../../js/dom.js";
import { tell } from "../../../js/errors.js";
import { ago, number } from "../../../js/format.js";
import { t } from "../../../js/i18n.js";
import { Board } from "./board.js";
import { Columns } from "./columns.js";
import { badgeOf, titleOf } from "./prompts.js";
import { drawStatistics } from "./statistics.js";

export async function mount(main, signal) {
  const root = part(main, "shared");
  const url = `/api/shared/prompts/${main.dataset.id}`;
  const formatted = part(root, "formatted");
  let columns = null;
  let end = new AbortController();

  const drawPrompt = (prompt) => {
    if (prompt.name) say(field(root, "title"), prompt.name);
    document.title = `${titleOf(prompt).slice(0, 60)} · ${t("Yeoul")}`;
    say(field(root, "text"), prompt.user_prompt);
    say(field(root, "system"), prompt.system_prompt ?? "");
    show(field(root, "system-box"), Boolean(prompt.system_prompt));
    const images = field(root, "images");
    images.replaceChildren(...prompt.images.map((_, i) => make("li", {}, make("img", { src: `${url}/images/${i + 1}`, alt: t("Image %(n)s", { n: number(i + 1) }) }))));
    show(images, prompt.images.length > 0);
    const chips = Object.entries(prompt.parameters).map(([name, value]) => `${name} ${JSON.stringify(value)}`);
    if (prompt.response_schema) chips.push(t("Answers JSON of a form"));
    field(root, "chips").replaceChildren(...chips.map((text) => make("li", {}, text)));
    show(part(root, "prompt"));
  };
  const drawRun = (status) => {
    end.abort();
    end = new AbortController();
    const board = new Board(status);
    badgeOf(field(root, "status"), status.status, status.execution.cancel_requested);
    columns = new Columns(part(root, "columns"), board, end.signal, { formatted: formatted.checked });
    drawStatistics(root, { board });
  };

  try {
    const { prompt, executions } = await call("GET", url, { signal, leaves: false });
    drawPrompt(prompt);
    show(part(root, "run"), executions.length > 0);
    const runs = part(root, "runs");
    runs.replaceChildren(...executions.map(({ execution }, i) => new Option(t("Run %(n)s, %(when)s", { n: number(executions.length - i), when: ago(execution.created_at) }), i)));
    show(part(root, "runs-box"), executions.length > 1);
    runs.addEventListener("change", () => drawRun(executions[Number(runs.value)]), { signal });
    formatted.addEventListener("change", () => { columns.formatted = formatted.checked; }, { signal });
    if (executions.length) drawRun(executions[0]);
  } catch (error) {
    if (!signal.aborted) tell(part(root, "error"), error);
  }
  root.setAttribute("aria-busy", "false");
}
