import { get, post } from "../../../js/api.js";
import { field, say } from "../../../js/dom.js";
import { follow } from "../../../js/stream.js";
import { EVENT_TYPES, LOOSE_TYPES, Transcript } from "../../../js/transcript.js";

export function mount(main, signal) {
  const form = main.querySelector("form"), { about } = form.elements;
  about.disabled = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const job = await post("/api/jobs", { kind: "haiku.write", input: { about: about.value } });
    const url = `/api/jobs/${job.id}`, told = new Transcript();
    const onEvent = (type, data, seq) => {
      told.apply(type, data, seq);
      say(field(main, "haiku"), told.error?.message ?? told.text);
      return told.over ? "end" : null;
    };
    follow({ url: `${url}/events`, types: EVENT_TYPES, loose: LOOSE_TYPES, onEvent, check: () => get(url), signal });
  }, { signal });
}
