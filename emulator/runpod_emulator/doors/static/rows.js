// Which lives the timeline shows, in which order, and what part of time its axis shows.
import { STATUSES } from "./life.js";

const LEAST_SPAN = 40;
// A pause is left out if it is so long, in ms, and no bar would be wider than a sixtieth of the axis.
const PAUSE = 1000;
const THINNEST = 60;
const WINDOWS = { "1m": 60_000, "10m": 600_000 };
export const AXES = { fit: "Fit to the rows", all: "All rows in sight", start: "Each from its start", "1m": "Last minute", "10m": "Last 10 minutes" };

// The lives that fit, oldest first, and how many there are of each status but for the choice of statuses.
export function chosen(lives, { text, endpoint, statuses, found }) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const counts = Object.fromEntries(STATUSES.map((status) => [status, 0]));
  const list = [];
  for (const life of lives.values()) {
    if (endpoint && life.endpoint !== endpoint) continue;
    if (words.length && !found?.has(life.key) && !words.every((word) => life.text.includes(word) || life.worker?.toLowerCase().includes(word))) continue;
    counts[life.status] += 1;
    if (!statuses.size || statuses.has(life.status)) list.push(life);
  }
  return { list, counts };
}

// What the axis shows: `[from, to]` in ms since the epoch, or since each life's start where `axis` is "start".
export function range(axis, lives, now) {
  if (axis in WINDOWS) return [now - WINDOWS[axis], now];
  if (!lives.length) return axis === "start" ? [0, 1000] : [now - 60_000, now];
  if (axis === "start") return padded(0, Math.max(...lives.map((life) => (life.to ?? now) - life.from)));
  const shown = axis === "fit" ? sinceLastPause(lives, now) : lives;
  return padded(Math.min(...shown.map((life) => life.from)), Math.max(...shown.map((life) => life.to ?? now)));
}

// The newest lives: after a pause all of them would be thin ticks.
function sinceLastPause(lives, now) {
  const newest = [...lives].sort((one, other) => other.from - one.from);
  const end = Math.max(...lives.map((life) => life.to ?? now));
  let [from, longest] = [newest[0].from, 0];
  for (const [index, life] of newest.entries()) {
    const to = life.to ?? now;
    longest = Math.max(longest, to - life.from, LEAST_SPAN);
    if (from - to > PAUSE && end - life.from > THINNEST * longest) return newest.slice(0, index);
    from = Math.min(from, life.from);
  }
  return lives;
}

function padded(from, to) {
  const span = Math.max(to - from, LEAST_SPAN);
  return [from - span * 0.015, from + span * 1.03];
}

// The rows in sight of a list that is shown newest first, and a few around them.
export function sight(length, top, height, rowHeight, around = 4) {
  const first = Math.max(0, Math.floor(top / rowHeight) - around);
  const last = Math.min(length, Math.ceil((top + height) / rowHeight) + around);
  return { first, last };
}
