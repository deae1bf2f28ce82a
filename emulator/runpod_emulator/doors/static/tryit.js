// Hands jobs in as a client does: /run, /runsync, a stream, an OpenAI chat. The answer is shown as it came.
import { html, useEffect, useRef, useState } from "./html.js";
import { call, events, keep, kept, part } from "./api.js";
import { ANY_INPUT } from "./first.js";
import { duration, visible } from "./format.js";
import { Act, Code, Empty, Problem, Status, Tabs, WORDS, jobLink, useAsked } from "./parts.js";
import { Tree } from "./tree.js";

const WAYS = ["run", "runsync", "stream", "OpenAI chat"];
const HOOK = "page";
const written = new Map();

function beginning(endpoint, way) {
  if (way === "OpenAI chat") return { model: "", messages: [{ role: "user", content: "hello" }], stream: true };
  return { input: endpoint?.example ?? ANY_INPUT };
}

export function View({ parts }) {
  const { data, error } = useAsked("/overview", ["reset"]);
  const queues = (data?.endpoints ?? []).filter((one) => one.queue !== null);
  if (!data) return html`<div class="page"><div class="inner"><${Problem} error=${error} /></div></div>`;
  const endpoint = queues.find((one) => one.id === parts[1]) ?? queues[0];
  if (!endpoint) return html`<div class="page"><div class="inner"><div class="card"><${Empty} title="No endpoint takes jobs"><p>Start the server with a handler, or make an endpoint with a stub.</p></${Empty}></div></div></div>`;
  return html`<div class="page" tabindex="-1"><div class="inner"><div class="page-head"><h2>Try it</h2>
    <select aria-label="Endpoint" value=${endpoint.id} onChange=${(event) => { location.hash = `/try/${part(event.target.value)}`; }}>
      ${queues.map((one) => html`<option key=${one.id} value=${one.id}>${visible(one.id)}</option>`)}</select></div>
    <${Form} key=${endpoint.id} endpoint=${endpoint} /></div></div>`;
}

function Form({ endpoint }) {
  const [way, setWay] = useState("runsync");
  const key = `${endpoint.id} ${way === "OpenAI chat"}`;
  const [text, setText] = useState(written.get(key) ?? JSON.stringify(beginning(endpoint, way), null, 2));
  const [hook, setHook] = useState(false);
  const [answer, setAnswer] = useState(null);
  const stopping = useRef(null);
  useEffect(() => () => stopping.current?.abort(), []);
  const write = (value) => {
    written.set(key, value);
    setText(value);
  };
  function choose(next) {
    setWay(next);
    const other = `${endpoint.id} ${next === "OpenAI chat"}`;
    setText(written.get(other) ?? JSON.stringify(beginning(endpoint, next), null, 2));
  }
  const problem = problemOf(text);
  async function send() {
    stopping.current?.abort();
    stopping.current = new AbortController();
    const body = hook && way !== "OpenAI chat" ? { ...JSON.parse(text), webhook: `${location.origin}/__emulator/hooks/-/${HOOK}` } : JSON.parse(text);
    await SENDERS[way](endpoint.id, body, setAnswer, stopping.current.signal);
  }
  const pressed = (event) => {
    if ((event.metaKey || event.ctrlKey) && event.key === "Enter" && !problem) send();
  };
  return html`<div class="two"><section class="card"><header><${Tabs} names=${WAYS} chosen=${way} choose=${choose} label="How to ask" /></header>
    <div class="body stack">
      <label class="field"><span>${way === "OpenAI chat" ? "Request" : "Job"}, as JSON</span>
        <textarea class="mono" rows="14" spellcheck="false" value=${text} onInput=${(event) => write(event.target.value)} onKeyDown=${pressed}
          aria-invalid=${String(Boolean(problem))}></textarea></label>
      ${problem ? html`<p class="problem">${problem}</p>` : null}
      <div class="row"><${Act} class="main" act=${send} disabled=${Boolean(problem)} failed=${(error) => error && setAnswer({ error })}>Send <kbd class="desk">Ctrl ↵</kbd></${Act}>
      ${way === "OpenAI chat" ? null : html`<label class="switch small"><input type="checkbox" checked=${hook} onChange=${(event) => setHook(event.target.checked)} /> with a webhook to the built-in receiver</label>`}
      <span class="grow"></span><button type="button" class="button quiet" onClick=${() => write(JSON.stringify(beginning(endpoint, way), null, 2))}>Example</button></div>
    </div></section>
    <section class="card answer" aria-live="polite"><header><h3>Answer</h3>${answer ? html`<${Head} answer=${answer} />` : null}</header>
      <div class="body stack">${answer ? html`<${Answer} answer=${answer} endpoint=${endpoint.id} again=${send} />`
        : html`<p class="muted">What comes is shown here as it comes, with its headers.</p>`}</div></section></div>`;
}

function problemOf(text) {
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === "object" ? "" : "A job is an object";
  } catch (error) {
    return error.message;
  }
}

async function ask(path, body, show, signal, options = {}) {
  const began = performance.now();
  show({ waits: true });
  const answer = await call(path, { body: body === undefined ? undefined : JSON.stringify(body), signal, ...options });
  const head = { status: answer.status, fidelity: answer.headers.get("X-Emulator-Fidelity") ?? "" };
  return { answer, head, took: () => performance.now() - began };
}

function parsed(text) {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return { text };
  }
}

async function whole(path, body, show, signal) {
  const { answer, head, took } = await ask(path, body, show, signal);
  const told = parsed(await answer.text());
  show({ ...head, ...told, took: took(), job: told.value?.id });
  return told.value;
}

async function streamed(id, body, show, signal) {
  const accepted = await whole(`${part(id)}/run`, body, show, signal);
  if (!accepted?.id) return;
  const { answer, head, took } = await ask(`${part(id)}/stream/${part(accepted.id)}`, undefined, show, signal, { method: "GET", accept: "text/event-stream" });
  const chunks = [];
  let status = "IN_PROGRESS";
  for await (const { event, data } of events(answer)) {
    const told = parsed(data).value ?? data;
    if (event === "status") status = told.status ?? told;
    else chunks.push(told?.output ?? told);
    show({ ...head, chunks: [...chunks], status: head.status, ended: event === "status" ? String(status) : "", took: took(), job: accepted.id });
  }
}

// A request that names no model is for the first that the endpoint has.
async function modelOf(id, signal) {
  const told = parsed(await (await call(`${part(id)}/openai/v1/models`, { method: "GET", signal })).text());
  return String(told.value?.data?.[0]?.id ?? "");
}

async function chatted(id, given, show, signal) {
  const body = given.model === "" ? { ...given, model: await modelOf(id, signal) } : given;
  const path = `${part(id)}/openai/v1/chat/completions`;
  const { answer, head, took } = await ask(path, body, show, signal, { accept: body.stream ? "text/event-stream" : "application/json" });
  if (!(answer.headers.get("content-type") ?? "").startsWith("text/event-stream")) {
    show({ ...head, ...parsed(await answer.text()), took: took() });
    return;
  }
  const [said, raw] = [[], []];
  for await (const { data } of events(answer)) {
    if (data === "[DONE]") break;
    const { value, text } = parsed(data);
    raw.push(value ?? text ?? null);
    said.push(String(value?.choices?.[0]?.delta?.content ?? ""));
    show({ ...head, chunks: said.some(Boolean) ? [...said] : [...raw], took: took() });
  }
  // A handler that does not speak OpenAI streams something else, which is shown as it came.
  const chunks = said.some(Boolean) ? said : raw;
  show({ ...head, chunks: chunks.length ? chunks : null, text: chunks.length ? "" : "The stream has ended without a word.", ended: "done", took: took() });
}

const SENDERS = {
  run: (id, ...rest) => whole(`${part(id)}/run`, ...rest),
  runsync: (id, ...rest) => whole(`${part(id)}/runsync`, ...rest),
  stream: streamed,
  "OpenAI chat": chatted,
};

function Head({ answer }) {
  if (answer.waits) return html`<span class="pill running">waits</span>`;
  if (!answer.status) return null;
  return html`<span class=${`pill ${answer.status < 400 ? "good" : "bad"}`}>${answer.status}</span>
    ${answer.value?.status in WORDS ? html`<${Status} status=${answer.value.status} />` : null}
    <span class="small muted">${duration(answer.took)}</span>${answer.ended ? html`<span class="pill">${visible(answer.ended)}</span>` : null}
    <span class="small muted ellipsis">${visible(answer.fidelity)}</span>`;
}

function Answer({ answer, endpoint, again }) {
  if (answer.waits) return html`<p class="muted">Held until there is an answer…</p>`;
  return html`<${Problem} error=${answer.error} />
    ${answer.status === 401 ? html`<${ClientKey} again=${again} />` : null}
    ${answer.job ? html`<div><a class="button" href=${jobLink(endpoint, answer.job)}>Look at the job</a></div>` : null}
    ${answer.chunks ? (answer.chunks.every((one) => typeof one === "string") ? html`<div class="chunks" tabindex="0">${visible(answer.chunks.join(""))}</div>`
      : html`<${Tree} value=${answer.chunks} label="Chunks" />`) : null}
    ${answer.value !== undefined ? html`<${Tree} value=${answer.value} label="Answer" />` : null}
    ${answer.text ? html`<${Code} text=${answer.text} />` : null}`;
}

function ClientKey({ again }) {
  const [key, set] = useState(kept("client"));
  function submit(event) {
    event.preventDefault();
    keep("client", key.trim());
    again();
  }
  return html`<form class="stack" onSubmit=${submit}><label class="field"><span>Clients of this server need its key (--api-key)</span>
    <input type="password" autocomplete="off" value=${key} onInput=${(event) => set(event.target.value)} /></label>
    <div><button type="submit" class="button main">Use it for this tab</button></div></form>`;
}
