// The AI SDK's chat: the class behind useChat, with its own transport.
import assert from "node:assert/strict";
import { AbstractChat, DefaultChatTransport } from "ai";
import { ADDRESS, ENDLESS, headers, SLOW, SLOW_TEXT, WORDS } from "./shared.mjs";

class State {
  status = "ready";
  error = undefined;
  messages = [];
  pushMessage = (message) => (this.messages = [...this.messages, message]);
  popMessage = () => (this.messages = this.messages.slice(0, -1));
  replaceMessage = (index, message) => (this.messages = this.messages.with(index, structuredClone(message)));
  snapshot = (value) => structuredClone(value);
}
class Chat extends AbstractChat {}

function chat(id, model, { fetch, messages } = {}) {
  const transport = new DefaultChatTransport({ api: `${ADDRESS}/api/ai-sdk/chat`, headers, body: { model }, fetch });
  const state = new State();
  if (messages) state.messages = messages;
  return new Chat({ id, state, transport });
}
const textOf = (message) => message.parts.filter((part) => part.type === "text").map((part) => part.text).join("");
const last = (one) => one.messages.at(-1);

const first = chat("c1", "fake/echo");
await first.sendMessage({ text: WORDS });
assert.equal(first.status, "ready", String(first.error));
assert.equal(textOf(last(first)), WORDS);
assert.deepEqual(last(first).metadata.usage, { inputTokens: 11, outputTokens: 11, totalTokens: 22 });
await first.sendMessage({ text: "and more" });
assert.equal(textOf(last(first)), "and more");
assert.equal(first.messages.length, 4);

// The connection breaks in the middle; the stream is resumed, and again after the answer has ended.
let broken = 0;
async function breaking(url, init) {
  const answer = await fetch(url, init);
  if (init.method !== "POST") return answer;
  const reader = answer.body.getReader();
  let seen = "";
  return new Response(
    new ReadableStream({
      async pull(controller) {
        const { value } = await reader.read();
        seen += new TextDecoder().decode(value);
        controller.enqueue(value);
        if (seen.includes("word3 ")) {
          broken += 1;
          await reader.cancel();
          controller.error(new TypeError("network error"));
        }
      },
    }),
    { headers: answer.headers },
  );
}
const second = chat("c 2/ü", "fake/slow", { fetch: breaking });
await second.sendMessage({ text: SLOW });
assert.equal(broken, 1);
assert.equal(second.status, "error");
const partial = textOf(last(second));
assert.ok(partial.length > 0 && SLOW_TEXT.startsWith(partial) && partial !== SLOW_TEXT);
await second.resumeStream();
assert.equal(second.status, "ready", String(second.error));
assert.equal(textOf(last(second)), SLOW_TEXT);
const count = second.messages.length;
await second.resumeStream();
assert.equal(textOf(last(second)), SLOW_TEXT);
assert.equal(second.messages.length, count);

// Another page resumes what it never began.
const third = chat("c 2/ü", "fake/slow");
await third.resumeStream();
assert.equal(textOf(last(third)), SLOW_TEXT);

// Stopped by its own endpoint.
const fourth = chat("c4", "fake/slow");
const sending = fourth.sendMessage({ text: ENDLESS });
while (fourth.status !== "streaming") await new Promise((resolve) => setImmediate(resolve));
const stopped = await fetch(`${ADDRESS}/api/ai-sdk/chat/c4/stop`, { method: "POST", headers });
assert.equal(stopped.status, 204);
await sending;

const unknown = await fetch(`${ADDRESS}/api/ai-sdk/chat/nobody/stream`, { headers });
assert.equal(unknown.status, 204);

const failing = chat("c5", "fake/error-400");
await failing.sendMessage({ text: "hi" });
assert.equal(failing.status, "error");
assert.ok(failing.error.message.length > 10);

const file = chat("c6", "fake/echo");
await file.sendMessage({ text: "see", files: [{ type: "file", mediaType: "image/png", url: "data:image/png;base64,AA" }] });
assert.match(file.error.message, /unsupported_parameter/);
console.log("ok");
