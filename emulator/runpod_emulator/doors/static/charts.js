// Drawings of an endpoint's past: how many jobs waited, and how long each had to.
import { html, useEffect, useLayoutEffect, useRef, useState } from "./html.js";
import uPlot from "uplot";
import { colours } from "./draw.js";
import { clock, duration } from "./format.js";
import { onTheme } from "./theme.js";

const MOST = 2_000;
const HEIGHT = 170;

// What is drawn of some lives: the depth of the queue whenever it changed, and each job's delay. Times in s, delays in ms.
export function series(lives) {
  const recent = lives.slice(-MOST);
  const changes = [];
  const delays = [];
  let [colds, coldTime] = [0, 0];
  for (const life of recent) {
    for (const span of life.spans) {
      if (span.kind !== "queued") continue;
      changes.push([span.from, 1]);
      if (span.to === null) continue;
      changes.push([span.to, -1]);
      delays.push([span.from / 1000, span.to - span.from]);
    }
    for (const [from, to] of life.cold) {
      colds += 1;
      coldTime += to - from;
    }
  }
  if (!changes.length) return null;
  changes.sort((one, other) => one[0] - other[0]);
  delays.sort((one, other) => one[0] - other[0]);
  const depth = [[], []];
  let waiting = 0;
  for (const [at, step] of changes) {
    waiting += step;
    if (depth[0].at(-1) === at / 1000) depth[1][depth[1].length - 1] = waiting;
    else {
      depth[0].push(at / 1000);
      depth[1].push(waiting);
    }
  }
  return { depth, delays: [delays.map((one) => one[0]), delays.map((one) => one[1])], colds, coldTime };
}

function Chart({ title, data, options, label }) {
  const box = useRef(null);
  const [themed, setThemed] = useState(0);
  const plot = useRef(null);
  useEffect(() => onTheme(() => setThemed((one) => one + 1)), []);
  useLayoutEffect(() => {
    const palette = colours();
    const times = (_, seconds, __, ___, step) => seconds.map((one) => clock(one * 1000, step < 1));
    const axis = { space: 78, size: 32, values: times, stroke: palette.muted, grid: { stroke: palette.grid, width: 1 }, ticks: { stroke: palette.grid }, font: "11px system-ui" };
    plot.current = new uPlot({ width: box.current.clientWidth, height: HEIGHT, cursor: { drag: { x: false, y: false } }, legend: { show: false },
      ...options(palette, axis) }, data, box.current);
    const watch = new ResizeObserver(() => plot.current?.setSize({ width: box.current.clientWidth, height: HEIGHT }));
    watch.observe(box.current);
    return () => {
      watch.disconnect();
      plot.current.destroy();
      plot.current = null;
    };
  }, [themed]);
  useEffect(() => plot.current?.setData(data), [data]);
  return html`<figure class="chart" aria-label=${label}><figcaption class="small muted">${title}</figcaption><div ref=${box}></div></figure>`;
}

export function Depth({ told }) {
  const options = (palette, axis) => ({
    axes: [axis, { ...axis, space: 30, values: null, size: 44, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] }],
    scales: { y: { range: (_, low, high) => [0, Math.max(1, high)] } },
    series: [{}, { stroke: palette.accent, fill: `color-mix(in srgb, ${palette.accent} 18%, transparent)`, width: 1.5, points: { show: false },
      paths: uPlot.paths.stepped({ align: 1 }) }],
  });
  const most = Math.max(...told.depth[1]);
  return html`<${Chart} title="Jobs that wait" data=${told.depth} options=${options} label=${`Jobs that wait; at most ${most}`} />`;
}

export function Delays({ told }) {
  const options = (palette, axis) => ({
    axes: [axis, { ...axis, space: 30, size: 62, values: (_, values) => values.map((one) => duration(one)) }],
    scales: { y: { range: (_, low, high) => [0, Math.max(5, high * 1.05)] } },
    series: [{}, { stroke: palette.cold, width: 0, paths: () => null, points: { show: true, size: 5, fill: palette.cold, stroke: palette.cold } }],
  });
  const longest = Math.max(0, ...told.delays[1]);
  return html`<${Chart} title="How long each job waited" data=${told.delays} options=${options} label=${`How long jobs waited; the longest ${duration(longest)}`} />`;
}
