// AG-UI through its own HttpAgent, which checks the order of events.
import assert from "node:assert/strict";
import { HttpAgent } from "@ag-ui/client";
import { ADDRESS, ENDLESS, headers, SLOW, SLOW_TEXT, WORDS } from "./shared.mjs";

function agent(content, fetch) {
  const initialMessages = [{ id: "1", role: "user", content }];
  return new HttpAgent({ url: `${ADDRESS}/api/ag-ui`, headers, threadId: "t1", initialMessages, fetch });
}
async function run(one, runId, model) {
  const seen = [];
  const subscriber = { onEvent: ({ event }) => void seen.push(event) };
  const result = await one.runAgent({ runId, forwardedProps: { model } }, subscriber);
  return { seen, result };
}

const first = agent(WORDS);
const { seen, result } = await run(first, "r1", "fake/echo");
assert.equal(first.messages.at(-1).content, WORDS);
assert.deepEqual([seen[0].type, seen.at(-1).type], ["RUN_STARTED", "RUN_FINISHED"]);
assert.deepEqual([seen.at(-1).threadId, seen.at(-1).runId], ["t1", "r1"]);
assert.equal(result.result.model, "fake/echo");

// Left after the third word; resumed through the agent, from the start.
const leaving = new AbortController();
const body = { threadId: "t1", runId: "r2", messages: [{ id: "1", role: "user", content: SLOW }] };
const answer = await fetch(`${ADDRESS}/api/ag-ui`, {
  method: "POST",
  headers: { ...headers, "content-type": "application/json" },
  body: JSON.stringify({ ...body, tools: [], context: [], state: {}, forwardedProps: { model: "fake/slow" } }),
  signal: leaving.signal,
});
let text = "";
for await (const chunk of answer.body) {
  text += new TextDecoder().decode(chunk);
  if (text.includes("word3 ")) break;
}
leaving.abort();
const resuming = agent(SLOW, () => fetch(`${ADDRESS}/api/ag-ui/r2/stream`, { headers }));
await run(resuming, "r2", "fake/slow");
assert.equal(resuming.messages.at(-1).content, SLOW_TEXT);

const endless = agent(ENDLESS);
const outcomes = [];
await endless.runAgent(
  { runId: "r3", forwardedProps: { model: "fake/slow" } },
  {
    onTextMessageStartEvent: () => void fetch(`${ADDRESS}/api/ag-ui/r3/stop`, { method: "POST", headers }),
    onRunFinishedEvent: ({ outcome }) => void outcomes.push(outcome),
  },
);
assert.deepEqual(outcomes, ["cancelled"]);

const failing = await run(agent("hi"), "r4", "fake/error-400").catch((error) => error);
assert.ok(failing.seen.some((event) => event.type === "RUN_ERROR" && event.code === "model_request_rejected"));
console.log("ok");
