// Two executions: what their prompts differ in, and the answers of each model side by side.

import { get } from "../../../js/api.js";
import { field, part, say, show } from "../../../js/dom.js";
import { tell } from "../../../js/errors.js";
import { ago, number } from "../../../js/format.js";
import { t, tn } from "../../../js/i18n.js";
import { Board } from "./board.js";
import { Columns } from "./columns.js";
import { drawDiff } from "./diff.js";
import { titleOf } from "./prompts.js";
import { drawStatistics } from "./statistics.js";

const SIDES = ["left", "right"];

export async function mount(main, signal) {
  const root = part(main, "compare");
  const ids = { left: main.dataset.left, right: main.dataset.right };
  let turn = 0;

  const drawSide = (side, status, { prompt, executions }) => {
    const title = field(root, `${side}-title`);
    say(title, `${titleOf(prompt).slice(0, 80)} · ${t("version %(n)s", { n: number(prompt.version) })}`);
    title.href = `/playground/${status.execution_id}`;
    const runs = field(root, `${side}-runs`);
    runs.replaceChildren(...executions.map((one, i) => new Option(t("Run %(n)s, %(when)s", { n: number(executions.length - i), when: ago(one.created_at) }), one.id, false, one.id === status.execution_id)));
    runs.disabled = false;
  };

  /** A model's columns stand beside each other, whichever side they are of. */
  const drawColumns = (boards) => {
    const words = { left: (model) => t("Left: %(model)s", { model }), right: (model) => t("Right: %(model)s", { model }) };
    const sides = SIDES.map((side) => {
      const frame = document.createElement("div");
      new Columns(frame, boards[side], signal, { head: words[side] });
      return new Map(boards[side].execution.models.map((model, i) => [model, frame.children[i]]));
    });
    const models = new Set(sides.flatMap((side) => [...side.keys()]));
    const frame = part(root, "columns");
    frame.replaceChildren(...[...models].flatMap((model) => sides.map((side) => side.get(model)).filter(Boolean)));
    frame.classList.toggle("several", SIDES.some((side) => boards[side].lanes.size > boards[side].execution.models.length));
    drawStatistics(root, ...SIDES.map((side) => ({ board: boards[side], name: words[side] })));
    show(part(root, "stats"));
  };

  const read = async () => {
    const mine = (turn += 1);
    show(part(main, "error"), false);
    try {
      const found = await get(`/api/prompts/compare?${new URLSearchParams(ids)}`, { signal });
      const details = await Promise.all(SIDES.map((side) => get(`/api/prompts/${found[side].prompt_id}`, { signal })));
      if (mine !== turn) return;
      SIDES.forEach((side, i) => drawSide(side, found[side], details[i]));
      field(main, "back").href = `/playground/${found.right.execution_id}`;
      const count = found.diff.fields.length;
      say(field(root, "differences"), count ? tn("The prompts differ in %(n)s field", "The prompts differ in %(n)s fields", count) : t("The prompts are the same"));
      field(root, "diff").replaceChildren(...drawDiff(found.diff));
      show(part(root, "differences"));
      part(root, "differences").open = count > 0;
      drawColumns({ left: new Board(found.left), right: new Board(found.right) });
    } catch (error) {
      if (!signal.aborted) tell(part(main, "error"), error);
    }
    root.setAttribute("aria-busy", "false");
  };

  for (const side of SIDES) {
    field(root, `${side}-runs`).addEventListener("change", (event) => {
      ids[side] = event.target.value;
      history.replaceState(history.state, "", `/playground/${ids.left}/beside/${ids.right}`);
      read();
    }, { signal });
  }
  await read();
}
