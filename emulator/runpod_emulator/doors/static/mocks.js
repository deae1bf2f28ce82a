// Stubs and faults: what they have done, on and off, and new ones.
import { html, useState } from "./html.js";
import { admin, part } from "./api.js";
import { cut, visible } from "./format.js";
import { Act, Empty, Problem, useAsked } from "./parts.js";
import { Tree } from "./tree.js";

const STUB = { endpoint: "*", match: { input: { prompt: "hello" } }, respond: { delay: "1s", output: "hi there" } };
const FAULT = { fault: "status", endpoint: "*", operations: ["run"], status: 429, times: 3 };

export function View({ parts }) {
  return html`<div class="page" tabindex="-1"><div class="inner"><div class="page-head"><h2>Stubs and faults</h2></div>
    <${List} kind="stubs" title="Stubs" about="scripted answers: a job that fits one gets it instead of the handler's" example=${STUB} marked=${parts[1]}
      counts=${(one) => `asked ${one.asked}, took ${one.matched}, played ${one.played}`} body=${(one) => one.stub} more=${(one) => one.place} />
    <${List} kind="faults" title="Faults" about="what goes wrong on purpose" example=${FAULT}
      counts=${(one) => `asked ${one.asked}, struck ${one.struck}`} body=${(one) => one.rule} more=${(one) => one.fault} />
  </div></div>`;
}

function List({ kind, title, about, example, counts, body, more, marked }) {
  const { data, error, again } = useAsked(`/${kind}`, ["transition", "request"]);
  const [failed, setFailed] = useState(null);
  const [adding, setAdding] = useState(false);
  async function act(one, method, sent) {
    await admin(`/${kind}/${part(one.id)}`, { method, body: sent });
    again();
  }
  const edit = kind === "stubs" ? (one, text) => act(one, "PUT", JSON.parse(text)) : null;
  return html`<section class="card" aria-label=${title}><header><h3>${title}</h3><span class="pill">${data?.length ?? 0}</span><span class="muted small desk">${about}</span><span class="grow"></span>
      <button type="button" class="button" aria-expanded=${String(adding)} onClick=${() => setAdding(!adding)}>${adding ? "Close" : `New ${title.toLowerCase().slice(0, -1)}`}</button></header>
    ${adding ? html`<${New} kind=${kind} example=${example} done=${() => { setAdding(false); again(); }} />` : null}
    <${Problem} error=${failed ?? error} />
    ${data?.length ? html`<ul class="mocks" aria-label=${`List of ${kind}`}>${data.map((one) => html`<${Row} key=${one.id} one=${one} isMarked=${one.id === marked}
      counts=${counts(one)} more=${more(one)} written=${body(one)} change=${(on) => act(one, "PATCH", { on })} edit=${edit && ((text) => edit(one, text))} remove=${() => act(one, "DELETE")} failed=${setFailed} />`)}</ul>`
      : data ? html`<${Empty} title=${`No ${kind}`}><p>${kind === "stubs" ? html`Write one here, in a file (<code>--stubs</code>), in a test, or make one of <a href="#/requests">a request</a>.`
        : html`Write one here, in a file, or in a test.`}</p></${Empty}>` : null}</section>`;
}

function Row({ one, isMarked, counts, more, written, change, edit, remove, failed }) {
  const name = visible(one.id);
  const [editing, setEditing] = useState(false);
  async function save(text) {
    await edit(text);
    setEditing(false);
  }
  return html`<li class=${`${isMarked ? "marked" : ""} ${one.on ? "" : "off"}`}>
    <div class="row"><label class="switch"><input type="checkbox" checked=${one.on} aria-label=${`Use ${name}`}
        onChange=${(event) => change(event.target.checked).catch(failed)} /><b>${cut(name, 100)}</b></label>
      <span class="small muted">${visible(more ?? "")}</span><span class="grow"></span><span class="small">${counts}</span>
      ${edit ? html`<button type="button" class="button quiet" aria-expanded=${String(editing)} aria-label=${`${editing ? "Leave" : "Edit"} ${name}`}
        onClick=${() => setEditing(!editing)}>${editing ? "Leave" : "Edit"}</button>` : null}
      <${Act} class="danger quiet" failed=${failed} act=${remove} aria-label=${`Remove ${name}`}>Remove</${Act}></div>
    <${Problem} error=${one.problem} />
    ${editing ? html`<${Written} label="The stub, as JSON" written=${written} button="Save" send=${save}>
        ${more ? "Until that file is saved, or a reset. " : "Until a reset. "}What is masked stays as it is.</${Written}>`
      : html`<${Tree} value=${written} label=${`As written: ${name}`} />`}</li>`;
}

// A field for JSON, and a button that sends it.
function Written({ label, written, button, send, children }) {
  const [text, setText] = useState(JSON.stringify(written, null, 2));
  const [failed, setFailed] = useState(null);
  return html`<div class="body stack"><label class="field"><span>${label}</span>
    <textarea class="mono" rows="13" spellcheck="false" value=${text} onInput=${(event) => setText(event.target.value)}></textarea></label>
    <${Problem} error=${failed} /><div class="row"><${Act} class="main" act=${() => send(text)} failed=${setFailed}>${button}</${Act}>
    <span class="small muted">${children}</span></div></div>`;
}

function New({ kind, example, done }) {
  async function add(text) {
    await admin(`/${kind}`, { method: "POST", body: JSON.parse(text) });
    done();
  }
  return html`<${Written} label=${`${kind === "stubs" ? "A stub" : "A fault"}, as JSON: one, or a list`} written=${example} button="Add" send=${add}>
    Every key and every kind: <a href="/__emulator/docs" target="_blank" rel="noreferrer">the admin API</a></${Written}>`;
}
