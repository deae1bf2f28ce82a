// What is shown before the first job: what to do to see one.
import { html, useState } from "./html.js";
import { visible } from "./format.js";
import { call, part } from "./api.js";
import { Act, Code, Problem, useAsked } from "./parts.js";

export const ANY_INPUT = { message: "hello" };

export function First() {
  const { data } = useAsked("/overview", ["reset"]);
  const [error, setError] = useState(null);
  const queues = (data?.endpoints ?? []).filter((one) => one.queue !== null);
  const [first] = queues;
  const input = first?.example ?? ANY_INPUT;
  if (data === null) return html`<div class="first" aria-busy="true"></div>`;
  if (!first) {
    return html`<div class="first"><h2>No endpoint is served yet</h2>
      <p>Start the server with a handler, or serve one by <a href="#/mocks">a stub</a>.</p>
      <${Code} text="runpod-emulator dev handler.py" /></div>`;
  }
  const command = `curl -s ${location.origin}/v2/${first.id}/run -H 'Authorization: Bearer any-key' \\
    -H 'Content-Type: application/json' -d '${JSON.stringify({ input })}'`;
  async function send() {
    const answer = await call(`${part(first.id)}/run`, { body: JSON.stringify({ input }) });
    if (!answer.ok) throw new Error(`${answer.status}: ${(await answer.text()).slice(0, 300)}`);
  }
  return html`<div class="first">
    <h2>Waiting for the first job</h2>
    <p class="muted">Whatever a client hands in appears here the moment it comes. Base URL for clients: <code>${location.origin}/v2</code></p>
    <${Code} text=${command} />
    <div class="row"><${Act} class="main" act=${send} failed=${setError}>Send it from here</${Act}>
      <a class="button" href=${`#/try/${part(first.id)}`}>Write an input of your own</a></div>
    <${Problem} error=${error} />
    <p class="muted small">Served: ${queues.map((one, index) => html`${index ? ", " : ""}<a href=${`#/try/${part(one.id)}`}>${visible(one.id)}</a>`)}</p>
  </div>`;
}
