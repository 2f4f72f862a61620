// Texts: written in English where they are used, translated by the catalogue the page brings along.
// "%(name)s" in a text stands for a value.

const holder = document.getElementById("strings");
const catalogue = holder ? JSON.parse(holder.textContent) : {};

export const language = document.documentElement.lang || "en";

const filled = (text, values) => text.replace(/%\((\w+)\)s/g, (whole, name) => String(values[name] ?? whole));

/** The text in the page's language. */
export function t(text, values = {}) {
  return filled(catalogue[text] ?? text, values);
}

/** The form of the text that fits the number `n`, which also stands in it as "%(n)s". */
export function tn(one, many, n, values = {}) {
  const forms = catalogue[one] ?? [one, many];
  return filled(forms[n === 1 ? 0 : forms.length - 1], { n: number(n), ...values });
}

const number = (n) => new Intl.NumberFormat(language).format(n);
