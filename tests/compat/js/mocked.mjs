// Drives the official SDK against stubs and faults, and prints what each case saw: one JSON object by name of the case.
const log = console.log;
console.log = () => {}; // the SDK tells of its polls there, and it looks that name up when imported

const { default: runpodSdk } = await import("runpod-sdk");
const input = { prompt: "hello" };
const endpointAt = (baseUrl, id) => runpodSdk("any-key", { baseUrl }).endpoint(id);
const at = (id) => endpointAt(process.env.BASE_URL, id);

async function advance(seconds) {
  const url = process.env.BASE_URL.replace(/v2$/, "__emulator/clock/advance");
  const headers = { "content-type": "application/json" };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify({ by: `${seconds * 1000}ms` }) });
  if (!answer.ok) throw new Error(await answer.text());
}

async function thrown(call) {
  try {
    return { answered: await call() };
  } catch (error) {
    const { status, data, headers } = error.response ?? {};
    return { message: error.message, status, data, retryAfter: headers?.get("retry-after") };
  }
}

async function started(endpoint) {
  const { id } = await endpoint.run({ input });
  await advance(0);
  return id;
}

// What /status says at first and after each of these times.
async function states(id, ...times) {
  const endpoint = at(id);
  const job = await started(endpoint);
  const seen = [await endpoint.status(job)];
  for (const seconds of times) {
    await advance(seconds);
    seen.push(await endpoint.status(job));
  }
  return seen;
}

// A run and a status that meet the fault of an endpoint, and then the job as it is.
async function met(id) {
  const endpoint = at(id);
  const run = await thrown(() => endpoint.run({ input }));
  const job = await started(endpoint);
  return { run, status: await thrown(() => endpoint.status(job)), after: await endpoint.status(job) };
}

async function flaky(baseUrl) {
  const seen = [];
  for (let number = 1; number <= 60; number++) {
    const seenOne = await thrown(() => endpointAt(baseUrl, "llm").runSync({ input: { number } }));
    seen.push(seenOne.answered ? seenOne.answered.output : seenOne.message);
  }
  return seen;
}

const cases = {
  output: () => at("output").runSync({ input }),
  delayed: () => states("delayed", 10, 30),
  polls: () => states("polls", 0, 0, 0),
  progress: () => states("progress", 1, 1),
  error: () => at("error").runSync({ input }),
  crash: () => at("crash").runSync({ input }),
  timeout: () => states("timeout", 30),
  sequence: async () => [await at("sequence").runSync({ input }), await at("sequence").runSync({ input })],
  crashThenOutput: () => at("crash-then-output").runSync({ input }),
  unmatched: () => at("unmatched").runSync({ input }),
  async stream() {
    const endpoint = at("stream");
    const id = await started(endpoint);
    const chunks = [];
    for await (const chunk of endpoint.stream(id)) chunks.push(chunk);
    return chunks;
  },
  async never() {
    const endpoint = at("never");
    const id = await started(endpoint);
    await advance(500);
    return [await endpoint.status(id), await endpoint.cancel(id), await endpoint.status(id)];
  },
  busy: () => met("busy"),
  unauthorized: () => met("unauthorized"),
  broken: () => met("broken"),
  gateway: () => met("gateway"),
  reset: () => met("reset"),
  half: () => met("half"),
  async unknownYet() {
    const endpoint = at("unknown-yet");
    const id = await started(endpoint);
    const early = await thrown(() => endpoint.status(id));
    await advance(2);
    return { early, late: await endpoint.status(id) };
  },
  async goneEarly() {
    const endpoint = at("gone-early");
    const id = await started(endpoint);
    const there = await endpoint.status(id);
    await advance(5);
    return { there, gone: await thrown(() => endpoint.status(id)) };
  },
  async slow() {
    const endpoint = at("slow");
    const id = await started(endpoint);
    return { cancel: await thrown(() => endpoint.cancel(id, 100)), after: await endpoint.status(id) };
  },
  workerCrash: () => states("worker-crash", 10, 5),
  flaky: () => flaky(process.env.FLAKY_URL),
  flakyAgain: () => flaky(process.env.FLAKY_AGAIN_URL),
};

const seen = {};
for (const [name, play] of Object.entries(cases)) seen[name] = await thrown(play);
log(JSON.stringify(seen));
