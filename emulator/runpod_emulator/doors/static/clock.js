// What time it is in the emulator, what is due next, and which worlds there are.
import { html, useEffect, useState } from "./html.js";
import { admin, kept, part } from "./api.js";
import { clock, duration, moment, visible } from "./format.js";
import { Act, Empty, Problem, useAsked } from "./parts.js";
import { chooseNamespace } from "./place.js";
import { world } from "./world.js";

const STEPS = ["1s", "10s", "1m", "10m", "1h", "1d"];
const ABOUT = {
  real: "Time passes as it does on the wall. Start the server with --clock virtual to move it by hand.",
  virtual: "Time stands still until somebody moves it: every deadline on the way fires, in order.",
  auto: "Time leaves out whatever nobody needs to wait for: it goes on by itself while a client waits.",
};

export function View() {
  return html`<div class="page" tabindex="-1"><div class="inner"><div class="page-head"><h2>Clock</h2></div><${Clock} /><${Namespaces} /></div></div>`;
}

function Clock() {
  const { data, error, again } = useAsked("/overview", ["transition", "clock"]);
  const held = useAsked("/clock", ["transition"]);
  const [failed, setFailed] = useState(null);
  const [by, setBy] = useState("10m");
  if (!data) return html`<${Problem} error=${error} />`;
  const { mode, now, next } = data.clock;
  const move = (path, body) => async () => {
    world.setClock(await admin(path, { method: "POST", body }));
    again();
  };
  return html`<section class="card"><header><h3>Now</h3><span class="pill">${mode}</span></header><div class="body stack">
      <div class="big-clock"><${Running} mode=${mode} now=${now} /></div>
      <p class="muted">${ABOUT[mode]}</p>
      ${mode === "virtual" ? html`<div class="row">${STEPS.map((step) => html`<${Act} key=${step} act=${move("/clock/advance", { by: step })} failed=${setFailed}>+${step}</${Act}>`)}
        <input aria-label="How far" value=${by} onInput=${(event) => setBy(event.target.value)} />
        <${Act} class="main" act=${move("/clock/advance", { by })} failed=${setFailed}>Advance</${Act}>
        <${Act} act=${move("/clock/run-until-idle", {})} failed=${setFailed}>Run until idle</${Act}></div>` : null}
      <${Problem} error=${failed} />
      ${held.data?.heldBy?.length ? html`<div><b class="small">What really runs, or whom time waits for</b>${held.data.heldBy.map((one) => html`<p class="muted small">${visible(one)}</p>`)}</div>` : null}
    </div></section>
    <section class="card"><header><h3>Due next</h3></header>${next.length ? html`<div class="wide"><table><thead><tr><th>When</th><th>In</th><th>What</th></tr></thead>
      <tbody>${next.map((one) => html`<tr><td class="mono">${moment(one.at)}</td><td>${duration(one.at - now)}</td><td>${visible(one.what)}</td></tr>`)}</tbody></table></div>`
      : html`<${Empty} title="Nothing is due" />`}</section>`;
}

function Running({ mode, now }) {
  const [, tick] = useState(0);
  useEffect(() => {
    if (mode !== "real") return undefined;
    const beat = setInterval(() => document.hidden || tick((one) => one + 1), 1000);
    return () => clearInterval(beat);
  }, [mode]);
  return html`<time>${mode === "real" ? clock(world.now(), false) : moment(now)}</time>`;
}

function Namespaces() {
  const { data, error, again } = useAsked("/namespaces", ["clock"]);
  const [name, setName] = useState("");
  const [failed, setFailed] = useState(null);
  const chosen = kept("namespace");
  const names = (data ?? []).filter(Boolean);
  const drop = (one) => async () => {
    await admin(`/namespaces/${part(one)}`, { method: "DELETE" });
    if (one === chosen) chooseNamespace("");
    again();
  };
  return html`<section class="card"><header><h3>Namespaces</h3><span class="muted small">worlds of their own, by the header X-Emulator-Namespace</span></header>
    <div class="body stack"><p>The page shows ${chosen ? html`<b>${visible(chosen)}</b>` : "the default namespace"}.</p>
      ${chosen ? html`<div><button type="button" class="button" onClick=${() => chooseNamespace("")}>Show the default one</button></div>` : null}
      ${names.map((one) => html`<div class="row" key=${one}><b class="grow">${visible(one)}</b>
        <button type="button" class="button" disabled=${one === chosen} onClick=${() => chooseNamespace(one)}>Show</button>
        <${Act} class="danger" act=${drop(one)} failed=${setFailed}>Drop</${Act}></div>`)}
      <form class="row" onSubmit=${(event) => { event.preventDefault(); if (name.trim()) chooseNamespace(name.trim()); }}>
        <input aria-label="Name of a namespace" placeholder="another name" value=${name} onInput=${(event) => setName(event.target.value)} />
        <button class="button" type="submit">Show it</button></form>
      <${Problem} error=${failed ?? error} /></div></section>`;
}
