// /v1 through OpenAI's own JavaScript client, and through the AI SDK's provider for it.
import assert from "node:assert/strict";
import { createOpenAI } from "@ai-sdk/openai";
import { embedMany, generateText, streamText } from "ai";
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

// The client asks for base64 and gives numbers.
const vectors = await client.embeddings.create({ model: "fake/embedding", input: [WORDS, WORDS, "something else"] });
assert.deepEqual(vectors.data[0].embedding, vectors.data[1].embedding);
assert.notDeepEqual(vectors.data[0].embedding, vectors.data[2].embedding);
assert.equal(vectors.data[0].embedding.length, 64);
const plain = { model: "fake/embedding", input: WORDS, encoding_format: "float", dimensions: 16 };
assert.equal((await client.embeddings.create(plain)).data[0].embedding.length, 16);
const tokens = await client.embeddings.create({ model: "fake/embedding", input: [1, 2] }).catch((error) => error);
assert.ok(tokens instanceof OpenAI.BadRequestError);
assert.equal(tokens.param, "input");

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
const model = provider.embedding("fake/embedding");
const { embeddings, usage } = await embedMany({ model, values: [WORDS, "something else"] });
assert.deepEqual(embeddings.map((one) => one.length), [64, 64]);
assert.equal(usage.tokens, 13);
console.log("ok");
