// What this browser remembers. A browser that refuses to remember is no error.

export function recall(key) {
  try {
    return localStorage.getItem(`yeoul.${key}`);
  } catch {
    return null;
  }
}

export function remember(key, value) {
  try {
    if (value === null) localStorage.removeItem(`yeoul.${key}`);
    else localStorage.setItem(`yeoul.${key}`, String(value));
  } catch {
    // Private windows may have no storage; the choice then lasts as long as the page.
  }
}

/** The names of what is remembered that begin so. */
export function remembered(prefix) {
  try {
    return Object.keys(localStorage).filter((key) => key.startsWith(`yeoul.${prefix}`)).map((key) => key.slice("yeoul.".length));
  } catch {
    return [];
  }
}

/** A random id for an Idempotency-Key. crypto.randomUUID exists on https and localhost only. */
export const randomId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
