// The frame of the page: which view is shown, what the keyboard does, whether the server answers, who may look.
import { html, render, useEffect, useRef, useState } from "./html.js";
import { keep, kept, onClosed, part } from "./api.js";
import { world } from "./world.js";
import { chooseNamespace, go, isWriting, place } from "./place.js";
import { Timeline } from "./timeline.js";
import { toggleTheme } from "./theme.js";
import { cut, visible } from "./format.js";
import { useAsked } from "./parts.js";

const VIEWS = [
  ["timeline", "Timeline", null],
  ["endpoints", "Endpoints", () => import("./endpoints.js")],
  ["try", "Try it", () => import("./tryit.js")],
  ["requests", "Requests", () => import("./requests.js")],
  ["webhooks", "Webhooks", () => import("./webhooks.js")],
  ["mocks", "Stubs and faults", () => import("./mocks.js")],
  ["clock", "Clock", () => import("./clock.js")],
];
const KEYS = [
  ["j", "k", "next and previous job"],
  ["Enter", "", "open the chosen job"],
  ["Esc", "", "close it, or leave the filter"],
  ["/", "", "filter"],
  ["p", "", "pause the timeline"],
  ["1", "… 7", "the views, from left to right"],
  ["t", "", "light or dark"],
  ["?", "", "these keys"],
];

function usePlace() {
  const [parts, set] = useState(place);
  useEffect(() => {
    const changed = () => set(place());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return parts;
}

function useConnection() {
  const [connection, set] = useState({ state: world.state, problem: world.problem });
  useEffect(() => world.listen(["connection"], () => set({ state: world.state, problem: world.problem })), []);
  return connection;
}

// A view whose file is loaded when it is first shown.
function Late({ load, name, ...more }) {
  const [view, set] = useState({});
  useEffect(() => {
    let gone = false;
    load().then((file) => !gone && set({ name, show: file.View })).catch((error) => !gone && set({ name, error }));
    return () => {
      gone = true;
    };
  }, [name]);
  if (view.name !== name) return html`<div class="page" aria-busy="true"></div>`;
  if (view.error) return html`<div class="page"><p class="problem">This part could not be loaded: ${visible(view.error.message)}</p></div>`;
  return html`<${view.show} ...${more} />`;
}

function Dialog({ open, close, label, children }) {
  const dialog = useRef(null);
  useEffect(() => {
    if (open && !dialog.current.open) {
      dialog.current.showModal();
      (dialog.current.querySelector("input") ?? dialog.current).focus();
    } else if (!open && dialog.current.open) dialog.current.close();
  }, [open]);
  return html`<dialog ref=${dialog} tabindex="-1" aria-label=${label} onClose=${close} onClick=${(event) => event.target === dialog.current && close()}>
    ${open ? children : null}
  </dialog>`;
}

function Key({ refused, done }) {
  const [key, set] = useState("");
  function submit(event) {
    event.preventDefault();
    keep("admin", key.trim());
    done();
    world.restart();
  }
  return html`<form onSubmit=${submit}>
    <h2>${refused.status === 401 ? "This server asks for its admin key" : "This server does not let the page in"}</h2>
    <p class="problem">${visible(refused.message)}</p>
    <label class="field"><span>Admin key (what <code>--admin-key</code> was given)</span>
      <input type="password" autocomplete="off" value=${key} onInput=${(event) => set(event.target.value)} /></label>
    <p class="small muted">It is kept for this tab only, and sent to this server only.</p>
    <div class="row"><button class="button main" type="submit">${key ? "Use it" : "Try again"}</button></div>
  </form>`;
}

function Help() {
  return html`<div class="stack"><h2>Keys</h2>
    <div class="keys">${KEYS.map(([first, second, does]) => html`
      <span>${[first, second].filter(Boolean).map((one) => html`<kbd>${one}</kbd> `)}</span><span>${does}</span>`)}
    </div>
    <h2>Bars</h2>
    <div class="legend">
      <i class="thin"></i><span>waits in the queue</span><i class="cold"></i><span>waits for a worker that starts: a cold start</span>
      <i class="run"></i><span>runs</span><i class="good"></i><span>ran: completed, failed</span>
      <i class="ticks"></i><span>chunks of a stream; dots are progress updates</span><i class="diamond"></i><span>a webhook call, red if refused</span>
      <i class="broken"></i><span>its worker was lost, or a client asked for a retry</span>
    </div>
    <p class="small muted">Drag on the time axis to look closer; double-click to look at everything again.${" "}
      <a href="/__emulator/docs" target="_blank" rel="noreferrer">The admin API</a>,${" "}
      <a href="/docs" target="_blank" rel="noreferrer">the queue API</a>.</p></div>`;
}

function Namespaces() {
  const { data, again } = useAsked("/namespaces", []);
  const chosen = kept("namespace");
  const names = [...new Set(["", ...(data ?? []), chosen])].filter((name) => name !== "-");
  if (names.length < 2) return null;
  return html`<select class="desk" aria-label="Namespace" value=${chosen} onFocus=${again} onChange=${(event) => chooseNamespace(event.target.value)}>
    ${names.map((name) => html`<option key=${name} value=${name}>${name ? visible(name) : "default namespace"}</option>`)}
  </select>`;
}

function Connection({ state, problem }) {
  const word = { live: "live", connecting: "connecting", lost: "no connection", paused: "asleep" }[state];
  return html`<span class=${`connection ${state}`} role="status" title=${problem}><span class="dot"></span><span class="word">${word}</span></span>`;
}

const NAMES_ERROR = /^[\w.]*(Error|Exception|Exit)\b/;

// Endpoints whose workers can't start: their jobs wait in vain.
function Flaws({ endpoints }) {
  return endpoints.map((one) => {
    const lines = one.flaw.trimEnd().split("\n");
    const what = /^Traceback /m.test(one.flaw) ? "its handler can't be imported" : "its workers can't start";
    return html`<div class="banner flaw" role="alert" key=${one.id}><span>Endpoint <a href=${`#/endpoints/${part(one.id)}`}>${visible(one.id)}</a>: ${what}:${" "}
      <code>${visible(cut(lines.findLast((line) => NAMES_ERROR.test(line)) ?? lines.at(-1), 300))}</code></span></div>`;
  });
}

function App() {
  const parts = usePlace();
  const connection = useConnection();
  const [help, setHelp] = useState(false);
  const [refused, setRefused] = useState(null);
  useEffect(() => onClosed(setRefused), []);
  useEffect(() => {
    function pressed(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
      if (isWriting(event.target) && !(event.key === "/" && event.target.tagName === "SELECT")) return;
      if (event.key === "/") document.querySelector("#filter")?.focus();
      else if (event.key === "?") setHelp(true);
      else if (event.key === "t") toggleTheme();
      else if (/^[1-7]$/.test(event.key)) go(`/${VIEWS[event.key - 1][0]}`);
      else return;
      event.preventDefault();
    }
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
  const flawed = useAsked("/overview", ["worker"]).data?.endpoints.filter((one) => one.flaw) ?? [];
  const isJob = parts[0] === "job";
  useEffect(() => document.querySelector(".views [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" }), [parts[0]]);
  const view = VIEWS.find(([name]) => name === (isJob ? "timeline" : parts[0])) ?? VIEWS[0];
  return html`
    <header class="top">
      <a class="brand" href="#/timeline"><img src="/__emulator/ui/icon.svg" alt="" />runpod-emulator</a>
      <nav class="views" aria-label="Views">${VIEWS.map(([name, title]) => html`
        <a key=${name} href=${`#/${name}`} aria-current=${name === view[0] ? "page" : undefined}>${title}</a>`)}
      </nav>
      <div class="tools">
        <${Connection} ...${connection} /><${Namespaces} key=${kept("namespace")} />
        <button type="button" class="button quiet icon" aria-label="Light or dark" title="Light or dark (t)" onClick=${toggleTheme}>◐</button>
        <button type="button" class="button quiet icon" aria-label="Keys" title="Keys (?)" onClick=${() => setHelp(true)}>?</button>
      </div>
    </header>
    ${connection.state === "lost" ? html`<div class="banner" role="alert">
      <span>${visible(connection.problem)}. What is shown is what was known before; the page goes on trying.</span></div>` : null}
    <${Flaws} endpoints=${flawed} />
    <main>${view[2] ? html`<${Late} key=${view[0]} name=${view[0]} load=${view[2]} parts=${parts} />`
      : html`<${Timeline} job=${isJob ? { endpoint: parts[1], id: parts[2] } : null} flawed=${flawed.map((one) => one.id)} />`}</main>
    <${Dialog} open=${help} close=${() => setHelp(false)} label="Keys"><${Help} /></${Dialog}>
    <${Dialog} open=${refused !== null} close=${() => setRefused(null)} label="Admin key">
      ${refused ? html`<${Key} refused=${refused} done=${() => setRefused(null)} />` : null}</${Dialog}>`;
}

const app = document.getElementById("app");
app.textContent = "";
render(html`<${App} />`, app);
world.start();
