// Calls to the server: its admin API, and the queue API as a client. Keys are kept for this tab alone.
const ADMIN = "/__emulator";
const KEPT = { admin: "runpod-emulator.admin-key", client: "runpod-emulator.client-key", namespace: "runpod-emulator.ns" };
const ANY = "page";

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

const closed = new Set();

// Calls `listener(refused)` when the admin API does not let the page in.
export function onClosed(listener) {
  closed.add(listener);
  return () => closed.delete(listener);
}

export const kept = (what) => sessionStorage.getItem(KEPT[what]) ?? "";

export function keep(what, value) {
  if (value) sessionStorage.setItem(KEPT[what], value);
  else sessionStorage.removeItem(KEPT[what]);
}

function headers(what, more = {}) {
  const key = kept(what) || (what === "client" ? ANY : "");
  const space = kept("namespace");
  return {
    ...(key ? { Authorization: `Bearer ${latin(key)}` } : {}),
    ...(space ? { "X-Emulator-Namespace": space } : {}),
    ...more,
  };
}

// A header holds bytes: what is not ASCII goes as UTF-8, as every client writes a key.
const latin = (text) => String.fromCharCode(...new TextEncoder().encode(text));

async function refusal(answer) {
  const text = await answer.text();
  try {
    const problem = JSON.parse(text);
    return new Refused(answer.status, String(problem.detail ?? problem.error ?? problem.title ?? text));
  } catch {
    return new Refused(answer.status, text.slice(0, 500) || answer.statusText);
  }
}

// One request to the admin API; `body` is sent as JSON. Throws Refused, or TypeError where nobody answers.
export async function ask(path, { method = "GET", body, signal, accept } = {}) {
  const more = { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...(accept ? { Accept: accept } : {}) };
  const sent = body === undefined ? undefined : JSON.stringify(body);
  const answer = await fetch(ADMIN + path, { method, headers: headers("admin", more), body: sent, signal, cache: "no-store" });
  if (answer.ok) return answer;
  const refused = await refusal(answer);
  if (answer.status === 401 || answer.status === 403) for (const listener of closed) listener(refused);
  throw refused;
}

export async function admin(path, options) {
  const answer = await ask(path, options);
  if (answer.status === 204) return null;
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

// One request to the queue API as a client; the answer comes as it is, also a refusal.
export function call(path, { method = "POST", body, signal, accept = "application/json" } = {}) {
  return fetch(`/v2/${path}`, {
    method,
    headers: headers("client", { Accept: accept, ...(body === undefined ? {} : { "Content-Type": "application/json" }) }),
    body,
    signal,
    cache: "no-store",
  });
}

export const part = encodeURIComponent;

// The events of an answer, `{event, data, id}` each, as they come.
export async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let one = { event: "message", data: [] };
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (one.data.length) yield { event: one.event, id: one.id, data: one.data.join("\n") };
        one = { event: "message", data: [] };
      } else if (line.startsWith("data:")) one.data.push(line.slice(line[5] === " " ? 6 : 5));
      else if (line.startsWith("event:")) one.event = line.slice(6).trim();
      else if (line.startsWith("id:")) one.id = line.slice(3).trim();
    }
  }
}
