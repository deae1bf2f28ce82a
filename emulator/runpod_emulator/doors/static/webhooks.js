// Webhook calls that were made, and what the built-in receiver has got.
import { html, useState } from "./html.js";
import { admin, part } from "./api.js";
import { count, cut, shortId, visible } from "./format.js";
import { Act, At, Code, Empty, Problem, jobLink, useAsked } from "./parts.js";
import { Tree } from "./tree.js";

const MOST = 200;

export function View() {
  return html`<div class="page" tabindex="-1"><div class="inner"><div class="page-head"><h2>Webhooks</h2></div><${Calls} /><${Receiver} /></div></div>`;
}

function Calls() {
  const { data, error } = useAsked("/webhooks", ["webhook"]);
  const [failed, setFailed] = useState(null);
  const last = new Map((data?.webhooks ?? []).map((one) => [one.job, one]));
  const calls = (data?.webhooks ?? []).slice(-MOST).reverse().map((one) => ({ ...one, isLast: last.get(one.job) === one }));
  return html`<section class="card"><header><h3>Calls</h3><span class="pill">${calls.length}</span></header>
    <${Problem} error=${failed ?? error} />
    <div class="wide" tabindex="0" role="region" aria-label="Webhook calls">${calls.length ? html`<table>
      <thead><tr><th>Time</th><th>Job</th><th>URL</th><th>Attempt</th><th>Result</th><th><span class="hidden-text">Actions</span></th></tr></thead>
      <tbody>${calls.map((one, index) => html`<${Call} key=${`${one.job} ${one.attempt} ${one.at}`} one=${one} failed=${setFailed} />`)}</tbody></table>`
      : html`<${Empty} title="No webhook was called yet"><p>A job with <code>"webhook"</code> has it called when it ends. The built-in receiver takes calls at${" "}
        <code>${location.origin}/__emulator/hooks/-/NAME</code>.</p></${Empty}>`}</div></section>`;
}

function Call({ one, failed }) {
  const [open, setOpen] = useState(false);
  const resend = () => admin(`/timeline/${part(one.job)}/resend`, { method: "POST" });
  return html`<tr><td><${At} at=${one.at} /></td><td><a href=${jobLink(one.endpoint, one.job)}>${visible(one.endpoint)} <span class="mono">${visible(shortId(one.job))}</span></a></td>
    <td><code>${visible(cut(one.url, 100))}</code></td><td>${one.attempt}</td>
    <td>${one.acknowledged ? html`<span class="pill good">acknowledged</span>` : html`<span class="pill bad">${visible(cut(one.problem ?? "", 300))}</span>`}
      ${one.isLast && one.status === "OWED" ? html` <span class="small muted">tried again later</span>` : null}</td>
    <td><div class="row"><button type="button" class="button quiet" aria-expanded=${String(open)} onClick=${() => setOpen(!open)}>${open ? "Hide" : "Body"}</button>
      <${Act} act=${resend} failed=${failed}>Send again</${Act}></div></td></tr>
    ${open ? html`<tr><td colspan="6"><${Tree} value=${one.body} label="Body" /></td></tr>` : null}`;
}

function Receiver() {
  const { data, error, again } = useAsked("/hooks", ["webhook"]);
  const [failed, setFailed] = useState(null);
  const [status, setStatus] = useState(500);
  const [said, say] = useState("");
  const calls = (data ?? []).slice(-MOST).reverse();
  const prepare = async () => {
    await admin("/hooks/answers", { method: "POST", body: { status } });
    say(`The next call is answered ${status}.`);
  };
  const clear = async () => {
    await admin("/hooks", { method: "DELETE" });
    again();
  };
  return html`<section class="card"><header><h3>Built-in receiver</h3><span class="pill">${count(calls.length, "call")}</span><span class="grow"></span>
      <label class="switch small">answer the next call with <input type="number" min="100" max="599" aria-label="Status of the next answer" value=${status} onInput=${(event) => setStatus(Number(event.target.value))} /></label>
      <${Act} act=${prepare} failed=${setFailed}>Set</${Act}>
      <${Act} act=${clear} failed=${setFailed} disabled=${!calls.length}>Clear</${Act}></header>
    <${Problem} error=${failed ?? error} />
    <div class="body stack">${said ? html`<p class="said" role="status">${said}</p>` : null}
      ${calls.length ? calls.map((one) => html`<div class="stack"><div class="row"><${At} at=${one.at} /><b>${visible(one.name)}</b>
      <span class=${`pill ${one.status && one.status < 300 ? "good" : "bad"}`}>${one.status || "dropped"}</span></div><${Tree} value=${one.body} label="Body" /></div>`)
      : html`<p class="muted">Nothing came yet. Give a job this webhook:</p><${Code} text=${`${location.origin}/__emulator/hooks/-/NAME`} />`}</div></section>`;
}
