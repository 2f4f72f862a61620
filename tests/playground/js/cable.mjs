// PromptChannel through Rails' own client.
import assert from "node:assert/strict";
import WebSocket from "ws";

globalThis.addEventListener ??= () => {}; // the client watches the page's visibility
globalThis.removeEventListener ??= () => {};
globalThis.document ??= { visibilityState: "visible" };
const { adapters, createConsumer } = await import("@rails/actioncable");
adapters.WebSocket = WebSocket;

const { ADDRESS, TOKEN } = process.env;
const headers = { Authorization: `Bearer ${TOKEN}`, "content-type": "application/json" };
const TEXT = Array.from({ length: 30 }, (_, n) => `word${n + 1} `).join("");

async function execute(body) {
  const answer = await fetch(`${ADDRESS}/api/prompts/execute`, { method: "POST", headers, body: JSON.stringify(body) });
  assert.equal(answer.status, 202);
  return answer.json();
}

function follow(consumer, execution_id, onMessage = () => {}) {
  const columns = new Map();
  const seen = { columns, results: [], confirmed: 0 };
  const done = new Promise((resolve, reject) => {
    seen.subscription = consumer.subscriptions.create(
      { channel: "PromptChannel", execution_id },
      {
        connected: () => (seen.confirmed += 1),
        rejected: () => reject(new Error("rejected")),
        received(data) {
          if (data.type === "begin") columns.clear();
          if (data.type === "chunk") columns.set(data.iteration, (columns.get(data.iteration) ?? "") + data.content);
          if (data.type === "complete" || data.type === "error") seen.results.push(data);
          onMessage(data, seen);
          if (data.type === "end") resolve({ ...seen, end: data });
        },
      },
    );
  });
  return done;
}

const address = `${ADDRESS.replace("http", "ws")}/cable`;
const consumer = createConsumer(`${address}?token=${TOKEN}`);
const slow = { user_prompt: "30 words, 10 ms", selected_model: "fake/slow", iterations: 3, stream: true };

const first = await execute(slow);
const live = await follow(consumer, first.execution_id);
assert.deepEqual([...live.columns.values()], [TEXT, TEXT, TEXT]);
assert.deepEqual(live.results.map((one) => one.iteration).sort(), [1, 2, 3]);
assert.ok(live.results.every((one) => one.type === "complete" && one.response_text === TEXT));
assert.equal(live.end.status, "completed");

// Two at a time on one connection: each subscription hears its own, the second from its start.
const second = await execute({ ...slow, selected_model: "fake/error-400" });
const other = createConsumer(`${address}?token=${TOKEN}`);
const [again, failed] = await Promise.all([follow(other, first.execution_id), follow(other, second.execution_id)]);
assert.deepEqual([...again.columns.values()], [TEXT, TEXT, TEXT]);
assert.equal(failed.end.status, "failed");
assert.ok(failed.results.every((one) => one.type === "error" && one.error_message));

// The connection breaks; the client opens another by itself and hears it all again.
const third = await execute(slow);
let broken = false;
const healed = await follow(other, third.execution_id, (data) => {
  if (!broken && data.type === "chunk") {
    broken = true;
    other.connection.reopen();
  }
});
assert.ok(broken && healed.confirmed >= 2);
assert.deepEqual([...healed.columns.values()], [TEXT, TEXT, TEXT]);

await assert.rejects(follow(other, crypto.randomUUID()), /rejected/);
consumer.disconnect();
other.disconnect();

// Without a token: told so, and not to come back.
const stranger = createConsumer(address);
stranger.ensureActiveConnection();
while (!stranger.connection.disconnected || stranger.connection.monitor.isRunning()) {
  await new Promise((resolve) => setTimeout(resolve, 10));
}
console.log("ok");
