// Sign in and register: one form each, sent as JSON; the server answers with cookies.

import { call } from "../api.js";
import { part, say, show } from "../dom.js";
import { fieldErrors, tell } from "../errors.js";
import { t } from "../i18n.js";

const NAMES = ["email", "password"];

export function mount(main, signal) {
  const form = part(main, "form");
  if (!form) return;
  const box = part(main, "error");
  const button = form.querySelector("[type=submit]");

  const mark = (name, message) => {
    const input = form.elements[name];
    const error = document.getElementById(`${name}-error`);
    if (message) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
    say(error, message ?? "");
    show(error, Boolean(message));
  };
  const check = () => {
    const { email, password } = form.elements;
    mark("email", email.value.trim() === "" ? t("Enter your email.") : email.validity.typeMismatch ? t("This is no email address, such as mina@example.com.") : null);
    const tooShort = password.minLength > 0 && password.value.length < password.minLength;
    mark("password", password.value === "" ? t("Enter your password.") : tooShort ? t("Use at least %(n)s characters.", { n: password.minLength }) : null);
    return form.querySelector('[aria-invalid="true"]');
  };

  button.disabled = false; // until here the browser would have sent the form by itself
  form.addEventListener("input", (event) => mark(event.target.name, null), { signal });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    show(box, false);
    const wrong = check();
    if (wrong) {
      wrong.focus();
      return;
    }
    button.disabled = true;
    try {
      const body = { email: form.elements.email.value.trim(), password: form.elements.password.value };
      await call("POST", form.dataset.endpoint, { body, leaves: false });
      location.replace(main.dataset.next);
    } catch (error) {
      button.disabled = false;
      const errors = fieldErrors(error, NAMES);
      errors.forEach((message, name) => mark(name, message));
      if (errors.size === 0) tell(box, error);
      form.querySelector('[aria-invalid="true"]')?.focus();
    }
  }, { signal });
}
