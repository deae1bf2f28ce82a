// Drives the official SDK with pauses of PAUSES seconds, in which nothing of it runs, and prints what it was answered.
const log = console.log;
console.log = () => {}; // the SDK tells of its polls there, and it looks that name up when imported

const { default: runpodSdk } = await import("runpod-sdk");
const endpoint = runpodSdk("any-key", { baseUrl: process.env.RUNPOD_ENDPOINT_BASE_URL }).endpoint("echo");
const block = (seconds) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000);

const told = [];
for (const seconds of [0, ...process.env.PAUSES.split(",").map(Number)]) {
  block(seconds);
  told.push((await endpoint.runSync({ input: { after: seconds } })).output.after);
}
log(JSON.stringify(told));
