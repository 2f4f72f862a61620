// The form of a new schedule.

import { post } from "./api.js";
import { make, markField, part, show } from "./dom.js";
import { fieldErrors, tell } from "./errors.js";
import { t } from "./i18n.js";
import { COMPLETION } from "./jobs.js";
import { fill, models } from "./models.js";
import { dailyCron } from "./schedules.js";

const FIELDS = ["name", "kind", "prompt", "model", "input", "time", "every_seconds", "cron", "time_zone"];

const ownZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

export class ScheduleForm {
  #form;
  #added;
  #signal;
  #ready = false;

  /** `added(schedule)` is called with each schedule that has been made. */
  constructor(form, signal, added) {
    this.#form = form;
    this.#added = added;
    this.#signal = signal;
    const listen = { signal };
    form.addEventListener("submit", (event) => { event.preventDefault(); this.#submit(); }, listen);
    form.addEventListener("input", (event) => this.#mark(event.target.name, null), listen);
    form.addEventListener("change", () => this.#fit(), listen);
    const own = ownZone();
    const zones = new Set([own, "UTC", ...(Intl.supportedValuesOf?.("timeZone") ?? [])]);
    form.elements.time_zone.replaceChildren(...[...zones].map((zone) => make("option", { value: zone }, zone)));
    form.elements.time_zone.value = own;
  }

  open() {
    show(this.#form);
    this.#fit();
    this.#form.elements.name.focus();
    if (!this.#ready) this.#load();
  }

  hide() {
    show(this.#form, false);
    show(part(this.#form, "form-error"), false);
    FIELDS.forEach((name) => this.#mark(name, null));
  }

  async #load() {
    const { model } = this.#form.elements;
    try {
      fill(model, await models(), null);
      this.#ready = true;
    } catch (error) {
      if (this.#signal.aborted) return;
      model.replaceChildren(make("option", { value: "default" }, t("Default model")));
      model.disabled = false;
      tell(part(this.#form, "form-error"), error);
    }
  }

  /** Shows the fields that the choices so far ask for. */
  #fit() {
    const { kind, when } = this.#form.elements;
    const asks = kind.value === COMPLETION;
    const wanted = { question: asks, json: !asks, day: when.value === "day", every: when.value === "every", cron: when.value === "cron", zone: when.value !== "every" };
    for (const holder of this.#form.querySelectorAll("[data-for]")) show(holder, wanted[holder.dataset.for]);
  }

  #read() {
    const { elements } = this.#form;
    const asks = elements.kind.value === COMPLETION;
    const when = elements.when.value;
    const body = {
      name: elements.name.value.trim(),
      kind: elements.kind.value,
      missed: elements.missed.checked ? "once" : "skip",
      overlap: elements.overlap.checked ? "skip" : "allow",
    };
    this.#mark("name", body.name ? null : t("Give it a name."));
    if (asks) {
      body.input = { model: elements.model.value, prompt: elements.prompt.value.trim() };
      this.#mark("prompt", body.input.prompt ? null : t("Write a question first."));
    } else {
      try {
        body.input = JSON.parse(elements.input.value);
        this.#mark("input", null);
      } catch {
        this.#mark("input", t("This is no JSON."));
      }
    }
    if (when === "every") {
      const count = Number(elements.every_seconds.value);
      this.#mark("every_seconds", Number.isInteger(count) && count >= 1 ? null : t("Enter a whole number, 1 or more."));
      body.every_seconds = count * Number(elements.unit.value);
    } else {
      body.time_zone = elements.time_zone.value;
      if (when === "day") {
        this.#mark("time", elements.time.value ? null : t("Enter a time."));
        body.cron = dailyCron(elements.days.value, elements.time.value || "0:0");
      } else {
        body.cron = elements.cron.value.trim();
        this.#mark("cron", body.cron ? null : t("Enter a cron expression."));
      }
    }
    return this.#toFirstError() ? null : body;
  }

  async #submit() {
    const button = this.#form.querySelector("[type=submit]");
    const box = part(this.#form, "form-error");
    const body = this.#read();
    if (body === null || button.disabled) return;
    show(box, false);
    button.disabled = true;
    try {
      const schedule = await post("/api/schedules", body);
      this.#form.elements.name.value = "";
      this.#form.elements.prompt.value = "";
      this.#added(schedule);
    } catch (error) {
      const wrong = fieldErrors(error, FIELDS);
      wrong.forEach((message, name) => this.#mark(name, message));
      if (wrong.size === 0 || !this.#toFirstError()) tell(box, error);
    } finally {
      button.disabled = false;
    }
  }

  #mark(name, message) {
    if (FIELDS.includes(name)) markField(this.#form, name, message);
  }

  /** Puts the focus on the first visible field that is wrong; whether there is one. */
  #toFirstError() {
    const element = [...this.#form.querySelectorAll('[aria-invalid="true"]')].find((one) => one.checkVisibility());
    element?.focus();
    return element !== undefined;
  }
}
