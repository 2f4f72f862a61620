// Lists of a page whose entries can each be ended: sessions, keys. A list is `name`, its notice `name-error`.

import { action, copyOf, field, make, part, say, show } from "./dom.js";
import { tell } from "./errors.js";
import { moment } from "./format.js";
import { toast } from "./toast.js";

export const time = (iso, words) => make("time", { dateTime: iso, title: moment(iso) }, words);

export function entries(main, signal) {
  const listen = { signal };

  /** Fills a list: `draw` gives {title, mark, facts, button, label, end} of one item. */
  function fill(name, items, draw, { add = false } = {}) {
    if (!main.isConnected) return; // another page has taken its place, and is about to say so
    const list = part(main, name);
    const rows = items.map((item) => {
      const row = copyOf("entry");
      const { title, mark, facts, button, label, end } = draw(item);
      say(field(row, "title"), title);
      show(field(row, "mark"), Boolean(mark));
      if (mark) say(field(row, "mark"), mark);
      field(row, "facts").replaceChildren(...facts.filter(Boolean).map((fact) => make("span", {}, fact)));
      const ending = action(row, "end");
      say(ending, button);
      ending.setAttribute("aria-label", label);
      ending.addEventListener("click", () => run(name, ending, end), listen);
      return row;
    });
    if (add) list.append(...rows);
    else list.replaceChildren(...rows);
    list.removeAttribute("aria-busy");
    const empty = part(main, `${name}-empty`);
    if (empty) show(empty, list.children.length === 0);
  }

  /** Does what a button of a list says; what goes wrong is told below that list. */
  const busy = new WeakSet(); // not `disabled`: a button would lose the focus, and a dialog could not give it back
  async function run(name, button, work) {
    if (busy.has(button)) return;
    const box = part(main, `${name}-error`);
    show(box, false);
    busy.add(button);
    try {
      await work();
    } catch (error) {
      if (!signal.aborted) tell(box, error);
    } finally {
      busy.delete(button);
    }
  }

  const load = (name, read) => read().catch((error) => {
    if (signal.aborted) return;
    part(main, name).replaceChildren();
    part(main, name).removeAttribute("aria-busy");
    tell(part(main, `${name}-error`), error);
  });

  /** After a row is gone: its list has the focus, not the page's beginning. */
  function gone(name, words) {
    const heading = document.getElementById(part(main, name).getAttribute("aria-labelledby"));
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
    toast(words);
  }

  return { fill, run, load, gone };
}
