// /v1 through OpenAI's own JavaScript client, and through the AI SDK's provider for it.
import assert from "node:assert/strict";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, streamText } from "ai";
import OpenAI from "openai";
import { ADDRESS, ENDLESS, SLOW, SLOW_TEXT, TOKEN, WORDS } from "./shared.mjs";

const client = new OpenAI({ baseURL: `${ADDRESS}/v1`, apiKey: TOKEN, maxRetries: 0 });
const ask = (content) => [{ role: "user", content }];

const models = (await client.models.list()).data.map((model) => model.id);
assert.ok(models.includes("default") && models.includes("fake/echo"));

const whole = await client.chat.completions.create({ model: "default", messages: ask(WORDS) });
assert.equal(whole.choices[0].message.content, WORDS);

const stream = client.chat.completions.stream({
  model: "fake/echo",
  messages: ask(WORDS),
  stream_options: { include_usage: true },
});
assert.equal(await stream.finalContent(), WORDS);
assert.equal((await stream.totalUsage()).total_tokens, 22);

const refused = await client.chat.completions.create({ model: "fake/echo", messages: ask("hi"), n: 2 }).catch((e) => e);
assert.ok(refused instanceof OpenAI.BadRequestError);
assert.deepEqual([refused.param, refused.code], ["n", "unsupported_parameter"]);

const live = client.responses.stream({ model: "fake/echo", input: WORDS });
assert.equal((await live.finalResponse()).output_text, WORDS);

// Left in the middle, taken up from the last number.
const begun = await client.responses.create({ model: "fake/slow", input: SLOW, stream: true, background: true });
let [id, last, text] = ["", 0, ""];
for await (const event of begun) {
  last = event.sequence_number;
  if (event.type === "response.created") id = event.response.id;
  if (event.type === "response.output_text.delta") {
    text += event.delta;
    break;
  }
}
for await (const event of await client.responses.retrieve(id, { stream: true, starting_after: last })) {
  if (event.type === "response.output_text.delta") text += event.delta;
}
assert.equal(text, SLOW_TEXT);
assert.equal((await client.responses.retrieve(id)).output_text, SLOW_TEXT);

const endless = await client.responses.create({ model: "fake/slow", input: ENDLESS, background: true });
assert.equal((await client.responses.cancel(endless.id)).status, "cancelled");

const provider = createOpenAI({ baseURL: `${ADDRESS}/v1`, apiKey: TOKEN });
for (const model of [provider.chat("fake/echo"), provider.responses("fake/echo")]) {
  assert.equal((await generateText({ model, prompt: WORDS })).text, WORDS);
  const streamed = streamText({ model, prompt: WORDS });
  assert.equal(await streamed.text, WORDS);
  assert.equal((await streamed.usage).outputTokens, 11);
}
console.log("ok");
