// What a run will be: how many calls, and their price as far as it is known.

import { dollars, number } from "../../../js/format.js";
import { t, tn } from "../../../js/i18n.js";

export const MOST_CALLS = 1000;
const MILLION = 1_000_000;

/** About so many tokens: four letters each, or one Korean syllable, one Chinese or Japanese character. */
export function tokensOf(text) {
  const wide = text.match(/[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af]/g)?.length ?? 0;
  return wide + Math.ceil((text.length - wide) / 4);
}

/** One line. `texts`: what is read by each call; `maxTokens`: the longest answer, or null. */
export function estimate({ models, iterations, cases, texts, maxTokens }) {
  const calls = models.length * iterations * cases;
  if (calls === 0) return "";
  if (calls > MOST_CALLS) return t("%(n)s calls: %(most)s at most.", { n: number(calls), most: number(MOST_CALLS) });
  const words = tn("%(n)s call", "%(n)s calls", calls);
  if (models.some((model) => !model.prices)) return t("%(calls)s · price unknown", { calls: words });
  const tokens = tokensOf(texts);
  const each = iterations * cases;
  const price = (of) => models.reduce((sum, model) => sum + of(model.prices) * each, 0) / MILLION;
  const reading = price((prices) => Number(prices.input) * tokens);
  if (models.every((model) => Number(model.prices.input) === 0 && Number(model.prices.output) === 0)) return t("%(calls)s · free", { calls: words });
  if (maxTokens) return t("%(calls)s · at most about %(price)s", { calls: words, price: dollars(reading + price((prices) => Number(prices.output) * maxTokens)) });
  return t("%(calls)s · about %(price)s to read, answers extra", { calls: words, price: dollars(reading) });
}
