// Checks that answers are held against.

import { action, make, part } from "../../../js/dom.js";
import { t } from "../../../js/i18n.js";
import { models } from "../../../js/models.js";
import { markBox } from "./fields.js";

const MOST = 20;
const LONGEST = 60; // of what is checked, in a check's name

const TYPES = {
  contains: [() => t("contains"), "value"],
  not_contains: [() => t("does not contain"), "value"],
  equals: [() => t("is exactly"), "value"],
  regex: [() => t("matches the pattern"), "pattern"],
  max_length: [() => t("has at most so many characters"), "characters"],
  json_schema: [() => t("is JSON of this schema"), "schema"],
  judge: [() => t("is judged by a model"), "rubric"],
};
const WORDS = {
  value: () => t("Text"), pattern: () => t("Regular expression"), characters: () => t("Characters"), schema: () => t("JSON Schema"),
  rubric: () => t("What a good answer does"),
};

const short = (text) => ([...text].length > LONGEST ? `${[...text].slice(0, LONGEST - 1).join("")}…` : text);

/** What a check is called in the language of whoever makes it. */
function named(type, text) {
  const what = type === "json_schema" ? "" : text.trim().replace(/\s+/g, " ");
  return what ? `${TYPES[type][0]()}: ${short(what)}` : TYPES[type][0]();
}

/** The name, or one like it that no check has yet. */
function other(name, taken) {
  let free = name;
  for (let n = 2; taken.has(free); n += 1) free = `${name} (${n})`;
  taken.add(free);
  return free;
}

export class Checks {
  #root;
  #changed;
  #rows = []; // {type, text, ignore_case, model, name}: a name it was given, or had when it was run

  constructor(root, signal, changed) {
    this.#root = root;
    this.#changed = changed;
    const listen = { signal };
    action(root, "add-check").addEventListener("click", () => this.#add(), listen);
    part(root, "checks").addEventListener("input", (event) => this.#take(event.target), listen);
    part(root, "checks").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.#remove(Number(button.dataset.row));
    }, listen);
  }

  get values() {
    return this.#rows;
  }

  set values(rows) {
    this.#rows = (rows ?? []).map((row) => ({ ...row }));
    this.#draw();
  }

  /** Texts that may have variables in them. */
  get texts() {
    return this.#rows.filter(({ type }) => ["value", "rubric"].includes(TYPES[type][1])).map(({ text }) => text);
  }

  /** Checks as an execution has them become rows. */
  open(checks) {
    this.values = (checks ?? []).map((check) => {
      const found = check[TYPES[check.type][1]];
      return { type: check.type, text: typeof found === "object" ? JSON.stringify(found) : String(found), ignore_case: check.ignore_case ?? false, model: check.model, name: check.name };
    });
  }

  /** As the API takes them; null, and what is wrong told, when one does not fit. */
  read() {
    markBox("checks", null);
    const found = [];
    const taken = new Set();
    for (const { type, text, ignore_case, model, name } of this.#rows) {
      const key = TYPES[type][1];
      let value = text;
      if (text.trim() === "") return this.#wrong(t("A check is empty: fill it in or remove it."));
      if (key === "characters") {
        value = Number(text);
        if (!Number.isInteger(value) || value < 1) return this.#wrong(t("Enter a whole number of characters."));
      }
      if (key === "schema") {
        try {
          value = JSON.parse(text);
        } catch {
          return this.#wrong(t("The schema of a check is not JSON."));
        }
      }
      found.push({ name: other(name ?? named(type, text), taken), type, [key]: value, ...(key === "value" && ignore_case ? { ignore_case } : {}), ...(type === "judge" ? { model } : {}) });
    }
    return found;
  }

  #wrong(message) {
    markBox("checks", message);
    return null;
  }

  async #add() {
    if (this.#rows.length >= MOST) return;
    this.#rows.push({ type: "contains", text: "", ignore_case: false });
    await this.#draw();
    part(this.#root, "checks").lastElementChild.querySelector("select").focus();
    this.#changed();
  }

  #remove(i) {
    this.#rows.splice(i, 1);
    this.#draw();
    action(this.#root, "add-check").focus();
    this.#changed();
  }

  #take(element) {
    const row = this.#rows[Number(element.closest("li").dataset.row)];
    const { what } = element.dataset;
    row[what] = element.type === "checkbox" ? element.checked : element.value;
    row.name = undefined;
    markBox("checks", null);
    if (what === "type") this.#draw(element);
    this.#changed();
  }

  async #draw(focused = null) {
    const all = this.#rows.some((row) => row.type === "judge") ? await models().catch(() => []) : [];
    const at = focused ? Number(focused.closest("li").dataset.row) : null;
    part(this.#root, "checks").replaceChildren(...this.#rows.map((row, i) => this.#line(row, i, all)));
    if (at !== null) part(this.#root, "checks").children[at].querySelector("select").focus();
    action(this.#root, "add-check").disabled = this.#rows.length >= MOST;
  }

  #line(row, i, all) {
    const [, key] = TYPES[row.type];
    const name = (words) => t("%(what)s of check %(n)s", { what: words, n: i + 1 });
    const types = make("select", { "data-what": "type", "aria-label": name(t("Kind")) }, ...Object.entries(TYPES).map(([value, [words]]) => make("option", { value, selected: value === row.type }, words())));
    const field = key === "characters"
      ? make("input", { type: "number", min: "1", value: row.text, "data-what": "text", "aria-label": name(WORDS[key]()), placeholder: WORDS[key]() })
      : make("textarea", { rows: 1, value: row.text, "data-what": "text", "aria-label": name(WORDS[key]()), placeholder: WORDS[key]() });
    const extra = [];
    if (key === "value") extra.push(make("label", { className: "check" }, make("input", { type: "checkbox", checked: row.ignore_case, "data-what": "ignore_case" }), make("span", {}, t("any case"))));
    if (row.type === "judge") {
      const usable = all.filter((model) => model.available);
      row.model ??= usable[0]?.id;
      const options = usable.map((model) => make("option", { value: model.id, selected: model.id === row.model }, model.name));
      // What was chosen stays chosen until somebody chooses another: a judge that is exchanged judges otherwise.
      if (row.model && usable.every((model) => model.id !== row.model)) options.unshift(make("option", { value: row.model, selected: true }, t("%(model)s, not available", { model: row.model })));
      extra.push(make("span", { className: "picker" }, make("select", { "data-what": "model", "aria-label": name(t("Model")) }, ...options)));
    }
    const gone = make("button", { type: "button", className: "icon-button", "data-row": i, "aria-label": t("Remove check %(n)s", { n: i + 1 }) }, "×");
    return make("li", { "data-row": i }, make("span", { className: "picker" }, types), field, ...extra, gone);
  }
}
