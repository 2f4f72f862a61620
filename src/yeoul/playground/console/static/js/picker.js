// Which models are asked: a list to choose from, and what is chosen.

import { action, field, make, part, say, show } from "../../../js/dom.js";
import { words } from "../../../js/errors.js";
import { t, tn } from "../../../js/i18n.js";
import { about, facts, meant, models, titleOf, trouble } from "../../../js/models.js";
import { recall, remember } from "../../../js/store.js";
import { markBox } from "./fields.js";

const MOST = 8;

export class Picker {
  #main;
  #dialog;
  #changed;
  #all = [];
  #ids;

  /** `changed(byHand)` is called after every change, also when what was chosen earlier is there. */
  constructor(main, signal, changed) {
    this.#main = main;
    this.#dialog = part(main, "models-dialog");
    this.#changed = changed;
    const listen = { signal };
    action(main, "models").addEventListener("click", () => this.open(), listen);
    part(main, "chosen").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.#drop(button.dataset.id);
    }, listen);
    field(this.#dialog, "list").addEventListener("change", (event) => this.#choose(event.target), listen);
    field(this.#dialog, "search").addEventListener("input", () => this.#filter(), listen);
    this.loaded = this.#load();
  }

  /** The ids; null while the catalogue is not there. */
  get ids() {
    return this.#ids ?? null;
  }

  set ids(wanted) {
    this.#ids = wanted?.length ? [...wanted] : undefined;
    if (this.#all.length) this.#settle();
  }

  /** What is known of them. */
  get chosen() {
    return (this.#ids ?? []).map((id) => meant(this.#all, id)).filter(Boolean);
  }

  get all() {
    return this.#all;
  }

  async open() {
    if (!this.#all.length) return;
    field(this.#dialog, "search").value = "";
    this.#list();
    this.#dialog.showModal();
    try {
      this.#all = await models(true); // one may be in trouble by now
      this.#list();
    } catch {
      // what was known is shown
    }
  }

  read() {
    const chosen = this.#ids ?? [];
    const unusable = this.chosen.find((model) => !model.available);
    if (!chosen.length) markBox("models", t("Choose a model."));
    else if (unusable) markBox("models", `${unusable.name}: ${about(unusable)}`);
    else markBox("models", null);
    return chosen.length && !unusable ? chosen : null;
  }

  /** What was asked is asked next time. */
  used() {
    remember("playground.models", JSON.stringify(this.#ids));
  }

  async #load() {
    try {
      this.#all = await models();
    } catch (error) {
      markBox("models", words(error).title);
      part(this.#main, "chosen").replaceChildren();
      const again = action(this.#main, "models");
      again.disabled = false;
      again.addEventListener("click", () => { this.loaded = this.#load(); }, { once: true });
      return;
    }
    markBox("models", null);
    action(this.#main, "models").disabled = false;
    this.#settle();
  }

  /** Those chosen that there are; without any, what was asked last, or else the default. */
  #settle() {
    const full = (id) => meant(this.#all, id)?.id;
    let wanted = (this.#ids ?? []).map(full).filter(Boolean);
    if (!wanted.length) wanted = JSON.parse(recall("playground.models") ?? "[]").map(full).filter((id) => id && meant(this.#all, id).available);
    if (!wanted.length) wanted = [full("default") ?? this.#all.find((model) => model.available)?.id].filter(Boolean);
    this.#ids = [...new Set(wanted)].slice(0, MOST);
    this.#draw();
  }

  #choose(box) {
    if (box.checked) this.#ids.push(box.value);
    else this.#ids = this.#ids.filter((id) => id !== box.value);
    this.#full();
    this.#draw(true);
  }

  #drop(id) {
    this.#ids = this.#ids.filter((one) => one !== id);
    this.#draw(true);
    action(this.#main, "models").focus();
  }

  #draw(byHand = false) {
    markBox("models", null);
    part(this.#main, "chosen").replaceChildren(...this.chosen.map((model) => make("li", { className: model.available && !model.trouble ? "pg-chip" : "pg-chip trouble", title: about(model) },
      make("span", {}, model.name),
      make("button", { type: "button", "data-id": model.id, "aria-label": t("Leave out %(model)s", { model: model.name }) }, "×"))));
    this.#changed(byHand);
  }

  #list() {
    const groups = new Map();
    for (const model of this.#all) groups.set(model.provider, [...(groups.get(model.provider) ?? []), model]);
    field(this.#dialog, "list").replaceChildren(...[...groups].map(([provider, members]) =>
      make("fieldset", {}, make("legend", {}, titleOf(provider)), ...members.map((model) => this.#row(model)))));
    this.#full();
    this.#filter();
  }

  #row(model) {
    const box = make("input", { type: "checkbox", value: model.id, checked: this.#ids.includes(model.id), disabled: !model.available && !this.#ids.includes(model.id) });
    const why = !model.available ? about(model) : model.trouble ? trouble(model) : "";
    const words = make("span", {}, make("strong", {}, model.name), make("span", { className: "pg-soft" }, facts(model)), why ? make("span", { className: "pg-why" }, why) : null);
    return make("label", { className: "pg-model", "data-name": `${model.id} ${model.name} ${titleOf(model.provider)}`.toLowerCase() }, box, words);
  }

  #full() {
    const full = this.#ids.length >= MOST;
    for (const box of field(this.#dialog, "list").querySelectorAll("input")) {
      const model = meant(this.#all, box.value);
      box.disabled = !box.checked && (full || !model.available);
    }
    say(field(this.#dialog, "hint"), full ? t("Eight at most: leave one out to choose another.") : tn("%(n)s chosen, 8 at most.", "%(n)s chosen, 8 at most.", this.#ids.length));
  }

  #filter() {
    const wanted = field(this.#dialog, "search").value.trim().toLowerCase();
    for (const group of field(this.#dialog, "list").children) {
      const rows = [...group.querySelectorAll(".pg-model")];
      for (const row of rows) show(row, row.dataset.name.includes(wanted));
      show(group, rows.some((row) => !row.hidden));
    }
  }
}
