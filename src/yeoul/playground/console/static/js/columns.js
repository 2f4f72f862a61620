// Answers in columns, one for each model. Whatever arrives is drawn once a frame, however much it is.

import { copyOf, field, say } from "../../../js/dom.js";
import { number } from "../../../js/format.js";
import { t } from "../../../js/i18n.js";
import { Answer } from "./answer.js";

/** Which answer of its column it is: "", "2", "Case 3", "Case 3 · 2". */
function labelOf(lane, { iterations, cases }) {
  const parts = [];
  if (cases?.length > 1) parts.push(t("Case %(n)s", { n: number(lane.case) }));
  if (iterations > 1) parts.push(t("Run %(n)s", { n: number(lane.iteration) }));
  return parts.join(" · ");
}

/** From so many answers on, those out of sight are not laid out. */
const MANY = 60;

export class Columns {
  #root;
  #board;
  #signal;
  #answers = new Map(); // key of a lane → Answer
  #columns = new Map(); // model → {column, done, of}
  #dirty = new Set();
  #drawing = false;

  /** Shows a board in `root` until `signal` ends. `stop(lane)` and `retry(lane)`: for their buttons; `head(model)`: words above its column. */
  constructor(root, board, signal, { stop = null, retry = null, formatted = false, head = (model) => model } = {}) {
    this.#root = root;
    this.#board = board;
    this.#signal = signal;
    const { execution } = board;
    for (const model of execution.models) {
      const column = copyOf("pg-column");
      column.setAttribute("aria-label", head(model));
      say(field(column, "model"), head(model));
      this.#columns.set(model, { column, of: 0 });
    }
    for (const lane of board.lanes.values()) {
      const answer = new Answer(lane, labelOf(lane, execution), { stop, retry, formatted });
      this.#answers.set(lane.key, answer);
      const values = execution.cases?.[lane.case - 1];
      if (values && execution.cases.length > 1) answer.root.firstElementChild.title = Object.entries(values).map(([name, value]) => `${name}: ${value}`).join("\n").slice(0, 500);
      const one = this.#columns.get(lane.model);
      one.of += 1;
      field(one.column, "answers").append(answer.root);
      answer.draw();
    }
    root.replaceChildren(...[...this.#columns.values()].map(({ column }) => column));
    root.classList.toggle("several", board.lanes.size > execution.models.length);
    root.classList.toggle("many", board.lanes.size > MANY);
    this.#counts();
  }

  /** These lanes have changed. */
  changed(...lanes) {
    for (const lane of lanes) this.#dirty.add(lane.key);
    if (this.#drawing || this.#dirty.size === 0) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      if (!this.#signal.aborted) this.#paint();
    });
  }

  set formatted(on) {
    for (const answer of this.#answers.values()) answer.formatted = on;
  }

  tick() {
    for (const answer of this.#answers.values()) answer.tick();
  }

  // Layout is read for all, then all is written, then what follows its text is scrolled: one layout a frame.
  #paint() {
    const answers = [...this.#dirty].map((key) => this.#answers.get(key));
    this.#dirty.clear();
    const following = answers.filter((answer) => answer.follows);
    for (const answer of answers) answer.draw();
    for (const answer of following) answer.toEnd();
    this.#counts();
  }

  #counts() {
    const done = new Map();
    for (const lane of this.#board.lanes.values()) if (lane.result) done.set(lane.model, (done.get(lane.model) ?? 0) + 1);
    for (const [model, { column, of }] of this.#columns) {
      const ended = done.get(model) ?? 0;
      column.setAttribute("aria-busy", String(ended < of));
      say(field(column, "done"), of > 1 ? t("%(done)s of %(all)s", { done: number(ended), all: number(of) }) : "");
    }
  }
}
