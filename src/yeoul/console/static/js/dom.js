// Short words for what pages do all the time.

/** The element of `root` that templates name by data-f (a field) or data-part. */
export const field = (root, name) => root.querySelector(`[data-f="${name}"]`);
export const part = (root, name) => root.querySelector(`[data-part="${name}"]`);
export const action = (root, name) => root.querySelector(`[data-action="${name}"]`);

/** An element with properties and children; strings become text, never markup. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A copy of what a <template> holds. */
export const copyOf = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true);

/** Sets text only when it differs: what did not change is not announced, selected text stays selected. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function show(element, visible = true) {
  if (element.hidden === visible) element.hidden = !visible;
}

/** Says below a form's field what is wrong with it; null: nothing. */
export function markField(form, name, message) {
  const element = form.elements[name];
  const box = document.getElementById(`${name}-error`);
  if (message === null) element.removeAttribute("aria-invalid");
  else element.setAttribute("aria-invalid", "true");
  say(box, message ?? "");
  show(box, message !== null);
}

/** Rows of a <dl>: [[term, description], …]; a description is text or an element, which may want a whole line. */
export function rows(list, pairs) {
  list.replaceChildren(
    ...pairs.map(([term, description]) => {
      const className = description instanceof Element && description.tagName === "CODE" ? "wide" : "";
      return make("div", { className }, make("dt", {}, term), make("dd", {}, description));
    }),
  );
}

/** Calls `tick` every second until `signal` ends. */
export function everySecond(tick, signal) {
  const timer = setInterval(tick, 1000);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
}
