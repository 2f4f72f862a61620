// Each model in numbers: a table above the answers, when there is more than one.

import { make, part, show } from "../../../js/dom.js";
import { dollars, duration, number } from "../../../js/format.js";
import { t } from "../../../js/i18n.js";

const percent = (share) => (share === null || share === undefined ? "–" : `${number(Math.round(share * 100))}%`);
const time = (ms) => (ms === null ? "–" : duration(ms / 1000));
const cost = (usd) => (usd === null ? "–" : Number(usd) === 0 ? t("free") : dollars(usd));

const NOTHING = { completed: 0, p50_ms: null, p95_ms: null, first_token_ms: null, output_tokens: null, cost_usd: null, agreement: null };

function columns(all) {
  const judged = all.some((one) => one.pass_rate !== null && one.pass_rate !== undefined);
  return [
    [t("Model"), (one) => one.model],
    [t("Answered"), (one) => t("%(done)s of %(all)s", { done: number(one.completed), all: number(one.count) })],
    ...(judged ? [[t("Pass all checks"), (one) => percent(one.pass_rate)]] : []),
    ...checks(all),
    [t("Half within"), (one) => time(one.p50_ms)],
    [t("95% within"), (one) => time(one.p95_ms)],
    [t("First word"), (one) => time(one.first_token_ms)],
    [t("Tokens out"), (one) => (one.output_tokens === null ? "–" : number(one.output_tokens))],
    [t("Cost"), (one) => cost(one.cost_usd)],
    [t("Same answers"), (one) => percent(one.agreement)],
  ];
}

/** A column for each check, when there are several and they fit. */
function checks(all) {
  const names = [...new Set(all.flatMap((one) => (one.checks ?? []).map((check) => check.name)))];
  if (names.length < 2 || names.length > 4) return [];
  return names.map((name) => [name, (one) => {
    const found = one.checks?.find((check) => check.name === name);
    return found ? t("%(done)s of %(all)s", { done: number(found.passed), all: number(found.of) }) : "–";
  }]);
}

// A row for each model from the beginning, so that nothing moves when the first numbers come.
function numbersOf({ board, name = (model) => model }) {
  const known = new Map(board.statistics.map((one) => [one.model, one]));
  const count = board.lanes.size / board.execution.models.length;
  return board.execution.models.map((model) => ({ ...NOTHING, ...known.get(model), count, model: name(model), of: model }));
}

/** Draws them into a section, of one board or of several, each with a name for its models; hides them where a single answer says it all. */
export function drawStatistics(root, ...sides) {
  const order = [...new Set(sides.flatMap(({ board }) => board.execution.models))];
  const all = sides.flatMap(numbersOf).sort((a, b) => order.indexOf(a.of) - order.indexOf(b.of));
  const table = columns(all);
  show(part(root, "stats"), sides.some(({ board }) => board.lanes.size > 1));
  part(root, "stats-head").replaceChildren(make("tr", {}, ...table.map(([name]) => make("th", { scope: "col" }, name))));
  part(root, "stats-rows").replaceChildren(
    ...all.map((one) => make("tr", {}, ...table.map(([, of], i) => (i === 0 ? make("th", { scope: "row" }, of(one)) : make("td", {}, of(one)))))),
  );
}
