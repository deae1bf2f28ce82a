// The parts of one job that say what happened to it: its failure, stream, changes, lines, webhook calls and requests.
import { html, useEffect, useState } from "./html.js";
import { admin, part } from "./api.js";
import { clock, count, cut, duration, visible } from "./format.js";
import { At, useAsked } from "./parts.js";
import { Tree } from "./tree.js";
import { nameOf } from "./why.js";
import { world } from "./world.js";

const MOST_CHUNKS = 2_000;
const MOST_LINES = 500;

// What the job has said so far. Looking takes nothing from the client that reads the stream.
export function Stream({ job }) {
  const [pieces, setPieces] = useState([]);
  const changes = job.transitions.length;
  useEffect(() => {
    let gone = false;
    admin(`/timeline/${part(job.id)}/pieces?offset=${pieces.length}`)
      .then((told) => !gone && told.pieces.length && setPieces((before) => [...before, ...told.pieces].slice(-MOST_CHUNKS)))
      .catch(() => {});
    return () => {
      gone = true;
    };
  }, [job.id, changes]);
  const chunks = pieces.filter((one) => one.kind === "chunk");
  const progress = pieces.filter((one) => one.kind === "progress");
  return html`
    ${progress.length ? html`<section class="card"><header><h3>Progress</h3><span class="pill">${count(progress.length, "update")}</span></header>
      <div class="body"><ol class="steps">${progress.slice(-50).map((one) => html`<li><${At} at=${one.at} />
        <span class="since">+${duration(one.at - job.submittedAt)}</span><span class="knot IN_PROGRESS"></span><code>${visible(cut(textOf(one.output), 300))}</code></li>`)}</ol>
        ${job.status === "IN_PROGRESS" && textOf(job.output).length > 300 ? html`<${Tree} value=${job.output} label="Latest progress" />` : null}</div></section>` : null}
    ${chunks.length ? html`<section class="card"><header><h3>Stream</h3><span class="pill">${count(chunks.length, "chunk")}</span></header>
      <div class="body">${chunks.every((one) => typeof one.output === "string")
        ? html`<div class="chunks" tabindex="0" role="log" aria-label="Stream">${visible(chunks.map((one) => one.output).join(""))}</div>`
        : html`<${Tree} value=${chunks.map((one) => one.output)} label="Stream" />`}</div></section>` : null}`;
}

const textOf = (value) => (typeof value === "string" ? value : JSON.stringify(value));

const ending = (job, taken) => job.workers?.[taken?.worker]?.gone ?? "nobody knows why";

const CAUSES = {
  Submitted: () => "a client handed it in",
  Released: () => "a stub or fault that held it has let it go",
  Taken: (one, before, taken, job) => html`worker <b>${visible(nameOf(job, one.worker))}</b> took it after ${duration(one.at - before.at)}`,
  Returned: () => "it could not be handed over: back to the head of the queue",
  Requeued: (one, before, taken, job) => `its worker was lost: ${visible(ending(job, taken))}. Back to the head of the queue`,
  Completed: (one, before, taken) => (taken ? `the handler returned after ${duration(one.at - taken.at)}` : "without a worker"),
  Failed: (one, before, taken, job) => (taken ? `after ${duration(one.at - taken.at)} of work${job.error ? "; the error says why" : ""}` : "before a worker had it"),
  Cancelled: (one, before) => (before?.status === "IN_PROGRESS" ? "somebody cancelled it; its worker was told to stop" : "somebody cancelled it in the queue"),
  TimedOut: () => "a deadline has passed",
  Retried: () => "a client asked for another run",
  Shortened: () => "a client asked with ?ttl=: its result is kept for less long",
  Forgotten: (one, before) => (before?.status === "IN_QUEUE" ? "purged, or its ttl was over" : before?.status === "IN_PROGRESS" ? "its ttl was over" : "its result was kept long enough"),
  Emitted: (one) => `${count(one.times, "report")} of chunks`,
  Progressed: (one) => count(one.times, "progress update"),
};

// Changes of one kind that follow each other are one step.
function folded(transitions) {
  const steps = [];
  for (const one of transitions.filter((change) => change.event !== "Renewed")) {
    const last = steps.at(-1);
    if (last?.event === one.event && (one.event === "Emitted" || one.event === "Progressed")) last.times += 1;
    else steps.push({ ...one, times: 1 });
  }
  return steps;
}

export function Steps({ job }) {
  const steps = folded(job.transitions);
  const [first] = steps;
  let taken = null;
  return html`<section class="card"><header><h3>What happened</h3></header><div class="body"><ol class="steps">
    ${steps.map((one, index) => {
      const why = CAUSES[one.event]?.(one, steps[index - 1], taken, job) ?? "";
      if (one.event === "Taken") taken = one;
      return html`<li key=${index}><${At} at=${one.at} /><span class="since">+${duration(one.at - first.at)}</span>
        <span class=${`knot ${one.status}`} aria-hidden="true"></span><span><b>${one.event}</b> <span class="muted">${why}</span></span></li>`;
    })}</ol></div></section>`;
}

export function LogLines({ lines, withEndpoint }) {
  return html`<div class="log" tabindex="0" role="log" aria-label="Log lines">${lines.map((one) => html`<div class=${one.level}>
    <span class="at">${clock(one.at)}</span><span class="who">${withEndpoint ? `${visible(one.endpoint)}#` : "#"}${one.number ?? "?"}</span>
    <span class="text">${visible(one.text)}</span></div>`)}</div>`;
}

export function Lines({ job }) {
  const { data } = useAsked(`/logs?job=${part(job.id)}&limit=${MOST_LINES}`, ["log"], [job.id]);
  if (!data?.lines?.length) return null;
  return html`<section class="card"><header><h3>Log</h3><span class="pill">${count(data.total, "line")}</span></header>
    <div class="body"><${LogLines} lines=${data.lines} /></div></section>`;
}

export function Hooks({ job }) {
  const { data } = useAsked(job.webhook ? `/webhooks?job=${part(job.id)}` : null, ["webhook"], [job.id]);
  if (!job.webhook) return null;
  const calls = data?.webhooks ?? [];
  return html`<section class="card"><header><h3>Webhook</h3><code class="ellipsis">${visible(cut(job.webhook, 200))}</code></header>
    <div class="body stack">${calls.length ? calls.map((one) => html`<${HookCall} call=${one} />`)
      : html`<p class="muted">Not called yet.</p>`}</div></section>`;
}

export function HookCall({ call }) {
  const [open, setOpen] = useState(false);
  return html`<div class="stack"><div class="row"><${At} at=${call.at} /><span>attempt ${call.attempt}</span>
    ${call.acknowledged ? html`<span class="pill good">acknowledged</span>` : html`<span class="pill bad">${visible(call.problem ?? "refused")}</span>`}
    <button type="button" class="button quiet" aria-expanded=${String(open)} onClick=${() => setOpen(!open)}>${open ? "Hide body" : "Body"}</button></div>
    ${open ? html`<${Tree} value=${call.body} label="Body of the webhook call" />` : null}</div>`;
}

export function Requests({ job }) {
  const [requests, set] = useState(null);
  const changes = job.transitions.length;
  useEffect(() => {
    let gone = false;
    const load = () => admin("/requests/find", { method: "POST", body: { job: job.id } })
      .then((told) => !gone && set(told.requests)).catch(() => {});
    load();
    const ends = world.listen(["request"], load);
    return () => {
      gone = true;
      ends();
    };
  }, [job.id, changes]);
  if (!requests?.length) return null;
  return html`<section class="card"><header><h3>Requests</h3><span class="pill">${requests.length}</span></header><div class="wide" tabindex="0" role="region" aria-label="Requests about the job"><table>
    <thead><tr><th>Time</th><th>Request</th><th>Answer</th><th class="number-cell">Took</th></tr></thead>
    <tbody>${requests.slice(-100).map((one) => html`<tr key=${one.number}><td><${At} at=${one.at} /></td>
      <td><code>${one.method} ${visible(one.path)}${one.query ? `?${visible(one.query)}` : ""}</code></td>
      <td><${Answered} one=${one} /></td><td class="number-cell">${one.took === undefined ? "" : duration(one.took)}</td></tr>`)}</tbody></table></div></section>`;
}

export function Answered({ one }) {
  const kind = one.status === 0 || one.status >= 500 ? "bad" : one.status >= 400 ? "late" : "good";
  return html`<span class=${`pill ${kind}`}>${one.status || "reset"}</span>
    ${one.fault ? html` <span class="pill bad">fault ${visible(one.fault)}</span>` : null}
    ${one.stub ? html` <span class="pill">stub ${visible(one.stub)}</span>` : null}
    ${one.why ? html` <span class="small muted">${visible(one.why)}</span>` : null}`;
}

let ledger = null;

export function Evidence({ job }) {
  const [rows, set] = useState(ledger);
  useEffect(() => {
    if (!ledger) admin("/timeline/fidelity").then((told) => set((ledger = told))).catch(() => {});
  }, []);
  const row = `status.${job.status.toLowerCase()}`;
  const known = rows?.[row];
  if (!known) return null;
  return html`<section class="card"><header><h3>How well this answer is known</h3><span class="pill">${known.evidence}</span></header>
    <div class="body"><code>${row}</code> <span class="muted">${known.text}</span></div></section>`;
}
