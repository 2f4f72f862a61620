// The form of a question: checks what is entered, and submits it once.

import { post } from "./api.js";
import { everySecond, field, make, markField, part, say, show } from "./dom.js";
import { fieldErrors, tell } from "./errors.js";
import { t, tn } from "./i18n.js";
import { COMPLETION } from "./jobs.js";
import { about, fill, meant, models, used } from "./models.js";
import { randomId } from "./store.js";

const FIELDS = ["prompt", "system", "temperature", "max_tokens", "model"];
const DRAFT = "yeoul.draft";

/** Numbers with their limits; empty means that the model decides. */
const NUMBERS = {
  temperature: { whole: false, least: 0, most: 2, words: () => t("Enter a number from 0 to 2, or nothing.") },
  max_tokens: { whole: true, least: 1, most: 1_000_000, words: () => t("Enter a whole number from 1 to 1,000,000, or nothing.") },
};

export class Composer {
  #main;
  #form;
  #asked;
  #all = [];
  #signal;
  #key = null; // {body, key}: the same question sent again after a lost answer makes no second job

  /** `asked(job)` is called with each submitted job. */
  constructor(main, signal, asked) {
    this.#main = main;
    this.#signal = signal;
    this.#form = part(main, "composer");
    this.#asked = asked;
    const listen = { signal };
    this.#form.addEventListener("submit", (event) => { event.preventDefault(); this.submit(); }, listen);
    this.#form.addEventListener("input", (event) => { this.#mark(event.target.name, null); this.#note(); }, listen);
    this.#form.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.isComposing) return;
      event.preventDefault();
      this.#form.requestSubmit();
    }, listen);
    part(main, "examples").addEventListener("click", (event) => {
      const example = event.target.closest(".example");
      if (!example) return;
      this.#form.elements.prompt.value = example.textContent;
      this.#form.elements.prompt.focus();
    }, listen);
    this.#restore();
    this.#button.disabled = false;
    this.#load();
  }

  /** Shows these values, an edited question's or an empty one's, and takes the focus. */
  open(input = {}) {
    const { elements } = this.#form;
    const parameters = input.parameters ?? {};
    elements.prompt.value = input.prompt ?? "";
    elements.system.value = input.system ?? "";
    elements.temperature.value = parameters.temperature ?? "";
    elements.max_tokens.value = parameters.max_tokens ?? "";
    if (input.model && this.#all.length) fill(elements.model, this.#all, input.model);
    FIELDS.forEach((name) => this.#mark(name, null));
    show(part(this.#main, "submit-error"), false);
    this.#note();
    this.focus();
  }

  get #button() {
    return this.#form.querySelector("[type=submit]");
  }

  focus() {
    this.#form.elements.prompt.focus();
  }

  async submit() {
    const button = this.#button;
    if (button.disabled) return;
    const input = this.#read();
    if (input === null) return;
    const body = { kind: COMPLETION, input };
    const text = JSON.stringify(body);
    if (this.#key?.text !== text) this.#key = { text, key: randomId() };
    const box = part(this.#main, "submit-error");
    show(box, false);
    button.disabled = true;
    sessionStorage.setItem(DRAFT, text);
    try {
      const job = await post("/api/jobs", body, { headers: { "Idempotency-Key": this.#key.key } });
      this.#key = null;
      sessionStorage.removeItem(DRAFT);
      used(input.model);
      this.#asked(job);
    } catch (error) {
      const wrong = fieldErrors(error, FIELDS);
      wrong.forEach((message, name) => this.#mark(name, message));
      if (wrong.size) this.#toFirstError();
      else tell(box, error);
    } finally {
      button.disabled = false;
    }
  }

  async #load() {
    const { model } = this.#form.elements;
    try {
      this.#all = await models();
      if (this.#signal.aborted) return;
      fill(model, this.#all, null);
      this.#note();
      this.#watch();
    } catch (error) {
      if (this.#signal.aborted) return;
      const again = make("button", { type: "button", className: "button small" }, t("Try again"));
      const box = part(this.#main, "submit-error");
      again.addEventListener("click", () => { show(box, false); this.#load(); });
      model.replaceChildren(make("option", { value: "default" }, t("Default model")));
      model.disabled = false;
      tell(box, error, again);
    }
  }

  /** Keeps the line about the chosen model true: every few seconds while it is in trouble, and when one looks. */
  #watch() {
    const { model } = this.#form.elements;
    const look = async () => {
      try {
        this.#all = await models(true);
        if (!this.#signal.aborted) this.#note();
      } catch {
        // the line stays as it was; what matters is told when a question is sent
      }
    };
    let seconds = 0;
    everySecond(() => {
      seconds = !document.hidden && meant(this.#all, model.value)?.trouble ? seconds + 1 : 0;
      if (seconds > 0 && seconds % 3 === 0) look();
    }, this.#signal);
    model.addEventListener("focus", look, { signal: this.#signal });
  }

  /** The job's input; null, and the errors shown, when something does not fit. */
  #read() {
    const { elements } = this.#form;
    const input = { model: elements.model.value, prompt: elements.prompt.value.trim(), parameters: {} };
    const system = elements.system.value.trim();
    if (system) input.system = system;
    this.#mark("prompt", input.prompt ? null : t("Write a question first."));
    const model = meant(this.#all, input.model);
    this.#mark("model", model && !model.available ? about(model) : null);
    for (const [name, { whole, least, most, words }] of Object.entries(NUMBERS)) {
      const element = elements[name];
      const value = element.value === "" ? null : Number(element.value);
      const fits = value === null || (value >= least && value <= most && (!whole || Number.isInteger(value)));
      this.#mark(name, element.validity.badInput || !fits ? words() : null);
      if (value !== null && !element.closest("[data-parameter]").hidden) input.parameters[name] = value;
    }
    return this.#toFirstError() ? null : input;
  }

  #mark(name, message) {
    if (FIELDS.includes(name)) markField(this.#form, name, message);
  }

  /** Puts the focus where something is wrong; whether there is such a field. */
  #toFirstError() {
    const element = this.#form.querySelector('[aria-invalid="true"]');
    if (!element) return false;
    const options = part(this.#main, "options");
    if (options.contains(element)) options.open = true;
    element.focus();
    return true;
  }

  /** What the chosen model takes and costs, and what is set in the folded part. */
  #note() {
    const { elements } = this.#form;
    const model = meant(this.#all, elements.model.value);
    const note = field(this.#form, "model-note");
    say(note, about(model));
    note.classList.toggle("trouble", Boolean(model?.trouble));
    for (const holder of this.#form.querySelectorAll("[data-parameter]")) {
      show(holder, !model || model.parameters.includes(holder.dataset.parameter));
    }
    const set = ["system", "temperature", "max_tokens"].filter((name) => elements[name].value.trim() !== "").length;
    say(field(this.#form, "options-note"), set ? tn("%(n)s set", "%(n)s set", set) : "");
  }

  #restore() {
    const draft = sessionStorage.getItem(DRAFT);
    if (!draft || this.#main.dataset.view !== "compose") return;
    sessionStorage.removeItem(DRAFT);
    this.open(JSON.parse(draft).input);
  }
}
