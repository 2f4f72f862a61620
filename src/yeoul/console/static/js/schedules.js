// Words about schedules.

import { language, t } from "./i18n.js";

const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });

const DAYS = {
  "*": () => t("Every day"), "1-5": () => t("Monday to Friday"), 0: () => t("Sundays"), 1: () => t("Mondays"), 2: () => t("Tuesdays"),
  3: () => t("Wednesdays"), 4: () => t("Thursdays"), 5: () => t("Fridays"), 6: () => t("Saturdays"),
};

/** How far away a moment is: "in 5 minutes". */
export function closeness(iso) {
  const seconds = Math.max(Math.round((Date.parse(iso) - Date.now()) / 1000), 0);
  if (seconds < 60) return relative.format(seconds, "second");
  if (seconds < 3600) return relative.format(Math.round(seconds / 60), "minute");
  if (seconds < 86_400) return relative.format(Math.round(seconds / 3600), "hour");
  return relative.format(Math.round(seconds / 86_400), "day");
}

/** An interval in the largest unit that it is whole in. */
function length(seconds) {
  const [unit, size] = [["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1]].find(([, size]) => seconds % size === 0);
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long" }).format(seconds / size);
}

/** The expression of a time of day on some days: what the form makes and the list reads back. */
export const dailyCron = (days, time) => {
  const [hour, minute] = time.split(":").map(Number);
  return `${minute} ${hour} * * ${days}`;
};

/** When a schedule runs, in its own time zone. */
export function whenWords({ cron, every_seconds: every, time_zone: zone }) {
  if (every !== null) return t("every %(time)s", { time: length(every) });
  const daily = /^(\d+) (\d+) \* \* (\*|1-5|[0-6])$/.exec(cron);
  if (!daily) return `${cron} · ${zone}`;
  const time = `${daily[2].padStart(2, "0")}:${daily[1].padStart(2, "0")}`;
  return `${DAYS[daily[3]]()}, ${time} · ${zone}`;
}
