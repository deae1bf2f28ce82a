// What the page knows: lives of jobs, and news of everything else, from one stream of events.
import { ask, admin, events, kept } from "./api.js";
import { Comings } from "./comings.js";
import { Life, keyOf } from "./life.js";

const MOST = 10_000;
const KINDS = "transition,worker,webhook,reset";
// They come with every request and every line: the server is asked to tell of them only while something shows them.
const ASIDE = ["request", "log"];
const SETTLED = 50;
const GRACE = 10_000;
const LONGEST_PAUSE = 5_000;
const BURST = 100;
// Kinds of which it does no harm to have missed some: what shows them asks for them.
const ASKED_FOR = new Set(["worker"]);
// The whole picture is dear: under load it is asked for after so many times as long as it took, in ms at most.
const SHARE = 100;
// The stream may be behind the whole picture, which takes a while to be written: it may hold what has happened by then, in ms.
const OVERLAP = 2_000;
const LONGEST_REST = 10_000;

export class World {
  constructor() {
    this.lives = new Map();
    this.state = "connecting";
    this.problem = "";
    this.clock = { mode: "real", now: Date.now() };
    this.skew = 0;
    this.latest = 0;
    this.comings = new Comings();
    this.version = 0;
    this.age = 0;
    this.listeners = new Map();
    this.dirty = new Set();
    this.connection = null;
    this.aside = { kinds: "", connection: null };
    this.pause = 0;
    document.addEventListener("visibilitychange", () => this.#seen());
    // A page that the browser keeps to come back to must not hold one of its six connections to the server.
    addEventListener("pagehide", () => this.stop());
    addEventListener("pageshow", (event) => event.persisted && this.start());
  }

  // Calls `listener` at most ten times a second, once there is news of one of these kinds; returns what ends that.
  listen(kinds, listener) {
    this.listeners.set(listener, new Set(kinds));
    this.#attend();
    return () => {
      this.listeners.delete(listener);
      this.#attend();
    };
  }

  // The time in the emulator, as far as is known: only a real clock goes on by itself.
  now() {
    if (this.clock.mode === "real") return Math.max(Date.now() + this.skew, this.latest);
    return Math.max(this.clock.now, this.latest);
  }

  start() {
    this.stop();
    const connection = new AbortController();
    this.connection = connection;
    this.#run(connection.signal);
  }

  stop() {
    this.connection?.abort();
    this.connection = null;
    this.#hear("");
  }

  // Follows what somebody listens for now, once the views have come and gone.
  #attend() {
    clearTimeout(this.attending);
    this.attending = setTimeout(() => {
      const wanted = ASIDE.filter((kind) => [...this.listeners.values()].some((kinds) => kinds.has(kind)));
      this.#hear(this.state === "live" ? wanted.join() : "");
    }, SETTLED);
  }

  async #hear(kinds) {
    if (kinds === this.aside.kinds) return;
    this.aside.connection?.abort();
    const connection = new AbortController();
    this.aside = { kinds, connection };
    if (!kinds) return;
    try {
      const answer = await ask(`/events?kinds=${kinds}`, { signal: connection.signal, accept: "text/event-stream" });
      this.#tell(...kinds.split(","));
      for await (const { event } of events(answer)) this.#tell(...(event === "left-out" ? kinds.split(",") : [event]));
    } catch {
      // Whether the server is there at all is found out by the other stream.
    }
    if (!connection.signal.aborted) this.aside = { kinds: "", connection: null };
  }

  // Another namespace, or other keys: nothing that was known counts.
  restart() {
    this.lives = new Map();
    this.comings = new Comings();
    this.latest = 0;
    this.age += 1;
    this.#tell("reset", "transition");
    this.start();
  }

  #seen() {
    clearTimeout(this.hiding);
    if (!document.hidden) {
      if (this.connection === null) this.start();
      else this.#flush();
      return;
    }
    this.hiding = setTimeout(() => {
      this.stop();
      this.#become("paused");
    }, GRACE);
  }

  async #run(signal) {
    while (!signal.aborted) {
      try {
        await this.#follow(signal);
        if (!signal.aborted) this.#become("lost", "the server has ended the stream of events");
      } catch (error) {
        if (signal.aborted) return;
        this.#become("lost", error.status ? error.message : "nobody answers at this address");
      }
      if (signal.aborted) return;
      this.pause = Math.min(LONGEST_PAUSE, (this.pause || 250) * 2);
      await this.#rest(this.pause, signal);
    }
  }

  #rest(time, signal) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, time);
      signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
    });
  }

  #woken(stream, signal) {
    return new Promise((resolve) => {
      stream.wake = resolve;
      signal.addEventListener("abort", resolve, { once: true });
    });
  }

  // The stream, and the whole picture: again and again where the stream has left changes out.
  async #follow(given) {
    const over = new AbortController();
    const end = () => over.abort();
    given.addEventListener("abort", end, { once: true });
    try {
      const answer = await ask(`/events?kinds=${KINDS}`, { signal: over.signal, accept: "text/event-stream" });
      const stream = { waiting: [], isStale: true, wake: () => {} };
      await Promise.race([this.#picture(stream, over.signal), this.#hearAll(answer, stream)]);
    } finally {
      given.removeEventListener("abort", end);
      end();
    }
  }

  async #hearAll(answer, stream) {
    for await (const { event, data } of events(answer)) {
      const one = { event, data: JSON.parse(data) };
      if (event === "left-out") this.#missed(Object.keys(one.data.kinds), stream);
      else if (stream.waiting) stream.waiting.push(one);
      else this.#apply(event, one.data);
    }
  }

  #missed(kinds, stream) {
    this.#tell(...kinds);
    if (kinds.every((kind) => ASKED_FOR.has(kind))) return;
    stream.isStale = true;
    stream.wake();
  }

  // What comes while the picture is on its way waits for it: then nothing is missed, and nothing told twice. What is left
  // out meanwhile may not be in it.
  async #picture(stream, signal) {
    while (!signal.aborted) {
      stream.isStale = false;
      stream.waiting ??= [];
      const began = performance.now();
      const snapshot = await this.#snapshot(signal);
      const heard = stream.waiting;
      stream.waiting = null;
      stream.isStale ||= heard.some((one) => one.event === "reset");
      this.#restore(snapshot, heard.filter((one) => one.event === "transition").map((one) => one.data));
      for (const one of heard) if (one.event !== "transition") this.#apply(one.event, one.data);
      this.pause = 0;
      if (this.state !== "live") this.#become("live");
      const loaded = performance.now();
      if (!stream.isStale) await this.#woken(stream, signal);
      await this.#rest(loaded + Math.min(LONGEST_REST, SHARE * (loaded - began)) - performance.now(), signal);
    }
  }

  async #snapshot(signal) {
    const [lives, clock] = await Promise.all([admin(`/timeline?limit=${MOST}`, { signal }), admin("/clock", { signal })]);
    this.setClock(clock);
    return lives;
  }

  setClock(clock) {
    this.clock = clock;
    this.skew = clock.mode === "real" ? clock.now - Date.now() : 0;
    this.#tell("clock");
  }

  #restore(snapshot, heard) {
    const lives = new Map();
    for (const told of snapshot.jobs) {
      const life = new Life(told.endpoint, told.id);
      for (const moment of told.moments) life.add(moment);
      life.hooks = told.hooks ?? [];
      life.cold = told.cold ?? [];
      lives.set(life.key, life);
      this.latest = Math.max(this.latest, told.moments.at(-1)?.[0] ?? 0);
    }
    this.lives = lives;
    this.overlap = snapshot.now + OVERLAP;
    for (const one of heard) this.#change(one);
    this.age += 1;
    this.#tell("transition", "reset", "request", "webhook", "log", "worker");
  }

  #apply(event, data) {
    if (event === "transition") this.#change(data);
    else if (event === "webhook") this.#called(data);
    else if (event === "worker") this.comings.came(data);
    else if (event === "reset") this.#forget(data.endpoint ?? null);
    this.latest = Math.max(this.latest, data.at ?? 0);
    this.#tell(event);
  }

  #change(one) {
    const key = keyOf(one.endpoint, one.id);
    let life = this.lives.get(key);
    if (!life) {
      life = new Life(one.endpoint, one.id);
      this.lives.set(key, life);
      if (this.lives.size > MOST) this.lives.delete(this.lives.keys().next().value);
    }
    const moment = momentOf(one);
    if (one.at <= this.overlap) {
      if (life.has(moment)) return;
      life.unheard = life.moments.length + 1;
    }
    life.add(moment);
    if (one.event === "Taken") this.comings.warm(life, one);
    this.latest = Math.max(this.latest, one.at);
  }

  #called(one) {
    const hooks = this.lives.get(keyOf(one.endpoint, one.job))?.hooks;
    if (hooks && !hooks.some((known) => known[0] === one.at)) hooks.push([one.at, one.acknowledged]);
  }

  #forget(endpoint) {
    for (const [key, life] of this.lives) if (endpoint === null || life.endpoint === endpoint) this.lives.delete(key);
    this.age += 1;
    this.#tell("transition");
  }

  #become(state, problem = "") {
    this.state = state;
    this.problem = problem;
    this.#attend();
    this.#tell("connection");
  }

  #tell(...kinds) {
    for (const kind of kinds) this.dirty.add(kind);
    if (this.flushing || document.hidden) return;
    const since = performance.now() - (this.flushed ?? -BURST);
    this.flushing = setTimeout(() => this.#flush(), Math.max(0, BURST - since));
  }

  #flush() {
    clearTimeout(this.flushing);
    this.flushing = null;
    this.flushed = performance.now();
    if (!this.dirty.size) return;
    const kinds = this.dirty;
    this.dirty = new Set();
    this.version += 1;
    for (const [listener, wanted] of [...this.listeners]) if ([...kinds].some((kind) => wanted.has(kind))) listener(kinds);
  }
}

function momentOf(one) {
  return [one.at, one.event, one.status, one.worker, one.retries];
}

export const world = new World();
export const namespace = () => kept("namespace");
