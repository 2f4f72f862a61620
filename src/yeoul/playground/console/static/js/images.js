// Images that go with the prompt: chosen, dropped or pasted.

import { make, part, show } from "../../../js/dom.js";
import { number } from "../../../js/format.js";
import { t, tn } from "../../../js/i18n.js";
import { markBox } from "./fields.js";

const MOST = 4;
const LARGEST = 5_000_000;
const TYPES = new Set(["image/png", "image/jpeg", "image/webp", "image/gif"]);

const fetched = async (address) => {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
  return answer.blob();
};
const read = (file) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result);
  reader.onerror = () => reject(reader.error);
  reader.readAsDataURL(file);
});

export class Images {
  #thumbs;
  #changed;
  #all = []; // {name, url}
  #turn = 0;
  #missing = false; // some of the prompt's own could not be loaded
  loaded = Promise.resolve();

  /** In the form; `changed(added)` is called after every change. */
  constructor(form, signal, changed) {
    this.#thumbs = part(form, "thumbs");
    this.#changed = changed;
    const listen = { signal };
    const input = part(form, "images-file");
    input.disabled = false;
    input.addEventListener("change", () => { this.#add([...input.files]); input.value = ""; }, listen);
    form.addEventListener("paste", (event) => {
      const files = [...event.clipboardData.files].filter((file) => file.type.startsWith("image/"));
      if (!files.length) return;
      event.preventDefault();
      this.#add(files);
    }, listen);
    form.addEventListener("dragover", (event) => event.preventDefault(), listen);
    form.addEventListener("drop", (event) => {
      if (event.defaultPrevented || !event.dataTransfer.files.length) return;
      event.preventDefault();
      this.#add([...event.dataTransfer.files]);
    }, listen);
    this.#thumbs.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.#remove([...this.#thumbs.children].indexOf(button.closest("li")));
    }, listen);
  }

  get count() {
    return this.#all.length;
  }

  /** Shows those of a prompt, by their addresses; `loaded` is when they are there. */
  open(addresses) {
    this.#all = [];
    this.#missing = false;
    this.#draw();
    const mine = (this.#turn += 1);
    this.loaded = Promise.all(addresses.map(async (address) => read(await fetched(address)))).then((urls) => {
      if (mine !== this.#turn) return;
      this.#all = urls.map((url) => ({ name: "", url }));
      this.#draw();
    }, () => {
      if (mine !== this.#turn) return;
      this.#missing = true;
      this.#complain();
    });
  }

  /** As the API takes them; complains of those that could not be loaded. */
  read() {
    if (this.#missing) this.#complain();
    return this.#all.map(({ url }) => {
      const [head, data] = url.split(",", 2);
      return { media_type: head.slice(5, head.indexOf(";")), data };
    });
  }

  #complain() {
    markBox("images", t("The images could not be loaded. Add them again."));
  }

  async #add(files) {
    this.#missing = false;
    markBox("images", null);
    for (const file of files) {
      if (!TYPES.has(file.type)) markBox("images", t("%(file)s is no PNG, JPEG, WebP or GIF.", { file: file.name }));
      else if (file.size > LARGEST) markBox("images", t("%(file)s is larger than 5 MB.", { file: file.name }));
      else if (this.#all.length >= MOST) markBox("images", t("Four images at most."));
      else this.#all.push({ name: file.name, url: await read(file) });
    }
    this.#draw();
    this.#changed();
  }

  #remove(i) {
    this.#all.splice(i, 1);
    markBox("images", null);
    this.#draw();
    this.#changed();
  }

  #draw() {
    show(this.#thumbs, this.#all.length > 0);
    this.#thumbs.replaceChildren(...this.#all.map(({ name, url }, i) => make("li", {},
      make("img", { src: url, alt: name || tn("Image %(n)s", "Image %(n)s", i + 1) }),
      make("button", { type: "button", className: "icon-button", "aria-label": t("Remove image %(n)s", { n: number(i + 1) }) }, "×"))));
  }
}
