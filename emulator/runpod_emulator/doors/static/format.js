// Times, durations, sizes and ids as people read them.
export function duration(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return "–";
  if (ms > 0 && ms < 0.5) return "<1 ms";
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
  if (ms < 86_400_000) return `${Math.floor(ms / 3_600_000)} h ${Math.round((ms % 3_600_000) / 60_000)} min`;
  return `${(ms / 86_400_000).toFixed(1)} d`;
}

const two = (number) => String(number).padStart(2, "0");

export function clock(at, withMs = true) {
  if (at === null || at === undefined) return "–";
  const time = new Date(at);
  const text = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  return withMs ? `${text}.${String(time.getMilliseconds()).padStart(3, "0")}` : text;
}

export function moment(at) {
  if (at === null || at === undefined) return "–";
  const time = new Date(at);
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${clock(at)}`;
}

export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1 << 20) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / (1 << 20)).toFixed(1)} MiB`;
}

// As in the log: what all ids of /runsync begin with tells none from another.
export function shortId(id) {
  return id.length > 12 ? id.replace(/^sync-/, "").slice(0, 8) : id;
}

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

const UNSEEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

// A text whose characters can all be seen: those that move the cursor or turn the direction of writing are escaped.
export function visible(text) {
  return String(text).replace(UNSEEN, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

export function cut(text, most) {
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

// Steps of an axis that are round numbers: about `wanted` of them in `span` ms.
export function ticks(from, span, wanted) {
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5,
    72e5, 144e5, 432e5, 864e5, 1728e5, 6048e5];
  const step = steps.find((one) => span / one <= wanted) ?? 6048e5 * Math.ceil(span / 6048e5 / wanted);
  const found = [];
  for (let at = Math.ceil(from / step) * step; at <= from + span; at += step) found.push(at);
  return { step, found };
}
