// The table of cases: a row gives every variable of the prompt a value.

import { call } from "../../../js/api.js";
import { action, make, part, say, show } from "../../../js/dom.js";
import { words } from "../../../js/errors.js";
import { number } from "../../../js/format.js";
import { t, tn } from "../../../js/i18n.js";
import { toast } from "../../../js/toast.js";
import { markBox } from "./fields.js";
import { rowsOf } from "./sheet.js";

const MOST = 200;
const CSV_BYTES = 1_000_000;

export class Cases {
  #root;
  #changed;
  #names = [];
  #rows = [{}]; // {name: text}; values of names that are gone are kept, in case they come back

  /** In the panel `root`; `changed()` is called after every change. */
  constructor(root, signal, changed) {
    this.#root = root;
    this.#changed = changed;
    const listen = { signal };
    const table = part(root, "cases-rows");
    table.addEventListener("input", (event) => { this.#take(event.target); changed(); }, listen);
    table.addEventListener("paste", (event) => this.#paste(event), listen);
    table.addEventListener("click", (event) => {
      const button = event.target.closest("[data-row]");
      if (button) this.#remove(Number(button.dataset.row));
    }, listen);
    action(root, "add-case").addEventListener("click", () => this.#add(), listen);
    const file = part(root, "cases-file");
    file.disabled = false;
    file.addEventListener("change", () => { this.#load(file.files[0]); file.value = ""; }, listen);
    root.addEventListener("dragover", (event) => event.preventDefault(), listen);
    root.addEventListener("drop", (event) => {
      const [dropped] = event.dataTransfer.files;
      if (!dropped) return; // words, for the field they fall on
      event.preventDefault();
      this.#load(dropped);
    }, listen);
  }

  get names() {
    return this.#names;
  }

  set names(found) {
    if (found.join(" ") === this.#names.join(" ")) return;
    this.#names = found;
    this.#draw();
  }

  get values() {
    return this.#rows;
  }

  set values(rows) {
    this.#rows = rows?.length ? rows.map((row) => ({ ...row })) : [{}];
    this.#draw();
  }

  /** How many there are: 1 without variables, for the prompt is then asked as it is. */
  get count() {
    return this.#names.length ? this.#rows.length : 1;
  }

  /** The cases; null, and the first gap told, when a value is missing. Undefined without variables. */
  read() {
    markBox("cases", null);
    if (!this.#names.length) return undefined;
    for (const [i, row] of this.#rows.entries()) {
      const missing = this.#names.find((name) => (row[name] ?? "") === "");
      if (missing === undefined) continue;
      markBox("cases", t("Case %(n)s has no %(name)s.", { n: number(i + 1), name: missing }));
      this.#cell(i, missing).setAttribute("aria-invalid", "true");
      return null;
    }
    return this.#rows.map((row) => Object.fromEntries(this.#names.map((name) => [name, row[name]])));
  }

  #cell(row, name) {
    return part(this.#root, "cases-rows").rows[row].querySelector(`[data-name="${name}"]`);
  }

  #draw() {
    const any = this.#names.length > 0;
    show(part(this.#root, "cases-frame"), any);
    show(part(this.#root, "cases-actions"), any);
    say(this.#root.querySelector('[data-f="cases-hint"]'), any
      ? t("Each case is asked once for every model and every time.")
      : t("Write a name in double braces in the prompt, like {{city}}: each case then gives it a value."));
    markBox("cases", null);
    part(this.#root, "cases-head").replaceChildren(
      make("tr", {}, make("th", { scope: "col" }, "#"), ...this.#names.map((name) => make("th", { scope: "col" }, name)), make("td", {})),
    );
    part(this.#root, "cases-rows").replaceChildren(...this.#rows.map((row, i) => this.#line(row, i)));
    action(this.#root, "add-case").disabled = this.#rows.length >= MOST;
  }

  #line(row, i) {
    const n = number(i + 1);
    const field = (name) => make("textarea", { rows: 1, value: row[name] ?? "", "data-name": name, "aria-label": t("%(name)s of case %(n)s", { name, n }) });
    const gone = make("button", { type: "button", className: "icon-button", "data-row": i, "aria-label": t("Remove case %(n)s", { n }), disabled: this.#rows.length === 1 }, "×");
    return make("tr", {}, make("th", { scope: "row" }, n), ...this.#names.map((name) => make("td", {}, field(name))), make("td", {}, gone));
  }

  #take(element) {
    this.#rows[element.closest("tr").rowIndex - 1][element.dataset.name] = element.value;
    element.removeAttribute("aria-invalid");
    markBox("cases", null);
  }

  #add() {
    if (this.#rows.length >= MOST) return;
    this.#rows.push({});
    this.#draw();
    this.#cell(this.#rows.length - 1, this.#names[0]).focus();
    this.#changed();
  }

  #remove(i) {
    this.#rows.splice(i, 1);
    this.#draw();
    this.#cell(Math.min(i, this.#rows.length - 1), this.#names[0]).focus();
    this.#changed();
  }

  /** Several cells go to where the cursor is and on from there; a single one is pasted as ever. */
  #paste(event) {
    const cells = rowsOf(event.clipboardData.getData("text/plain"));
    if (cells.length < 2 && (cells[0]?.length ?? 0) < 2) return;
    event.preventDefault();
    const top = event.target.closest("tr").rowIndex - 1;
    const left = this.#names.indexOf(event.target.dataset.name);
    for (const [i, row] of cells.entries()) {
      if (top + i >= MOST) break;
      const target = (this.#rows[top + i] ??= {});
      for (const [j, text] of row.entries()) if (this.#names[left + j]) target[this.#names[left + j]] = text;
    }
    this.#draw();
    this.#cell(top, this.#names[left]).focus();
    this.#changed();
  }

  async #load(file) {
    if (!file || !this.#names.length) return;
    markBox("cases", file.size > CSV_BYTES ? t("This file is too large: 1 MB at most.") : null);
    if (file.size > CSV_BYTES) return;
    try {
      const { cases } = await call("POST", "/api/prompts/cases", { raw: file, headers: { "Content-Type": "text/csv" } });
      this.values = cases;
      const unknown = this.#names.filter((name) => !(name in (cases[0] ?? {})));
      if (unknown.length) markBox("cases", t("The file has no column %(names)s.", { names: unknown.join(", ") }));
      else toast(tn("%(n)s case from %(file)s", "%(n)s cases from %(file)s", cases.length, { file: file.name }));
      this.#changed();
    } catch (error) {
      const { title, said } = words(error);
      markBox("cases", said || title);
    }
  }
}
