// What the JavaScript clients see of a model that is none. Prints JSON by case.

import { createRunpod } from "@runpod/ai-sdk-provider";
import { generateText, stepCountIs, streamText, tool } from "ai";
import OpenAI from "openai";
import { z } from "zod";

const { BASE_URL, STRICT_URL } = process.env;
const apiKey = "any-key";
const model = "acme/any-model";
const messages = [{ role: "user", content: "hello" }];
const client = new OpenAI({ baseURL: BASE_URL, apiKey });
const runpod = createRunpod({ baseURL: BASE_URL, apiKey });

const cases = {
  async openai() {
    const whole = await client.chat.completions.create({ model, messages });
    let streamed = "";
    for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
      streamed += chunk.choices[0].delta.content ?? "";
    }
    const vector = await client.embeddings.create({ model, input: "hello" });
    const response = await client.responses.create({ model, input: "hello" });
    return {
      text: whole.choices[0].message.content, streamed, vector: vector.data[0].embedding.length,
      response: response.output_text.length > 0,
    };
  },

  async refusal() {
    const strict = new OpenAI({ baseURL: STRICT_URL, apiKey });
    const error = await strict.chat.completions.create({ model, messages: [] }).catch((error) => error);
    return { status: error.status, param: error.param };
  },

  async aiSdk() {
    const whole = await generateText({ model: runpod(model), prompt: "hello" });
    const stream = streamText({ model: runpod(model), prompt: "hello" });
    let streamed = "";
    for await (const part of stream.textStream) streamed += part;
    return { text: whole.text, streamed, tokens: whole.usage.outputTokens, finish: await stream.finishReason };
  },

  async aiSdkTools() {
    const asked = [];
    const weather = tool({
      description: "The weather in a city",
      inputSchema: z.object({ city: z.string() }),
      execute: async ({ city }) => asked.push(city) && "rain",
    });
    const done = await generateText({
      model: runpod(model), tools: { weather }, prompt: "how is the weather?", stopWhen: stepCountIs(4),
    });
    return { calls: asked.length, steps: done.steps.length, text: done.text.length > 0 };
  },
};

const seen = {};
for (const [name, run] of Object.entries(cases)) {
  try {
    seen[name] = { answered: await run() };
  } catch (error) {
    seen[name] = { raised: `${error.stack}` };
  }
}
console.log(JSON.stringify(seen));
