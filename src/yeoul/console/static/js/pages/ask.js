// Ask: the form of a question, then its answer. The job's id is in the address, so that a reload goes on where it was.

import { post } from "../api.js";
import { action, field, part } from "../dom.js";
import { tell } from "../errors.js";
import { t } from "../i18n.js";
import { Composer } from "../composer.js";
import { Exchange } from "../exchange.js";

export function mount(main, signal) {
  let shown = null; // {exchange, end}

  const view = (name) => {
    shown?.end.abort();
    shown = null;
    main.dataset.view = name;
  };
  // htmx brings back what it is told is its own: so Back works over these entries too.
  const go = (path) => history.pushState({ htmx: true }, "", path);

  const openAnswer = (id, job = null) => {
    view("exchange");
    const end = new AbortController();
    signal.addEventListener("abort", () => end.abort(), { once: true });
    shown = { end, exchange: new Exchange(main, id, end.signal, job) };
    for (const name of ["copy", "again", "edit"]) action(main, name).hidden = false;
  };
  const asked = (job) => {
    go(`/ask/${job.id}`);
    openAnswer(job.id, job);
    window.scrollTo(0, 0);
    part(main, "exchange").querySelector("h1").focus({ preventScroll: true });
  };
  const openForm = (input) => {
    go("/");
    view("compose");
    document.title = `${t("Ask")} · ${t("Yeoul")}`;
    window.scrollTo(0, 0);
    composer.open(input);
  };

  const composer = new Composer(main, signal, asked);
  const listen = { signal };
  action(main, "new").addEventListener("click", () => openForm({}), listen);
  action(main, "edit").addEventListener("click", () => openForm(shown?.exchange.input ?? {}), listen);
  action(main, "again").addEventListener("click", async (event) => {
    const button = event.currentTarget;
    button.disabled = true;
    try {
      asked(await post(`/api/jobs/${shown.exchange.id}/retry`));
    } catch (error) {
      tell(field(main, "error"), error);
    } finally {
      button.disabled = false;
    }
  }, listen);
  document.addEventListener("yeoul:new", (event) => {
    event.preventDefault();
    if (main.dataset.view === "compose") composer.focus();
    else openForm({});
  }, listen);

  if (!history.state?.htmx) history.replaceState({ htmx: true }, "");
  if (main.dataset.job) openAnswer(main.dataset.job);
}
