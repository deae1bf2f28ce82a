// Draws lives on a canvas: a bar for each span of time, small marks for what happened within.
import { clock, duration, ticks } from "./format.js";

const NAMES = ["queued", "cold", "running", "good", "bad", "late", "off", "lost", "tick", "hook", "grid", "muted", "line", "accent"];
const BAR = { COMPLETED: "good", FAILED: "bad", TIMED_OUT: "late", CANCELLED: "off", GONE: "off", running: "running", lost: "lost" };
const HEIGHT = 12;
const LEAST = 3;
const LABEL = 92;

export function colours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

// Makes a canvas as sharp as the screen; returns its context in CSS pixels.
export function sharp(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

// Where a time is, in pixels; `from` and `to` are what the axis shows, `width` is how wide it is.
export class Scale {
  constructor(from, to, width) {
    this.from = from;
    this.to = Math.max(to, from + 1);
    this.width = width;
  }

  x(at) {
    return ((at - this.from) / (this.to - this.from)) * this.width;
  }

  at(x) {
    return this.from + (x / this.width) * (this.to - this.from);
  }
}

// The axis: round times, or lengths where each life begins at 0.
export function drawAxis(context, scale, height, palette, isRelative) {
  const { found, step } = ticks(scale.from, scale.to - scale.from, Math.max(2, Math.floor(scale.width / LABEL)));
  context.font = "11px ui-monospace, Menlo, Consolas, monospace";
  context.textBaseline = "middle";
  context.fillStyle = palette.muted;
  context.strokeStyle = palette.line;
  for (const at of found) {
    const x = Math.round(scale.x(at)) + 0.5;
    context.beginPath();
    context.moveTo(x, height - 6);
    context.lineTo(x, height);
    context.stroke();
    const text = isRelative ? (at === 0 ? "0" : `+${duration(at)}`) : clock(at, step < 1000);
    if (x + 4 + context.measureText(text).width < scale.width) context.fillText(text, x + 4, height / 2);
  }
}

export function drawGrid(context, scale, height, palette) {
  const { found } = ticks(scale.from, scale.to - scale.from, Math.max(2, Math.floor(scale.width / LABEL)));
  context.fillStyle = palette.grid;
  for (const at of found) context.fillRect(Math.round(scale.x(at)), 0, 1, height);
}

// One life; `y` is the middle of its row, `shift` is taken from all its times.
export function drawLife(context, scale, life, y, { now, shift, palette }) {
  const top = y - HEIGHT / 2;
  if (life.to !== null && life.to - shift < scale.from) return earlier(context, y, palette.muted);
  for (const span of life.spans) {
    const to = span.to ?? Math.max(now, span.from);
    if (span.kind === "queued") block(context, scale, span.from - shift, to - shift, y - 2, 4, palette.queued);
    else block(context, scale, span.from - shift, to - shift, top, HEIGHT, palette[BAR[span.kind]] ?? palette.off, span.to === null);
  }
  for (const [from, to] of life.cold) block(context, scale, from - shift, to - shift, y - 3, 6, palette.cold);
  drawTicks(context, scale, life.ticks, shift, top, palette.tick);
  drawMarks(context, scale, life.marks, shift, y, palette);
  for (const [at, known] of life.hooks) diamond(context, scale.x(at - shift), y, known ? palette.hook : palette.bad);
}

// What was over before the axis begins.
function earlier(context, y, colour) {
  context.fillStyle = colour;
  context.beginPath();
  context.moveTo(1, y);
  context.lineTo(6, y - 4);
  context.lineTo(6, y + 4);
  context.fill();
}

function block(context, scale, from, to, top, height, colour, goesOn = false) {
  const left = Math.max(-4, scale.x(from));
  const right = Math.min(scale.width + 4, scale.x(to));
  if (right < 0 || left > scale.width) return;
  const width = Math.max(right - left, LEAST);
  context.fillStyle = colour;
  context.beginPath();
  context.roundRect(left, top, width, height, goesOn ? [3, 0, 0, 3] : Math.min(3, height / 2));
  context.fill();
}

// Chunks of a stream: no more than one line in two pixels.
function drawTicks(context, scale, times, shift, top, colour) {
  context.fillStyle = colour;
  let last = -10;
  for (const at of times) {
    const x = Math.round(scale.x(at - shift));
    if (x - last < 3) continue;
    last = x;
    context.fillRect(x, top + 3, 1, HEIGHT - 6);
  }
}

// Progress as dots that stay apart; the end of a run that was lost or retried as a line.
function drawMarks(context, scale, marks, shift, y, palette) {
  let last = -10;
  for (const [at, kind] of marks) {
    const x = scale.x(at - shift);
    if (kind !== "progress") cutOff(context, x, y, kind, palette);
    else if (x - last >= 7) {
      last = x;
      dot(context, x, y, palette.tick);
    }
  }
}

function dot(context, x, y, colour) {
  context.fillStyle = colour;
  context.beginPath();
  context.arc(x, y, 2.2, 0, 7);
  context.fill();
}

function cutOff(context, x, y, kind, palette) {
  context.strokeStyle = kind === "lost" ? palette.lost : palette.accent;
  context.lineWidth = 1.5;
  context.setLineDash([3, 2]);
  context.beginPath();
  context.moveTo(x, y - 10);
  context.lineTo(x, y + 10);
  context.stroke();
  context.setLineDash([]);
  context.lineWidth = 1;
}

function diamond(context, x, y, colour) {
  context.fillStyle = colour;
  context.beginPath();
  context.moveTo(x, y - 5);
  context.lineTo(x + 5, y);
  context.lineTo(x, y + 5);
  context.lineTo(x - 5, y);
  context.fill();
}
