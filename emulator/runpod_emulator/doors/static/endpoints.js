// Every endpoint: its workers and why they are in their state, its queue, what the autoscaler wants, what was printed.
import { html, useEffect, useMemo, useState } from "./html.js";
import { part } from "./api.js";
import { Delays, Depth, series } from "./charts.js";
import { count, cut, duration, shortId, visible } from "./format.js";
import { LogLines } from "./jobparts.js";
import { Empty, Problem, jobLink, useAsked } from "./parts.js";
import { world } from "./world.js";

const STATES = { idle: "good", running: "running", initializing: "cold", throttled: "late", unhealthy: "bad" };
const LINES = 60;

export function View({ parts }) {
  const { data, error } = useAsked("/overview", ["transition", "worker"]);
  const only = parts[1];
  if (!data) return html`<div class="page"><div class="inner"><${Problem} error=${error} /></div></div>`;
  const shown = data.endpoints.filter((one) => !only || one.id === only);
  return html`<div class="page" tabindex="-1"><div class="inner">
    <div class="page-head"><h2>Endpoints</h2><span class="muted">${count(data.endpoints.length, "endpoint")}, ${jobsOf(data)}</span>
      ${only ? html`<span class="grow"></span><a class="button" href="#/endpoints">All endpoints</a>` : null}</div>
    <${Problem} error=${error} />
    ${shown.length ? shown.map((one) => html`<${Endpoint} key=${one.id} one=${one} isAlone=${shown.length === 1} />`)
      : html`<div class="card"><${Empty} title="No endpoint is served"><p>Start the server with a handler, or make one with a stub.</p></${Empty}></div>`}
  </div></div>`;
}

// Rows of the timeline stay when the service has forgotten the jobs.
function jobsOf(data) {
  const gone = world.lives.size - data.counts.jobs;
  return `${count(data.counts.jobs, "job")}${gone > 0 ? ` that clients can ask for, ${gone.toLocaleString("en")} gone` : ""}`;
}

function Endpoint({ one, isAlone }) {
  const [open, setOpen] = useState(isAlone);
  const isQueue = one.queue !== null;
  return html`<section class="card" aria-label=${`Endpoint ${visible(one.id)}`}>
    <header><h3>${visible(one.id)}</h3><span class="pill">${one.kind.replaceAll("_", " ")}</span>
      <code class="muted ellipsis grow">${visible(one.handler ?? "")}</code>
      ${isQueue ? html`<a class="button" href=${`#/try/${part(one.id)}`}>Try it</a>` : null}
      <button type="button" class="button" aria-expanded=${String(open)} onClick=${() => setOpen(!open)}>${open ? "Less" : "More"}</button></header>
    <div class="body stack">
      ${one.flaw ? html`<div class="problem"><pre class="text">${visible(one.flaw.trimEnd())}</pre></div>` : null}
      <div class="endpoint-grid">
        <div class="stack"><${Workers} one=${one} /><p class="small"><b>Autoscaler</b> <span class="muted">${visible(one.scaler.words)}</span></p></div>
        <${Counts} one=${one} />
      </div>
      ${open ? html`<${Charts} id=${one.id} /><${Log} id=${one.id} />` : null}
    </div></section>`;
}

function Workers({ one }) {
  if (!one.workers.length) return html`<p class="muted">No worker: ${one.scaler.max === 0 ? "the maximum is 0" : "none is needed now"}.</p>`;
  return html`<div class="workers">${one.workers.map((worker) => html`<div class="worker" key=${worker.id}>
    <span class="muted mono">${worker.number ? `#${worker.number}` : "–"}</span>
    <span class=${`pill ${STATES[worker.state] ?? ""}`}>${worker.state}${worker.outdated ? ", old code" : ""}</span>
    <span class="small muted">${visible(worker.reason && worker.reason === one.flaw ? "could not be started, as said above" : cut(worker.reason ?? "", 400))}
      ${worker.jobs.map((id) => html` <a href=${jobLink(one.id, id)} class="mono">${visible(shortId(id))}</a>`)}</span>
    <span class="small muted number-cell">${worker.since === null ? "" : `for ${duration(Math.max(0, world.now() - worker.since))}`}</span></div>`)}</div>`;
}

function Counts({ one }) {
  if (one.queue === null) return html`<p class="muted">Requests go straight to its workers: <code>/lb/${visible(one.id)}/</code></p>`;
  const jobs = one.jobs;
  const waits = one.queue.oldestAt ? `the oldest for ${duration(world.now() - one.queue.oldestAt)}` : "nobody waits";
  const rows = [
    ["Waiting", one.queue.jobs, waits],
    ["Running", jobs.IN_PROGRESS ?? 0, `${one.scaler.min}–${one.scaler.max} workers`],
    ["Completed", jobs.COMPLETED ?? 0, "kept"],
    ["Failed", (jobs.FAILED ?? 0) + (jobs.TIMED_OUT ?? 0), "kept"],
  ];
  return html`<dl class="facts">${rows.map(([name, number, about]) => html`<div key=${name}><dt>${name}</dt>
    <dd>${number.toLocaleString("en")} <span class="small muted">${about}</span></dd></div>`)}</dl>`;
}

function Charts({ id }) {
  const [age, set] = useState(0);
  useEffect(() => {
    let timer = null;
    let next = 0;
    const look = () => {
      timer = null;
      next = performance.now() + 1000;
      set((one) => one + 1);
    };
    const leave = world.listen(["transition", "reset"], () => {
      timer ??= setTimeout(look, next - performance.now());
    });
    look(); // what has come between the first drawing and this
    return () => {
      clearTimeout(timer);
      leave();
    };
  }, []);
  const told = useMemo(() => series([...world.lives.values()].filter((life) => life.endpoint === id)), [id, age]);
  if (!told) return html`<p class="muted small">No job of it is remembered: there is nothing to draw yet.</p>`;
  return html`<div class="endpoint-grid"><${Depth} told=${told} /><${Delays} told=${told} /></div>
    ${told.colds ? html`<p class="small muted">${count(told.colds, "job")} waited for a cold start, ${duration(told.coldTime / told.colds)} on average.</p>` : null}`;
}

function Log({ id }) {
  const { data } = useAsked(`/logs?endpoint=${part(id)}&limit=${LINES}`, ["log"], [id]);
  if (!data?.lines?.length) return html`<p class="muted small">Its workers have printed nothing.</p>`;
  return html`<${LogLines} lines=${data.lines} />`;
}
