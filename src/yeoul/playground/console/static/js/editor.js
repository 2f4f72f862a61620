// The prompt: what is asked of which models, checked and sent once.

import { post } from "../../../js/api.js";
import { field, part, say, show } from "../../../js/dom.js";
import { fieldErrors, tell } from "../../../js/errors.js";
import { number } from "../../../js/format.js";
import { t } from "../../../js/i18n.js";
import { randomId } from "../../../js/store.js";
import { Cases } from "./cases.js";
import { Checks } from "./checks.js";
import { forget, kept, keep } from "./draft.js";
import { estimate, MOST_CALLS } from "./estimate.js";
import { mark } from "./fields.js";
import { FIELDS, fillForm, readForm, setLimits, valuesOf } from "./form.js";
import { Images } from "./images.js";
import { noteCapable, noteTaken, setParameters } from "./parameters.js";
import { Panels } from "./panels.js";
import { Picker } from "./picker.js";
import { variablesOf } from "./prompts.js";

export class Editor {
  #main;
  #form;
  #ran;
  #images;
  #checks;
  #cases;
  #panels;
  #of = null; // the prompt that is being edited, as the API knows it
  #key = null; // {text, key}: the same sent again after a lost answer makes no second execution

  /** `ran(started)` is called with each execution that has begun. */
  constructor(main, signal, ran) {
    this.#main = main;
    this.#ran = ran;
    this.#form = part(main, "editor");
    const form = this.#form;
    const changed = () => this.#changed();
    this.picker = new Picker(main, signal, (byHand) => this.#changed({ keeping: byHand }));
    this.#images = new Images(form, signal, changed);
    this.#checks = new Checks(part(form, "panel-checks"), signal, changed);
    this.#cases = new Cases(part(form, "panel-cases"), signal, changed);
    this.#panels = new Panels(form, signal);
    const listen = { signal };
    form.addEventListener("submit", (event) => { event.preventDefault(); this.submit(); }, listen);
    form.addEventListener("input", (event) => {
      if (FIELDS.includes(event.target.name)) mark(form, event.target.name, null);
      changed();
    }, listen);
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    }, listen);
  }

  focus() {
    this.#form.elements.user_prompt.focus();
  }

  get models() {
    return this.picker.ids;
  }

  /** What is in the form is this prompt: what is changed becomes its next version. */
  of(prompt) {
    this.#of = prompt;
  }

  fold() {
    this.#panels.fold();
  }

  /**
   * Shows a prompt and how an execution asked it; without them an empty one. A draft of it that was kept wins, and so
   * does what somebody has written before this script was there (`early`).
   */
  open(prompt = null, execution = null, { drafts = true, early = drafts } = {}) {
    this.#of = prompt;
    if (!drafts) forget(prompt?.id);
    const { elements } = this.#form;
    const written = early && !prompt ? { system_prompt: elements.system_prompt.value, user_prompt: elements.user_prompt.value } : {};
    const draft = written.system_prompt || written.user_prompt ? written : drafts ? kept(prompt?.id) : null;
    if (draft) this.#fill(draft);
    else this.#fill({ ...prompt, ...execution, response_schema: prompt?.response_schema ? JSON.stringify(prompt.response_schema, null, 2) : "" });
    this.#checks.open(null);
    if (draft) this.#checks.values = draft.checks;
    else this.#checks.open(execution?.checks);
    this.#images.open((prompt?.images ?? []).map((_, i) => `/api/prompts/${prompt.id}/images/${i + 1}`));
    this.#images.loaded.then(() => this.#changed({ keeping: false }));
    for (const name of FIELDS) mark(this.#form, name, null);
    show(part(this.#main, "submit-error"), false);
    this.#changed({ keeping: draft === written });
    if (draft) this.#panels.openUsed();
    for (const element of [elements.system_prompt, elements.user_prompt, elements.iterations, this.#form.querySelector("[type=submit]")]) element.disabled = false;
  }

  #fill(values) {
    fillForm(this.#form, values);
    this.#cases.values = values.cases;
    if (values.models) this.picker.ids = values.models;
  }

  /** After every change: what follows from it, and the draft. */
  #changed({ keeping = true } = {}) {
    const { elements } = this.#form;
    const texts = [elements.system_prompt.value, elements.user_prompt.value];
    const had = this.#cases.names.length;
    this.#cases.names = variablesOf(...texts, ...this.#checks.texts);
    if (keeping && !had && this.#cases.names.length) this.#panels.open("cases");
    noteTaken(this.#form, this.picker.chosen);
    noteCapable("schema", elements.response_schema.value.trim() !== "", this.picker.chosen.filter((model) => !model.capabilities.includes("json_schema")));
    noteCapable("images", this.#images.count > 0, this.picker.chosen.filter((model) => !model.capabilities.includes("images")));
    const iterations = Number(elements.iterations.value) || 1;
    say(field(this.#form, "estimate"), estimate({
      models: this.picker.chosen, iterations, cases: this.#cases.count, texts: texts.join("") + this.#example(), maxTokens: Number(elements.max_tokens.value) || null,
    }));
    this.#panels.note({
      cases: this.#cases.names.length ? this.#cases.count : 0, parameters: setParameters(this.#form), checks: this.#checks.values.length,
      schema: elements.response_schema.value.trim() ? 1 : 0, images: this.#images.count, limits: setLimits(this.#form),
    });
    if (keeping) keep(this.#of?.id, () => this.#values());
  }

  /** A case's values count among what is read. */
  #example() {
    return this.#cases.names.map((name) => this.#cases.values[0][name] ?? "").join("");
  }

  #values() {
    return { ...valuesOf(this.#form), cases: this.#cases.values, checks: this.#checks.values, models: this.picker.ids };
  }

  async submit() {
    const button = this.#form.querySelector("[type=submit]");
    if (button.disabled) return;
    button.disabled = true;
    const box = part(this.#main, "submit-error");
    show(box, false);
    try {
      await Promise.all([this.picker.loaded, this.#images.loaded]);
      const body = this.#read();
      if (this.#toFirstError()) return;
      const text = JSON.stringify(body);
      if (this.#key?.text !== text) this.#key = { text, key: randomId() };
      const started = await post("/api/prompts/execute", body, { headers: { "Idempotency-Key": this.#key.key } });
      this.#key = null;
      this.picker.used();
      forget(this.#of?.id);
      this.#ran(started);
    } catch (error) {
      const wrong = fieldErrors(error, FIELDS);
      wrong.forEach((message, name) => mark(this.#form, name, message));
      if (!this.#toFirstError()) tell(box, error);
    } finally {
      button.disabled = false;
    }
  }

  /** What the API takes; what does not fit is marked. */
  #read() {
    const found = { ...readForm(this.#form), models: this.picker.read() };
    if (this.#of) found.version_of = this.#of.id;
    mark(this.#form, "images", null);
    const lists = { cases: this.#cases.read(), checks: this.#checks.read(), images: this.#images.read() };
    for (const [name, list] of Object.entries(lists)) if (list?.length) found[name] = list;
    const calls = (found.models?.length ?? 0) * (found.iterations ?? 1) * this.#cases.count;
    if (calls > MOST_CALLS) mark(this.#form, "iterations", t("%(n)s calls: %(most)s at most.", { n: number(calls), most: number(MOST_CALLS) }));
    return found;
  }

  /** Puts the focus where something is wrong, unfolding what it is in; whether there is such a thing. */
  #toFirstError() {
    const element = this.#form.querySelector('[aria-invalid="true"]');
    const box = [...this.#form.querySelectorAll(".field-error")].find((one) => !one.hidden);
    const wrong = element ?? box;
    if (!wrong) return false;
    this.#panels.openAround(wrong);
    (element ?? box.parentElement.querySelector("input, textarea, button"))?.focus();
    return true;
  }
}
