// Numbers, durations, times and amounts, as people of the page's language write them.

import { language, t } from "./i18n.js";

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;

const plain = new Intl.NumberFormat(language);
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
const dateTime = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });
const dateOnly = new Intl.DateTimeFormat(language, { dateStyle: "long" });

const unit = (value, name, digits = 0) =>
  new Intl.NumberFormat(language, {
    style: "unit", unit: name, unitDisplay: language === "ko" && name !== "millisecond" ? "long" : "narrow",
    minimumFractionDigits: digits, maximumFractionDigits: digits,
  }).format(value);

export const number = (value) => plain.format(value);

/** A length of time: "43ms", "2.4s", "12s", "2m 5s". */
export function duration(seconds) {
  if (seconds < 1) return unit(Math.round(seconds * 1000), "millisecond");
  if (seconds < 10) return unit(seconds, "second", 1);
  return elapsed(seconds);
}

/** The same in whole seconds, for what is counted while one watches. */
export function elapsed(seconds) {
  const whole = Math.round(seconds);
  if (whole < MINUTE) return unit(whole, "second");
  if (whole < HOUR) return `${unit(Math.floor(whole / MINUTE), "minute")} ${unit(whole % MINUTE, "second")}`;
  return `${unit(Math.floor(whole / HOUR), "hour")} ${unit(Math.floor((whole % HOUR) / MINUTE), "minute")}`;
}

/** How long ago, for what is fresh; the date for the rest. */
export function ago(iso) {
  const seconds = (Date.now() - Date.parse(iso)) / 1000;
  if (seconds < 10) return t("just now");
  if (seconds < MINUTE) return relative.format(-Math.floor(seconds), "second");
  if (seconds < HOUR) return relative.format(-Math.floor(seconds / MINUTE), "minute");
  if (seconds < DAY) return relative.format(-Math.floor(seconds / HOUR), "hour");
  return dateOnly.format(new Date(iso));
}

export const moment = (iso) => dateTime.format(new Date(iso));
export const day = (iso) => dateOnly.format(new Date(iso));

/** US dollars: small amounts keep two digits that say something. */
export function dollars(amount) {
  const value = Number(amount);
  const digits = value > 0 && value < 0.01 ? { maximumSignificantDigits: 2 } : { maximumFractionDigits: 4 };
  return new Intl.NumberFormat(language, { style: "currency", currency: "USD", currencyDisplay: "narrowSymbol", ...digits }).format(value);
}
