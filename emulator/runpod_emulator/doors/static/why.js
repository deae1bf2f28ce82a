// Why a job waits, or has failed: what happened in the words of the server, and what one can do about it.
import { html, useEffect, useState } from "./html.js";
import { part } from "./api.js";
import { cut, duration, visible } from "./format.js";
import { Problem, useAsked } from "./parts.js";
import { world } from "./world.js";

const SOON = 700;
const LONGEST = 4000;
const SIGNALS = {
  SIGKILL: "Nothing in it could say why. The system does this to a process that takes too much memory: look for “Out of memory” in dmesg, or in the events of its container.",
  SIGSEGV: "Native code broke: a driver, or a library of the wrong version. PYTHONFAULTHANDLER=1 in its environment prints where.",
  SIGABRT: "A library has given up: its last lines in the log say why.",
  SIGINT: "Somebody pressed Ctrl-C, or it interrupted itself.",
};

// A handler's exception comes as JSON with its kind, its text and its traceback.
function raisedBy(job) {
  try {
    return JSON.parse(job.error) ?? {};
  } catch {
    return {};
  }
}

export function Failure({ job }) {
  const raised = raisedBy(job);
  const kind = raised.error_type ? String(raised.error_type).replace(/^<class '(.*)'>$/, "$1") : "";
  const trace = raised.error_traceback ? String(raised.error_traceback).trimEnd() : "";
  const advice = adviceOn(job, kind);
  return html`<section class="card error-card" aria-label="Why it failed"><header><h3>${endOf(job) === "TIMED_OUT" ? "Why it timed out" : "Why it failed"}</h3>
    ${kind ? html`<code>${visible(kind)}</code>` : null}</header>
    <div class="body stack"><div class="message">${visible(cut(String(raised.error_message ?? job.error), LONGEST))}</div>
    ${advice.map((one) => html`<p class="advice">${one}</p>`)}
    ${trace ? html`<div class="code"><pre tabindex="0">${visible(trace)}</pre></div>` : null}</div></section>`;
}

// What the job had come to, also when it is gone since.
const endOf = (job) => job.transitions.filter((one) => one.status !== "GONE").at(-1)?.status ?? job.status;

export const nameOf = (job, worker) => (job.workers?.[worker]?.number ? `#${job.workers[worker].number}` : worker ?? "?");

// The workers that were lost with the job, oldest first: who had it before it went back into the queue, or failed for that.
function lost(job) {
  const found = [];
  let holder = null;
  for (const one of job.transitions) {
    if (one.event === "Taken") holder = one.worker;
    else if (one.event === "Requeued" || (one.status === "FAILED" && isLost(job))) found.push(holder);
  }
  return found.filter((worker) => worker !== null);
}

const isLost = (job) => /^job timed out after \d+ retries$/.test(job.error ?? "");

function adviceOn(job, kind) {
  const error = job.error ?? "";
  if (isLost(job)) return adviceOnLost(job);
  if (error === "executionTimeout exceeded" || error === "job timed out") return adviceOnTimeout(job);
  if (job.missing) return [visible(sentence(job.missing))];
  if (error.startsWith("no stub matches")) {
    return [html`This endpoint has no handler, only stubs. <a href="#/requests">Near misses</a> say what the nearest one expected; <a href="#/mocks">write another</a>.`];
  }
  if (error.includes("is not JSON")) return ["A result is made of texts, numbers, lists and objects. Bytes and images go as base64; arrays and tensors as .tolist()."];
  if (kind === "MemoryError" || /out of memory/i.test(error)) {
    return ["The handler itself ran out of memory. The worker goes on; a smaller batch or image, or a machine with more memory, helps."];
  }
  if (!kind && job.worker) return [html`No exception: the handler returned <code>{"error": …}</code>, or a stub did, and RunPod takes that for a failure.`];
  return [];
}

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

function adviceOnLost(job) {
  const workers = lost(job);
  const ends = workers.map((worker) => [nameOf(job, worker), job.workers?.[worker]?.gone ?? "it was lost"]);
  const signal = Object.keys(SIGNALS).find((name) => ends.some(([, how]) => how.includes(name)));
  return [
    html`${ends.map(([name, how], index) => html`${index ? ", then worker" : "Worker"} <b>${visible(name)}</b> had it and ${visible(how.replace(/^it /, ""))}`)}.${" "}
      RunPod tries such a job once more; then clients are told no more than the text above.`,
    ...(signal ? [SIGNALS[signal]] : []),
    ...(ends.some(([, how]) => how.includes("exited")) ? ["The program ended itself: look for sys.exit, os._exit, or a library that does so."] : []),
  ];
}

function adviceOnTimeout(job) {
  const taken = job.transitions.filter((one) => one.event === "Taken").at(-1);
  if (!taken) return ["It waited for longer than its ttl allows: no worker had time for it."];
  return [html`It ran for ${duration(job.executionTimeout)}, as long as it may, and its worker was stopped. The last lines of the log say how far it came.
    A job may take longer with <code>"policy": {"executionTimeout": ms}</code>, all of them with <code>--execution-timeout</code>.`];
}

// Why a job that has ended well has no output: its worker's log says so where RunPod would have dropped it.
export function Dropped({ job }) {
  const { data } = useAsked(`/logs?job=${part(job.id)}`, ["log"], [job.id]);
  const told = data?.lines?.findLast((one) => one.level === "warning" && one.text.startsWith("the result is above "));
  return told ? html`<section class="card error-card" aria-label="Why there is no output"><header><h3>Why there is no output</h3></header>
    <div class="body"><p>${visible(sentence(told.text))}</p></div></section>` : null;
}

// Why nobody has taken a job that waits; not for one that is taken in a moment.
export function Waits({ job }) {
  const [is, set] = useState(world.now() - job.submittedAt > SOON);
  useEffect(() => {
    const timer = setTimeout(() => set(true), SOON);
    return () => clearTimeout(timer);
  }, []);
  return is ? html`<${Reasons} job=${job} />` : null;
}

function Reasons({ job }) {
  const { data, error } = useAsked("/overview", ["transition", "worker"]);
  const served = data?.endpoints.find((one) => one.id === job.endpoint);
  if (!served) return html`<section class="card waits" aria-label="Why it waits"><header><h3>Why it waits</h3></header><div class="body"><${Problem} error=${error} /></div></section>`;
  const ill = served.workers.filter((one) => one.state === "unhealthy");
  const others = served.workers.filter((one) => one.state !== "unhealthy");
  return html`<section class=${`card waits ${served.flaw ? "error-card" : ""}`} aria-label="Why it waits"><header><h3>Why it waits</h3></header><div class="body stack">
    ${served.flaw ? html`<div class="message">No worker can start.</div><div class="code"><pre class="wraps" tabindex="0">${visible(served.flaw.trimEnd())}</pre></div>
      <p class="advice">Mend the file and save it: <code>runpod-emulator dev</code> starts it again at once, and the job goes on. With <code>serve</code>, start the server again.</p>` : null}
    ${job.held ? html`<p>A stub or fault holds it back for now.</p>` : null}
    ${others.map((one) => html`<p>Worker <b>#${one.number}</b> is ${one.state}${one.reason ? `: ${visible(one.reason)}` : ""}</p>`)}
    ${!served.flaw ? ill.map((one) => html`<p>Worker <b>#${one.number}</b> is unhealthy: ${visible(cut(one.reason ?? "", LONGEST))}</p>`) : null}
    <p class="muted">Autoscaler: ${visible(served.scaler.words)}. ${served.queue?.jobs > 1 ? `${served.queue.jobs.toLocaleString("en")} jobs wait here. ` : ""}<a href=${`#/endpoints/${part(served.id)}`}>The endpoint</a></p>
  </div></section>`;
}
