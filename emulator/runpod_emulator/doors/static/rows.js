// Which lives the timeline shows, in which order, and what part of time its axis shows.
import { STATUSES } from "./life.js";

const LEAST_SPAN = 40;
const WINDOWS = { "1m": 60_000, "10m": 600_000 };
export const AXES = { fit: "Fit to the rows", start: "Each from its start", "1m": "Last minute", "10m": "Last 10 minutes" };

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
  return padded(Math.min(...lives.map((life) => life.from)), Math.max(...lives.map((life) => life.to ?? now)));
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
