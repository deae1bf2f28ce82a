// Drives the official SDK against BASE_URL and prints what each case saw: one JSON object by name of the case.
const log = [];
console.log = (line) => log.push(line); // the SDK tells of its polls there, and it looks that name up when imported

const { default: runpodSdk } = await import("runpod-sdk");
const sdk = runpodSdk("any-key", { baseUrl: process.env.BASE_URL });

async function collect(chunks) {
  const found = [];
  for await (const chunk of chunks) found.push(chunk);
  return found;
}

async function ended(endpoint, id) {
  for (;;) {
    const job = await endpoint.status(id);
    if (job.completed) return job;
  }
}

async function running(endpoint, id) {
  for (;;) {
    const job = await endpoint.status(id);
    if (job.status === "IN_PROGRESS") return job;
  }
}

async function thrown(call) {
  try {
    return { answered: await call() };
  } catch (error) {
    return { message: error.message, status: error.response?.status, data: error.response?.data };
  }
}

const cases = {
  async run() {
    const endpoint = sdk.endpoint("echo");
    const accepted = await endpoint.run({ input: { a: 1 } });
    return { accepted, ended: await ended(endpoint, accepted.id) };
  },
  async runSync() {
    return sdk.endpoint("echo").runSync({ input: { a: 1 }, policy: { executionTimeout: 10000 } });
  },
  async runSyncPastItsWait() {
    const endpoint = sdk.endpoint("mock_worker");
    await endpoint.runSync({ input: { mock_return: "now a worker is warm" } });
    log.length = 0;
    const job = await endpoint.runSync({ input: { mock_delay: 2.5, mock_return: "late" } }, 2000);
    return { job, log: [...log] };
  },
  async runSyncGivesUp() {
    const endpoint = sdk.endpoint("mock_worker");
    const job = await endpoint.runSync({ input: { mock_delay: 600 } }, 1000);
    await endpoint.cancel(job.id);
    return job;
  },
  async runSyncOfAFailedJob() {
    return sdk.endpoint("failing").runSync({ input: { mode: "return", message: "no" } });
  },
  async stream() {
    const endpoint = sdk.endpoint("tokens");
    const { id } = await endpoint.run({ input: { text: "one two three", delay: 0.05 } });
    return { chunks: await collect(endpoint.stream(id)), ended: await ended(endpoint, id) };
  },
  async streamOfNothing() {
    const endpoint = sdk.endpoint("echo");
    const { id } = await endpoint.run({ input: { a: 1 } });
    return collect(endpoint.stream(id));
  },
  async statusSync() {
    const endpoint = sdk.endpoint("mock_worker");
    const { id } = await endpoint.run({ input: { mock_delay: 0.2, mock_return: "held" } });
    return endpoint.statusSync(id, 20000);
  },
  async cancel() {
    const endpoint = sdk.endpoint("mock_worker");
    const { id } = await endpoint.run({ input: { mock_delay: 600 } });
    const before = await running(endpoint, id);
    return { before, cancelled: await endpoint.cancel(id), after: await endpoint.status(id) };
  },
  async health() {
    return sdk.endpoint("echo").health();
  },
  async purgeQueue() {
    return sdk.endpoint(process.env.FULL_ENDPOINT).purgeQueue();
  },
  async unknownEndpoint() {
    return thrown(() => sdk.endpoint("no-such-endpoint").run({ input: { a: 1 } }));
  },
  async missingInput() {
    return thrown(() => sdk.endpoint("echo").run({}));
  },
};

const seen = {};
for (const [name, play] of Object.entries(cases)) seen[name] = await thrown(play);
process.stdout.write(JSON.stringify(seen));
