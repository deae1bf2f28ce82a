// Small parts that several views use.
import { html, useEffect, useRef, useState } from "./html.js";
import { clock, moment, visible } from "./format.js";
import { admin } from "./api.js";
import { world } from "./world.js";

export const WORDS = { IN_QUEUE: "in queue", IN_PROGRESS: "in progress", COMPLETED: "completed", FAILED: "failed", CANCELLED: "cancelled",
  TIMED_OUT: "timed out", GONE: "gone" };

export const statusWord = (status) => WORDS[status] ?? status;

export function Status({ status }) {
  return html`<span class=${`status ${status in WORDS ? status : ""}`}><i aria-hidden="true"></i><span class="word">${statusWord(status)}</span></span>`;
}

export function At({ at, date }) {
  return html`<time class="mono" dateTime=${new Date(at).toISOString()} title=${moment(at)}>${date ? moment(at) : clock(at)}</time>`;
}

export function jobLink(endpoint, id) {
  return `#/job/${encodeURIComponent(endpoint)}/${encodeURIComponent(id)}`;
}

export function Copy({ text, label = "Copy", quiet }) {
  const [said, say] = useState("");
  async function copy() {
    try {
      await navigator.clipboard.writeText(typeof text === "function" ? text() : text);
      say("Copied");
    } catch {
      say("Not allowed here");
    }
    setTimeout(() => say(""), 1500);
  }
  return html`<button type="button" class=${`button copy ${quiet ? "quiet" : ""}`} onClick=${copy}
    aria-live="polite">${said || label}</button>`;
}

export function Code({ text }) {
  return html`<div class="code"><pre tabindex="0">${visible(text)}</pre><${Copy} text=${text} /></div>`;
}

export function Empty({ title, children }) {
  return html`<div class="empty"><h3>${title}</h3>${children}</div>`;
}

export function Problem({ error }) {
  return error ? html`<p class="problem" role="alert">${visible(error.message ?? error)}</p>` : null;
}

// What a part of the admin API says, asked again when news of these kinds has come: once a second at most, and less
// often where the answer takes long.
export function useAsked(path, kinds, depends = []) {
  const [answer, set] = useState({ data: null, error: null });
  const again = useRef(() => {});
  useEffect(() => {
    if (path === null) return undefined;
    const gone = new AbortController();
    let timer = null;
    let next = 0;
    async function load() {
      timer = null;
      const began = performance.now();
      next = began + 1000;
      try {
        const data = await admin(path, { signal: gone.signal });
        next = began + Math.min(10_000, Math.max(1000, 50 * (performance.now() - began)));
        set({ data, error: null });
      } catch (error) {
        if (!gone.signal.aborted) set((before) => ({ data: before.data, error }));
      }
    }
    function soon() {
      if (timer === null) timer = setTimeout(load, Math.max(0, next - performance.now()));
    }
    again.current = load;
    load();
    const ends = world.listen([...kinds, "reset"], soon);
    return () => {
      gone.abort();
      clearTimeout(timer);
      ends();
    };
  }, [path, ...depends]);
  return { ...answer, again: () => again.current() };
}

// A button that does something that takes time and may go wrong; what went wrong is given to `failed`.
export function Act({ act, failed, children, ...more }) {
  const [busy, setBusy] = useState(false);
  async function click() {
    setBusy(true);
    try {
      failed?.(null);
      await act();
    } catch (error) {
      failed?.(error);
    } finally {
      setBusy(false);
    }
  }
  return html`<button type="button" ...${more} class=${`button ${more.class ?? ""}`} disabled=${busy || more.disabled} onClick=${click}>${children}</button>`;
}

export function Tabs({ names, chosen, choose, label }) {
  return html`<div class="tabs" role="tablist" aria-label=${label}>
    ${names.map((name) => html`<button key=${name} type="button" role="tab" aria-selected=${String(name === chosen)}
      tabindex=${name === chosen ? 0 : -1} onClick=${() => choose(name)} onKeyDown=${(event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        event.preventDefault();
        const next = names[(names.indexOf(name) + step + names.length) % names.length];
        choose(next);
        event.currentTarget.parentElement.children[names.indexOf(next)].focus();
      }}>${name}</button>`)}
  </div>`;
}

export function save(name, text, kind = "application/json") {
  const url = URL.createObjectURL(new Blob([text], { type: kind }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
