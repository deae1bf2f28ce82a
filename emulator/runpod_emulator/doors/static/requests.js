// What clients sent: each request with its answer, and the jobs that no stub took.
import { html, useState } from "./html.js";
import { admin, part } from "./api.js";
import { cut, duration, shortId, visible } from "./format.js";
import { Answered } from "./jobparts.js";
import { Act, At, Empty, Problem, jobLink, useAsked } from "./parts.js";
import { go } from "./place.js";
import { Tree } from "./tree.js";

const PAGE = 100;

export function View() {
  const [filter, setFilter] = useState({ text: "", refused: false });
  const [pages, setPages] = useState(1);
  const { data, error } = useAsked(`/requests?limit=${PAGE * pages}`, ["request"]);
  const words = filter.text.toLowerCase();
  const fits = (one) => (!filter.refused || one.status === 0 || one.status >= 400)
    && `${one.method} ${one.path} ${one.status} ${one.job ?? ""} ${one.why ?? ""}`.toLowerCase().includes(words);
  const shown = (data?.requests ?? []).filter(fits).reverse();
  return html`<div class="page" tabindex="-1"><div class="inner">
    <div class="page-head"><h2>Requests</h2><span class="muted">${(data?.total ?? 0).toLocaleString("en")} remembered</span><span class="grow"></span>
      <input id="filter" type="search" placeholder="Filter   /" aria-label="Filter requests" value=${filter.text} onInput=${(event) => setFilter({ ...filter, text: event.target.value })} />
      <label class="switch"><input type="checkbox" checked=${filter.refused} onChange=${(event) => setFilter({ ...filter, refused: event.target.checked })} /> refused only</label></div>
    <${Problem} error=${error} />
    <${Misses} />
    <section class="card wide" tabindex="0" role="region" aria-label="Requests">${shown.length ? html`<table class="stacks">
      <thead><tr><th>Time</th><th>Request</th><th>Answer</th><th class="number-cell">Took</th><th>Job</th><th><span class="hidden-text">Details</span></th></tr></thead>
      <tbody>${shown.map((one) => html`<${Row} key=${one.number} one=${one} />`)}</tbody></table>`
      : html`<${Empty} title=${data?.total ? "No request fits the filter" : "No client has asked anything yet"}><p>Requests to the queue API, to workers' routes and to load-balancing endpoints are listed here.</p></${Empty}>`}</section>
    ${data && data.total > PAGE * pages ? html`<div><button type="button" class="button" onClick=${() => setPages(pages * 2)}>Earlier ones</button></div>` : null}
  </div></div>`;
}

function Row({ one }) {
  const [open, setOpen] = useState(false);
  return html`<tr><td><${At} at=${one.at} /></td>
    <td><code>${one.method} ${visible(one.path)}${one.query ? `?${visible(cut(one.query, 120))}` : ""}</code></td>
    <td><${Answered} one=${one} /></td><td class="number-cell">${duration(one.took)}</td>
    <td>${one.job ? html`<a class="mono" href=${jobLink(one.endpoint, one.job)}>${visible(shortId(one.job))}</a>` : null}</td>
    <td><button type="button" class="button quiet" aria-expanded=${String(open)} aria-label=${`Details of request ${one.number}`} onClick=${() => setOpen(!open)}>${open ? "▾" : "▸"}</button></td></tr>
    ${open ? html`<tr><td colspan="6"><${Details} one=${one} /></td></tr>` : null}`;
}

function Details({ one }) {
  const [error, setError] = useState(null);
  const canStub = one.body?.input !== undefined && (one.operation === "run" || one.operation === "runsync");
  async function stub() {
    const respond = await answerOf(one);
    const { ids } = await admin("/stubs", { method: "POST", body: { endpoint: one.endpoint, match: { input: one.body.input }, respond } });
    go(`/mocks/${part(ids[0])}`);
  }
  return html`<div class="stack">
    ${canStub ? html`<div class="row"><${Act} act=${stub} failed=${setError} title="A stub that takes such jobs, and answers as this one was answered">Make a stub of it</${Act}></div>` : null}
    <${Problem} error=${error} />
    ${one.bodyCut ? html`<p class="muted small">The body is not here: ${visible(one.bodyCut.reason)}</p>` : null}
    ${one.body !== null ? html`<div><h4>Body</h4><${Tree} value=${one.body} label="Body" /></div>` : null}
    <div><h4>Headers</h4><${Tree} value=${one.headers} label="Headers" /></div></div>`;
}

// What a stub should answer: what the job of this request came to, if it has ended.
async function answerOf(one) {
  const job = one.job ? await admin(`/timeline/${part(one.job)}`).catch(() => null) : null;
  if (job?.status === "FAILED") return { error: job.error };
  return { output: job?.status === "COMPLETED" ? job.output : "stubbed" };
}

function Misses() {
  const { data } = useAsked("/timeline/misses", ["transition"]);
  if (!data?.length) return null;
  return html`<section class="card"><header><h3>Near misses</h3><span class="muted small">jobs that no stub took, and what the nearest stub expected</span></header>
    <div class="body stack">${data.slice(-10).reverse().map((one) => html`<p class="near"><b>${visible(one.endpoint)}</b> ${visible(cut(one.why, 1500))}</p>`)}</div></section>`;
}
