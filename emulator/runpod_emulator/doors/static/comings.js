// When each worker came up: a job's wait that ends with one that came meanwhile was a cold start. No DOM, no network.
const MOST = 2_000;

export class Comings {
  constructor() {
    this.known = new Map();
  }

  // A worker is in another state.
  came(one) {
    const known = this.known.get(one.worker);
    if (!known) {
      this.known.set(one.worker, { from: one.at, ready: null });
      if (this.known.size > MOST) this.known.delete(this.known.keys().next().value);
    } else if (known.ready === null && (one.state === "idle" || one.state === "running")) known.ready = one.at;
  }

  // A worker has taken a job.
  warm(life, taken) {
    const [wait, coming] = [life.spans.at(-2), this.known.get(taken.worker)];
    if (wait?.kind !== "queued" || !coming || coming.ready === null) return;
    const [from, to] = [Math.max(coming.from, wait.from), Math.min(coming.ready, wait.to)];
    if (from < to) life.cold.push([from, to]);
  }
}
