// An answer's Markdown, drawn while it is written. Only the last blocks are drawn anew: what stands, stands, so nothing
// flickers, selections stay, and a long answer costs no more per piece than a short one.

import { Marked } from "../vendor/marked.js";
import "../vendor/purify.js";
import { copyText } from "./clipboard.js";
import { make } from "./dom.js";
import { t } from "./i18n.js";

const escaped = (text) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

const marked = new Marked({
  gfm: true,
  renderer: {
    // Markup in an answer is text; pictures are links, since a model may name any address to carry words away.
    html: ({ text, block }) => (block ? `<p>${escaped(text)}</p>` : escaped(text)),
    image: ({ href, text }) => `<a href="${escaped(href)}">${escaped(text || href)}</a>`,
  },
});

const CLEAN = {
  ALLOWED_TAGS: [
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "input", "li", "ol", "p", "pre",
    "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
  ],
  ALLOWED_ATTR: ["align", "checked", "class", "disabled", "href", "start", "type"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
  ADD_URI_SAFE_ATTR: ["align", "start", "type"], // no addresses: they need not look like one
  RETURN_DOM_FRAGMENT: true,
};

/** A table of which only the head is there yet shows as one from its first cell on. */
function tabled(text) {
  const [head, ...below] = text.trim().split("\n");
  if (!/^\|.*\|/.test(head) || below.length > 1 || /[^|:\-\s]/.test(below[0] ?? "")) return null;
  const cells = head.replace(/\|\s*$/, "").split("|").length - 1;
  return `${head}\n|${" --- |".repeat(cells)}`;
}

/** Closes what the last line has opened, so that half-written emphasis does not show its marks. */
export function closed(text) {
  const line = text.slice(text.lastIndexOf("\n") + 1);
  let tail = "";
  if ((line.match(/`/g)?.length ?? 0) % 2) return `${text}\``;
  if ((line.match(/\*\*/g)?.length ?? 0) % 2) tail = text.endsWith("**") ? "" : "**";
  const link = /\[([^\]]*)\]\([^)\s]*$/.exec(text);
  if (link) return `${text.slice(0, link.index)}${link[1]}${tail}`;
  return tail && text.endsWith("*") ? `${text}*` : text + tail;
}

function draw(token, { unfinished }) {
  const shown = unfinished && token.type !== "code" ? marked.lexer(tabled(token.raw) ?? closed(token.raw)) : [token];
  const fragment = globalThis.DOMPurify.sanitize(marked.parser(shown), CLEAN);
  for (const link of fragment.querySelectorAll("a[href]")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
  }
  for (const table of fragment.querySelectorAll("table")) {
    const frame = make("div", { className: "table", tabIndex: 0, role: "group" });
    frame.setAttribute("aria-label", t("Table"));
    table.replaceWith(frame);
    frame.append(table);
  }
  for (const code of fragment.querySelectorAll("pre > code")) framed(code);
  for (const box of fragment.querySelectorAll("input")) box.setAttribute("aria-label", t("Task"));
  const nodes = [...fragment.childNodes].filter((node) => node.nodeType === Node.ELEMENT_NODE);
  return nodes.length ? nodes : [document.createComment("")]; // every block keeps its place
}

function framed(code) {
  const pre = code.parentElement;
  const named = /language-([\w+#.-]+)/.exec(code.className);
  const copy = make("button", { type: "button", className: "quiet" }, t("Copy"));
  copy.addEventListener("click", () => copyText(code.textContent));
  const figure = make("figure", { className: "code" }, make("figcaption", {}, make("span", {}, named ? named[1] : t("Code")), copy));
  pre.replaceWith(figure);
  pre.tabIndex = 0;
  pre.setAttribute("role", "region");
  pre.setAttribute("aria-label", t("Code"));
  figure.append(pre);
}

/** Draws growing text into `root`. */
export class Prose {
  #root;
  #blocks = []; // {raw, nodes, unfinished}: what stands, in order
  #settled = 0; // how many of them no later text can change
  #offset = 0; // where in the text the first unsettled one begins
  #text = "";

  constructor(root) {
    this.#root = root;
  }

  /** Shows the whole text so far; `done` when nothing is to come. */
  update(text, { done = false } = {}) {
    if (!text.startsWith(this.#text.slice(0, this.#offset)) || done) this.#settled = this.#offset = 0;
    this.#text = text;
    const found = marked.lexer(text.slice(this.#offset));
    const tokens = found.filter((token) => token.type !== "space" && token.type !== "def");
    const hasDefinitions = found.length > tokens.length && found.some((token) => token.type === "def");
    const keep = this.#blocks.slice(0, this.#settled);
    tokens.forEach((token, i) => {
      const unfinished = !done && i === tokens.length - 1;
      const old = this.#blocks[this.#settled + i];
      const same = old && old.raw === token.raw && old.unfinished === unfinished && !(done && hasDefinitions);
      keep.push(same ? old : this.#replace(old, token, unfinished, keep.at(-1)));
    });
    for (const gone of this.#blocks.slice(keep.length)) gone.nodes.forEach((node) => node.remove());
    this.#blocks = keep;
    if (!done) this.#settle(text, tokens);
  }

  #replace(old, token, unfinished, before) {
    const nodes = draw(token, { unfinished });
    const last = before?.nodes.at(-1);
    if (old) {
      old.nodes[0].before(...nodes);
      old.nodes.forEach((node) => node.remove());
    } else if (last) {
      last.after(...nodes);
    } else {
      this.#root.prepend(...nodes);
    }
    return { raw: token.raw, nodes, unfinished };
  }

  /** The last two blocks may still change (a line below makes a heading, a list goes on); those before may not. */
  #settle(text, tokens) {
    const done = tokens.slice(0, -2);
    for (const token of done) {
      const at = text.indexOf(token.raw, this.#offset);
      if (at < 0) return;
      this.#offset = at + token.raw.length;
      this.#settled += 1;
    }
  }
}
