// Calls https://api.runpod.ai as programs do that have this address written into them, and prints what each saw.
import { createRunpod } from "@runpod/ai-sdk-provider";
import { generateText, streamText } from "ai";
import axios from "axios";

const url = "https://api.runpod.ai/v2/echo/runsync";
const headers = { authorization: "Bearer any-key", "content-type": "application/json" };
const body = { input: { a: 1 } };
const model = createRunpod({ apiKey: "any-key" })("qwen/qwen3-32b-awq"); // its URL is in the provider
const asked = { model, prompt: "hello", maxRetries: 0 };

async function post(to) {
  const answer = await fetch(to, { method: "POST", headers, body: JSON.stringify(body) });
  return (await answer.json()).output;
}

const cases = {
  fetch: () => post(url),
  plainFetch: () => post(url.replace("https", "http")),
  axios: async () => (await axios.post(url, body, { headers })).data.output,
  generateText: async () => (await generateText(asked)).text,
  streamText: async () => await streamText(asked).text,
  elsewhere: async () => (await fetch("https://elsewhere.invalid/")).status,
};
const seen = {};
for (const [name, call] of Object.entries(cases)) {
  seen[name] = await call().catch((error) => `${error}`);
}
process.stdout.write(JSON.stringify(seen));
