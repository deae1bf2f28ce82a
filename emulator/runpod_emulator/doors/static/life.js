// A job's life, from the changes that the server tells of: what it did from when to when. No DOM, no network.
export const ENDS = { Completed: "COMPLETED", Failed: "FAILED", Cancelled: "CANCELLED", TimedOut: "TIMED_OUT" };
export const STATUSES = ["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"];
const HEARTBEAT = "Renewed";

export function keyOf(endpoint, id) {
  return `${endpoint}/${id}`;
}

function isSame(one, other) {
  return Math.abs(one[0] - other[0]) <= 2 && one[1] === other[1] && one[2] === other[2] && one[3] === other[3];
}

export class Life {
  constructor(endpoint, id) {
    this.endpoint = endpoint;
    this.id = id;
    this.key = keyOf(endpoint, id);
    this.moments = [];
    this.hooks = [];
    this.cold = [];
    this.status = "IN_QUEUE";
    this.gone = false;
    this.spans = [];
    this.ticks = [];
    this.marks = [];
    this.text = this.key.toLowerCase();
    this.ended = null;
    this.worker = null;
    this.unheard = 0;
  }

  get from() {
    return this.moments.length ? this.moments[0][0] : 0;
  }

  get submitted() {
    return this.spans.length ? this.spans[this.first ?? 0].from : this.from;
  }

  // The end of what is to be seen of it; null while it goes on.
  get to() {
    if (this.ended === null) return null;
    const hook = this.hooks.at(-1);
    return hook ? Math.max(this.ended, hook[0]) : this.ended;
  }

  // Whether a change that is heard while lives are fetched is among those fetched: then it is not to be added again. The
  // stream tells of a job's changes in their order, and may be behind what was fetched.
  has(moment) {
    if (moment[1] === HEARTBEAT) return true;
    for (let index = this.unheard; index < this.moments.length; index++) {
      if (isSame(this.moments[index], moment)) {
        this.unheard = index + 1;
        return true;
      }
    }
    this.unheard = this.moments.length;
    return false;
  }

  // One change more: `[at, event, status, worker, retries]`.
  add(moment) {
    const [at, event, status, worker] = moment;
    if (event === HEARTBEAT) return;
    this.moments.push(moment);
    if (status === "GONE") this.gone = true;
    else this.status = status;
    if (worker) this.worker = worker;
    const last = this.spans.at(-1);
    if (event === "Emitted") this.ticks.push(at);
    else if (event === "Progressed") this.marks.push([at, "progress"]);
    else if (event === "Taken") this.#begin(at, "running", worker);
    else if (event === "Submitted") this.#begin(at, "queued");
    else if (event === "Retried") this.#again(at, "retried");
    else if (event === "Requeued" || event === "Returned") this.#again(at, "lost", last);
    else if (event in ENDS || status === "GONE") this.#end(at, event in ENDS ? ENDS[event] : "GONE");
  }

  #begin(at, kind, worker = null) {
    this.#close(at);
    this.spans.push({ kind, from: at, to: null, worker });
    this.ended = null;
  }

  #again(at, mark, lost) {
    if (lost?.kind === "running") lost.kind = "lost";
    this.marks.push([at, mark]);
    this.#begin(at, "queued");
    if (mark === "retried") this.first = this.spans.length - 1;
  }

  #end(at, outcome) {
    const last = this.spans.at(-1);
    if (last?.to === null && last.kind === "running") last.kind = outcome;
    this.#close(at);
    this.ended ??= at;
  }

  #close(at) {
    const last = this.spans.at(-1);
    if (last && last.to === null) last.to = at;
  }

  // How long it has waited and worked so far, in ms, over all runs since it was submitted or retried.
  lengths(now) {
    let queued = 0;
    let worked = 0;
    for (const span of this.spans.slice(this.first ?? 0)) {
      const length = (span.to ?? Math.max(now, span.from)) - span.from;
      if (span.kind === "queued") queued += length;
      else worked = length;
    }
    return { queued, worked };
  }
}
