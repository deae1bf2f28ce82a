// One job: all that is known of it, and what can be done with it.
import { html, useEffect, useRef, useState } from "./html.js";
import { admin, ask, call, part } from "./api.js";
import { duration, moment, visible } from "./format.js";
import { Evidence, Hooks, Lines, Requests, Steps, Stream } from "./jobparts.js";
import { keyOf } from "./life.js";
import { Act, Code, Copy, Problem, Status, Tabs, jobLink, save } from "./parts.js";
import { go } from "./place.js";
import { LANGUAGES } from "./repeat.js";
import { Tree } from "./tree.js";
import { Dropped, Failure, Waits, nameOf } from "./why.js";
import { world } from "./world.js";

const SOON = 200;

// The record of a job, asked again whenever it has changed, five times a second at most.
function useJob(endpoint, id) {
  const [job, set] = useState({ record: null, error: null });
  useEffect(() => {
    const gone = new AbortController();
    const key = keyOf(endpoint, id);
    let [known, timer] = [-1, null];
    async function load() {
      timer = null;
      known = world.lives.get(key)?.moments.length ?? -1;
      try {
        set({ record: await admin(`/timeline/${part(id)}`, { signal: gone.signal }), error: null });
      } catch (error) {
        if (!gone.signal.aborted) set((before) => ({ ...before, error }));
      }
    }
    const ends = world.listen(["transition", "reset", "connection"], () => {
      if (timer === null && (world.lives.get(key)?.moments.length ?? -1) !== known) timer = setTimeout(load, SOON);
    });
    load();
    return () => {
      gone.abort();
      clearTimeout(timer);
      ends();
    };
  }, [endpoint, id]);
  return job;
}

export function Job({ endpoint, id, close }) {
  const { record, error } = useJob(endpoint, id);
  const [failed, setFailed] = useState(null);
  const panel = useRef(null);
  return html`<section class="job" ref=${panel} aria-label=${`Job ${id}`}>
    <header>
      <div class="title">${record ? html`<${Status} status=${record.status} />` : null}
        <h2 class="ellipsis">${visible(endpoint)} <span class="mono muted">${visible(id)}</span></h2><span class="grow"></span>
        <${Copy} text=${id} label="Copy id" quiet=${true} />
        <button type="button" class="button quiet icon" aria-label="Close the job" title="Esc" onClick=${close}>✕</button></div>
      ${record ? html`<${Actions} job=${record} failed=${setFailed} />` : null}
      <${Problem} error=${failed ?? error} />
    </header>
    ${record ? html`<${Sections} job=${record} />` : null}
  </section>`;
}

async function verb(job, name) {
  const answer = await call(`${part(job.endpoint)}/${name}/${part(job.id)}`);
  if (!answer.ok) throw new Error(`${answer.status}: ${(await answer.text()).slice(0, 500)}`);
}

function Actions({ job, failed }) {
  const isOpen = job.status === "IN_QUEUE" || job.status === "IN_PROGRESS";
  const isLost = job.status === "FAILED" || job.status === "TIMED_OUT";
  async function again() {
    const { id } = await admin(`/timeline/${part(job.id)}/again`, { method: "POST" });
    go(jobLink(job.endpoint, id).slice(1));
  }
  async function download(format) {
    const answer = await ask(`/jobs/${part(job.id)}/trace?format=${format}`);
    save(`${job.endpoint}-${job.id}${format === "chrome" ? ".trace" : ""}.json`, await answer.text());
  }
  return html`<div class="row">
    <${Act} class="main" act=${again} failed=${failed} disabled=${job.input === undefined} title="A new job with the same input">Run again</${Act}>
    ${isLost ? html`<${Act} act=${() => verb(job, "retry")} failed=${failed} title="The same job once more, as /retry">Retry</${Act}>` : null}
    ${isOpen ? html`<${Act} class="danger" act=${() => verb(job, "cancel")} failed=${failed}>Cancel</${Act}>` : null}
    <span class="grow"></span>
    <${Act} act=${() => download("json")} failed=${failed} title="The whole life of the job">JSON</${Act}>
    <${Act} act=${() => download("chrome")} failed=${failed} title="A trace for ui.perfetto.dev">Trace</${Act}>
  </div>`;
}

// A worker by its number, which the log has, and its id.
function workerOf(job, worker) {
  const name = worker ? nameOf(job, worker) : "–";
  return name.startsWith("#") ? `${name} ${worker}` : name;
}

function Facts({ job }) {
  const life = world.lives.get(keyOf(job.endpoint, job.id));
  const lengths = life?.lengths(world.now()) ?? { queued: null, worked: null };
  const rows = [
    ["Submitted", moment(job.submittedAt).split(" ")[1]],
    ["In the queue", duration(lengths.queued)],
    ["Work", life?.spans.some((span) => span.kind !== "queued") ? duration(lengths.worked) : "–"],
    ["Worker", workerOf(job, job.worker ?? life?.worker)],
    ...(job.executionTimeout ? [["May take", duration(job.executionTimeout)]] : []),
    ...(job.retries ? [["Retries", job.retries]] : []),
    ...(job.keptUntil ? [["Kept until", moment(job.keptUntil).split(" ")[1].slice(0, 8)]] : []),
  ];
  return html`<dl class="facts">${rows.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd class=${name === "Worker" ? "name" : ""}>${visible(value ?? "–")}</dd></div>`)}</dl>`;
}

function Value({ title, value }) {
  const text = () => JSON.stringify(value, null, 2);
  return html`<section class="card"><header><h3>${title}</h3><span class="grow"></span><${Copy} text=${text} quiet=${true} /></header>
    <div class="body"><${Tree} value=${value} label=${title} /></div></section>`;
}

function Repeat({ job }) {
  const [language, choose] = useState("curl");
  return html`<section class="card"><header><h3>Repeat it</h3>
    <${Tabs} names=${Object.keys(LANGUAGES)} chosen=${language} choose=${choose} label="Language" /></header>
    <div class="body"><${Code} text=${LANGUAGES[language](job, `${location.origin}/v2`)} /></div></section>`;
}

function Sections({ job }) {
  const isKnown = job.input !== undefined;
  const isGone = job.status === "GONE";
  return html`<div class="sections" tabindex="0" role="region" aria-label="About the job">
    ${isGone ? html`<p class="muted">${isKnown ? "Clients are told 404: the service forgets a job when its time is over. This is what its record said at last."
      : "The record is gone: what is left is what happened."}</p>` : null}
    ${isKnown ? html`<${Facts} job=${job} />` : null}
    ${job.error ? html`<${Failure} job=${job} />` : null}
    ${job.endedAt && !job.error && job.output === null ? html`<${Dropped} job=${job} />` : null}
    ${job.status === "IN_QUEUE" ? html`<${Waits} job=${job} />` : null}
    <${Stream} job=${job} />
    ${isKnown && job.output !== null && job.status !== "IN_PROGRESS" ? html`<${Value} title="Output" value=${job.output} />` : null}
    ${isKnown ? html`<${Value} title="Input" value=${job.input} />` : null}
    <${Steps} job=${job} />
    <${Lines} job=${job} />
    <${Hooks} job=${job} />
    <${Requests} job=${job} />
    ${isGone ? null : html`<${Evidence} job=${job} />`}
    ${isKnown ? html`<${Repeat} job=${job} />` : null}
  </div>`;
}
