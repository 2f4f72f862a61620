// The public API, as every program uses it; here the cookie says who asks.

import { leave, renew } from "./session.js";

/** The server answered with an error: problem+json. */
export class Problem extends Error {
  constructor(status, body, retryAfter) {
    super(body.detail ?? body.title ?? `HTTP ${status}`);
    this.status = status;
    this.code = body.code ?? "internal";
    this.fields = body.errors ?? [];
    this.requestId = body.request_id ?? null;
    this.retryAfter = retryAfter;
  }
}

/** No answer at all: offline, or the server is away. */
export class Unreachable extends Error {
  constructor() {
    super("The server cannot be reached.");
    this.code = "unreachable";
    this.fields = [];
  }
}

const send = async (path, options) => {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable();
  }
};

async function answerOf(response) {
  const text = await response.text();
  let body = {};
  try {
    body = text ? JSON.parse(text) : {};
  } catch {
    // A proxy's page instead of ours: its status says enough.
  }
  if (response.ok) return body;
  throw new Problem(response.status, body, Number(response.headers.get("Retry-After")) || null);
}

/**
 * Calls the API and gives its JSON; throws Problem or Unreachable. An expired access token is renewed on the way; when
 * the session is over, the page leaves for sign-in (`leaves: false` throws instead). `raw`: a body that is no JSON.
 */
export async function call(method, path, { body, raw, headers = {}, signal, leaves = true } = {}) {
  const options = { method, signal, body: raw, headers: { Accept: "application/json", ...headers } };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const sentAt = Date.now();
  let response = await send(path, options);
  if (response.status === 401 && leaves) {
    let renewed;
    try {
      renewed = await renew(sentAt);
    } catch {
      throw new Unreachable();
    }
    if (!renewed) {
      leave();
      return new Promise(() => {}); // the page is on its way out
    }
    response = await send(path, options);
  }
  return answerOf(response);
}

export const get = (path, options) => call("GET", path, options);
export const post = (path, body, options = {}) => call("POST", path, { body, ...options });
