// The model picker: what there is, what it costs, and what each takes.

import { get } from "./api.js";
import { make } from "./dom.js";
import { dollars, elapsed, number } from "./format.js";
import { t, tn } from "./i18n.js";
import { recall, remember } from "./store.js";

const titles = { openai: "OpenAI", anthropic: "Anthropic", gemini: "Gemini", perplexity: "Perplexity" };
const ownTitles = { local: () => t("On this server"), compatible: () => t("Own server"), fake: () => t("Scripted, for tests") };
/** A provider as people call it. */
export const titleOf = (provider) => titles[provider] ?? ownTitles[provider]?.() ?? provider;

let known = null;

/** The catalogue, read once a page; `anew` for what may have changed: which models are in trouble. */
export async function models(anew = false) {
  if (anew || known === null) {
    known = (await get("/api/models")).models.filter((model) => model.capabilities.includes("text"));
  }
  return known;
}

const optionFor = (model) =>
  make("option", { value: model.id, disabled: !model.available, title: model.reason ?? "" }, model.available ? model.name : t("%(model)s (not set up)", { model: model.name }));

/** Fills the <select> and chooses `wanted`, else what was used last, else the default. */
export function fill(select, all, wanted) {
  const standard = all.find((model) => model.default);
  const groups = new Map();
  for (const model of all) groups.set(model.provider, [...(groups.get(model.provider) ?? []), model]);
  select.replaceChildren(
    ...(standard ? [make("option", { value: "default" }, t("Default: %(model)s", { model: standard.name }))] : []),
    ...[...groups].map(([provider, members]) => make("optgroup", { label: titleOf(provider) }, ...members.map(optionFor))),
  );
  const usable = new Set([...select.options].filter((option) => !option.disabled).map((option) => option.value));
  select.value = [wanted, recall("model"), "default", ...usable].find((id) => usable.has(id)) ?? "default";
  select.disabled = false;
}

export const used = (id) => remember("model", id);

/** The model an id of the picker means. */
export const meant = (all, id) => all.find((model) => (id === "default" ? model.default : model.id === id));

/** Why a model takes no calls for now, and when it does again; nothing when it takes them. */
export function trouble(model) {
  const found = model?.trouble;
  if (!found) return "";
  const time = elapsed(Math.max(1, Math.ceil(found.retry_seconds)));
  if (found.breaker === "half-open") return t("%(provider)s was not answering and is being tried again. Questions wait.", { provider: titleOf(model.provider) });
  if (found.breaker === "open") return t("%(provider)s is not answering, tried again in %(time)s. Questions wait until then.", { provider: titleOf(model.provider), time });
  if (found.retry_seconds > 0) return t("%(model)s takes no calls for %(time)s. Questions wait until then.", { model: model.name, time });
  return tn("%(n)s job waits for this model: its limit is used up.", "%(n)s jobs wait for this model: its limit is used up.", found.waiting);
}

/** Context and price of a model, as far as they are known. */
export function facts(model) {
  const found = [];
  if (model.context) found.push(t("reads %(n)s tokens", { n: number(model.context) }));
  if (model.prices) {
    const free = Number(model.prices.input) === 0 && Number(model.prices.output) === 0;
    const values = { input: dollars(model.prices.input), output: dollars(model.prices.output) };
    found.push(free ? t("free") : t("%(input)s in, %(output)s out per million tokens", values));
  }
  return found.join(" · ");
}

/** One line about a model: why it cannot be used, now or at all, else its context and price. */
export function about(model) {
  if (!model) return "";
  if (!model.available) return model.reason ?? t("This model is not set up.");
  return model.trouble ? trouble(model) : facts(model);
}
