// Errors in words: what happened, and what to do about it.

import { make } from "./dom.js";
import { language, t } from "./i18n.js";

const known = {
  unreachable: () => [t("The server cannot be reached"), t("Check your connection. Nothing is lost: try again in a moment.")],
  internal: () => [t("Something went wrong on the server"), t("Try again. If it stays, tell whoever runs this server.")],
  unavailable: () => [t("The server is busy or starting"), t("Try again in a few seconds.")],
  wrong_credentials: () => [t("Wrong email or password"), t("Check both, or register.")],
  email_taken: () => [t("This email has an account already"), t("Sign in instead, or register with another email.")],
  registration_closed: () => [t("Registration is closed"), t("Ask the administrator of this server for an account.")],
  account_disabled: () => [t("This account is disabled"), t("Ask the administrator of this server.")],
  last_way_in: () => [t("This is the only way to sign in"), t("Add another one first.")],
  too_many_keys: () => [t("You have as many keys as one may have"), t("Revoke one you no longer need.")],
  key_not_found: () => [t("This key is gone already"), t("Load the page again.")],
  provider_key_refused: () => [t("The provider refused this key"), t("It was not stored. Copy it anew, or make another one there.")],
  provider_key_unchecked: () => [t("The key could not be checked"), t("The provider does not answer, so it was not stored. Try again later, or store it unchecked.")],
  own_keys_off: () => [t("Own keys are not used here"), t("This server asks with its own keys alone.")],
  own_key_needed: () => [t("A key of your own is needed"), t("Store one under Settings, or choose another model.")],
  secret_lost: () => [t("Your stored key cannot be read any more"), t("Store it again under Settings.")],
  secret_not_found: () => [t("This key is gone already"), t("Load the page again.")],
  session_not_found: () => [t("This session is over already"), t("Load the page again.")],
  identity_not_found: () => [t("This way is gone already"), t("Load the page again.")],
  rate_limited: () => [t("Too many tries"), t("Wait a little, then try again.")],
  too_many_queued: () => [t("You have too many jobs waiting"), t("Wait until some have ended, or cancel some.")],
  too_large: () => [t("That is too long"), t("Shorten the question or the system prompt.")],
  invalid_input: () => [t("Something does not fit"), t("Check what you have entered.")],
  invalid_job_input: () => [t("Something does not fit"), t("Check what you have entered.")],
  job_not_found: () => [t("There is no such job"), t("It may belong to another account. Your jobs are all in the list.")],
  schedule_not_found: () => [t("There is no such schedule"), t("It may have been deleted. Load the page again.")],
  schedule_name_taken: () => [t("The name is taken"), t("Choose another name.")],
  schedule_busy: () => [t("Its last run has not ended"), t("Wait until it has, or cancel it under Jobs.")],
  schedule_missed: () => [t("The server was away at the time"), t("It waits for its next time.")],
  too_many_schedules: () => [t("You have as many schedules as one may have"), t("Delete one first.")],
  invalid_schedule: () => [t("Something does not fit"), t("Check what you have entered.")],
  job_not_finished: () => [t("The job has not ended yet"), t("Cancel it first, or wait.")],
  unknown_model: () => [t("There is no such model here"), t("Choose another model and ask again.")],
  model_not_ready: () => [t("This model is not set up"), t("Choose another model, or have the administrator set it up.")],
  model_auth_failed: () => [t("The provider refused the key"), t("Check your key under Settings, or have the administrator check the server's; or choose another model.")],
  model_quota_exceeded: () => [t("The account at the provider is used up"), t("Have it topped up, or choose another model.")],
  model_rate_limited: () => [t("The provider takes no more requests for now"), t("Wait a minute and ask again, or choose another model.")],
  model_held: () => [t("The model takes no calls for now"), t("Its limit is used up. Wait a little, or choose another model.")],
  model_resting: () => [t("The provider is not answering"), t("It is tried again by itself. Choose another model if you cannot wait.")],
  model_waited_too_long: () => [t("The model took no calls for too long"), t("Ask again later, or choose another model.")],
  model_overloaded: () => [t("The model has too much to do"), t("Ask again in a minute, or choose another model.")],
  model_unavailable: () => [t("The model cannot be reached"), t("Ask again, or choose another model.")],
  model_timeout: () => [t("The model took too long"), t("Ask again, or choose another model.")],
  model_request_rejected: () => [t("The model rejected the request"), t("Change the question or the parameters and ask again.")],
  model_cannot: () => [t("The model cannot do this"), t("Leave out what it cannot, or choose another model.")],
  context_too_long: () => [t("This is longer than the model can read"), t("Shorten it, or choose a model with a larger context.")],
  content_filtered: () => [t("The provider's filter stopped this"), t("Say it differently, or choose another model.")],
  model_error: () => [t("The model failed"), t("Ask again, or choose another model.")],
};

// Why a provider's filter stopped something, as the server says it in English (core/llm/failures).
const reasons = {
  "it was judged unsafe": () => t("it was judged unsafe"),
  "the answer came too close to existing texts": () => t("the answer came too close to existing texts"),
  "the language is not supported": () => t("the language is not supported"),
  "it holds a word on the provider's block list": () => t("it holds a word on the provider's block list"),
  "it holds content the provider forbids": () => t("it holds content the provider forbids"),
  "it holds sensitive personal data": () => t("it holds sensitive personal data"),
  "an image was judged unsafe": () => t("an image was judged unsafe"),
  "the provider's content filter caught it": () => t("the provider's content filter caught it"),
  "the model declined to answer": () => t("the model declined to answer"),
  harassment: () => t("harassment"),
  "hate speech": () => t("hate speech"),
  "sexually explicit content": () => t("sexually explicit content"),
  "dangerous content": () => t("dangerous content"),
  "election interference": () => t("election interference"),
};

function why(code, said) {
  if (code !== "content_filtered" || language === "en") return "";
  const found = Object.keys(reasons).filter((words) => said.includes(words)).map((words) => reasons[words]());
  const words = t("Why: %(reasons)s.", { reasons: found.join(", ") });
  return found.length ? `${words} ` : "";
}

/** Adds what codes of a product's errors mean: {code: () => [title, advice]}. */
export const know = (codes) => Object.assign(known, codes);

/** {title, advice, said}: `said` is the server's own sentence, in English. */
export function words(error) {
  if (error.code === undefined) console.error(error); // a fault of this page, not an answer
  const said = error.code === undefined ? "" : (error.detail ?? error.message ?? "");
  const [title, advice] = (known[error.code ?? "internal"] ?? known[error.status >= 500 ? "internal" : ""] ?? (() => [t("That did not work"), ""]))();
  return { title, advice: why(error.code, said) + advice, said };
}

/** Shows an error in a notice. In English the server's sentence is the advice: it knows more than a code says. */
export function tell(box, error, ...buttons) {
  const { title, advice, said } = words(error);
  const useSaid = said && (language === "en" || !advice) && error.code !== "unreachable";
  const more = said && !useSaid && error.code !== "unreachable";
  box.replaceChildren(
    make("strong", {}, title),
    make("span", {}, useSaid ? said : advice),
    ...(more ? [make("details", {}, make("summary", {}, t("What the server said")), make("p", { lang: "en" }, said))] : []),
    ...(buttons.length ? [make("div", {}, ...buttons)] : []),
  );
  box.hidden = false;
}

/** Does something, and shows in a notice what goes wrong; nothing once `signal` has ended. */
export async function trying(box, signal, work) {
  box.hidden = true;
  try {
    await work();
  } catch (error) {
    if (!signal.aborted) tell(box, error);
  }
}

/** The form field an error points at: the last name in its path that the form has. */
export function fieldErrors(error, names) {
  const found = new Map();
  for (const { loc, message } of error.fields ?? []) {
    const name = [...loc].reverse().find((step) => names.includes(step));
    if (name && !found.has(name)) found.set(name, message);
  }
  return found;
}
