// The timeline: a row for each job, newest first. Only the rows in sight are in the document; their bars are on one canvas.
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./html.js";
import { admin, part } from "./api.js";
import { Scale, colours, drawAxis, drawGrid, drawLife, sharp } from "./draw.js";
import { count, duration, shortId, visible } from "./format.js";
import { Job } from "./job.js";
import { STATUSES, keyOf } from "./life.js";
import { First } from "./first.js";
import { Status, jobLink, statusWord } from "./parts.js";
import { go, isWriting, place } from "./place.js";
import { AXES, chosen, range, sight } from "./rows.js";
import { onTheme } from "./theme.js";
import { world } from "./world.js";

const LIVE = 100;
const SEARCHED = 2;
const narrow = matchMedia("(max-width: 760px)");
const remembered = { text: "", endpoint: "", statuses: new Set(), axis: "fit" };

function useNews() {
  const [, set] = useState(0);
  useEffect(() => world.listen(["transition", "reset", "webhook", "worker", "clock"], () => set((one) => one + 1)), []);
}

export function Timeline({ job, flawed }) {
  useNews();
  const [filter, setFilter] = useState(remembered);
  const [frozen, setFrozen] = useState(null);
  const choose = (more) => setFilter((before) => Object.assign(remembered, { ...before, ...more }) && { ...before, ...more });
  const found = useFound(filter.text);
  const lives = frozen?.lives ?? world.lives;
  const now = frozen?.now ?? world.now();
  const { list, counts } = chosen(lives, { ...filter, found });
  const pause = () => setFrozen((before) => (before ? null : { lives: new Map(world.lives), now: world.now(), version: world.lives.size }));
  const endpoints = useMemo(() => [...new Set([...world.lives.values()].map((one) => one.endpoint))].sort(), [world.lives.size, world.age]);
  const waiting = frozen ? [...world.lives.keys()].filter((key) => !frozen.lives.has(key)).length : 0;
  const key = job ? keyOf(job.endpoint, job.id) : null;
  useKeys(list, pause);
  const isEmpty = world.lives.size === 0 && world.state === "live";
  return html`<div class=${`timeline ${job ? "with-job" : ""}`}>
    <section class="jobs" aria-label="Timeline of jobs">
      <${Bar} filter=${filter} choose=${choose} counts=${counts} endpoints=${endpoints} frozen=${frozen} pause=${pause} waiting=${waiting} />
      ${isEmpty ? html`<div class="scroll"><${First} /></div>`
        : html`<${Rows} list=${list} now=${now} axis=${filter.axis} frozen=${frozen !== null} chosen=${key} filtered=${world.lives.size > 0} flawed=${flawed} />`}
    </section>
    ${job ? html`<${Job} key=${key} endpoint=${job.endpoint} id=${job.id} close=${() => go("/timeline")} />` : null}
  </div>`;
}

// The jobs whose input holds the text: only the server knows them all.
function useFound(text) {
  const [found, set] = useState(null);
  useEffect(() => {
    const gone = new AbortController();
    const wait = text.trim().length < SEARCHED ? null : setTimeout(async () => {
      try {
        const { jobs } = await admin(`/timeline/search?q=${part(text.trim())}`, { signal: gone.signal });
        set(new Set(jobs.map(([endpoint, id]) => keyOf(endpoint, id))));
      } catch {
        set(null);
      }
    }, 250);
    return () => {
      gone.abort();
      clearTimeout(wait);
      set(null);
    };
  }, [text]);
  return found;
}

// Keys may come faster than the page is drawn: which job is chosen is asked of the address, not of what is shown.
function chosenNow() {
  const [view, endpoint, id] = place();
  return view === "job" ? keyOf(endpoint, id) : null;
}

function useKeys(list, pause) {
  const latest = useRef(null);
  latest.current = { list, pause };
  useEffect(() => {
    function pressed(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
      if (event.key === "Escape") {
        if (isWriting(event.target)) event.target.blur();
        else if (chosenNow()) go("/timeline");
        return;
      }
      if (isWriting(event.target)) return;
      const step = { j: -1, ArrowDown: -1, k: 1, ArrowUp: 1 }[event.key];
      const isOnRows = event.target === document.body || event.target.closest?.(".jobs");
      if (step && (event.key.length === 1 || isOnRows)) move(step);
      else if (event.key === "p") latest.current.pause();
      else return;
      event.preventDefault();
    }
    function move(step) {
      const { list: rows } = latest.current;
      if (!rows.length) return;
      const at = chosenNow();
      const index = rows.findIndex((one) => one.key === at);
      const next = rows[index < 0 ? rows.length - 1 : Math.min(rows.length - 1, Math.max(0, index + step))];
      go(jobLink(next.endpoint, next.id).slice(1));
    }
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
}

function Bar({ filter, choose, counts, endpoints, frozen, pause, waiting }) {
  function toggle(status) {
    const statuses = new Set(filter.statuses);
    if (!statuses.delete(status)) statuses.add(status);
    choose({ statuses });
  }
  return html`<div class="bar">
    <input id="filter" type="search" placeholder="Filter: id, worker, input …   /" aria-label="Filter jobs by text" value=${filter.text}
      onInput=${(event) => choose({ text: event.target.value })} />
    <select aria-label="Endpoint" value=${filter.endpoint} onChange=${(event) => choose({ endpoint: event.target.value })}>
      <option value="">all endpoints</option>
      ${endpoints.map((one) => html`<option key=${one} value=${one}>${visible(one)}</option>`)}
    </select>
    <div class="chips" role="group" aria-label="Statuses">${STATUSES.map((status) => html`
      <button key=${status} type="button" class="chip" aria-pressed=${String(filter.statuses.has(status))} onClick=${() => toggle(status)}>
        <${Status} status=${status} />${" "}<b>${counts[status].toLocaleString("en")}</b></button>`)}
    </div>
    <span class="grow"></span>
    <select aria-label="Axis" value=${filter.axis} onChange=${(event) => choose({ axis: event.target.value })}>
      ${Object.entries(AXES).map(([name, title]) => html`<option key=${name} value=${name}>${title}</option>`)}
    </select>
    <button type="button" class="button" aria-pressed=${String(frozen !== null)} onClick=${pause}>
      ${frozen ? `Go on${waiting ? ` (${count(waiting, "new job")})` : ""}` : "Pause"} <kbd class="desk">p</kbd></button>
  </div>`;
}

function Rows({ list, now, axis, frozen, chosen: key, filtered, flawed }) {
  const isStuck = (life) => life.status === "IN_QUEUE" && !life.gone && flawed.includes(life.endpoint);
  const scroll = useRef(null);
  const [view, setView] = useState({ top: 0, height: 600, width: 1000 });
  const [zoom, setZoom] = useState(null);
  const rowHeight = narrow.matches ? 52 : 30;
  useSize(scroll, setView);
  useAnchor(scroll, list, rowHeight, view.top);
  useEffect(() => setZoom(null), [axis]);
  const { first, last } = sight(list.length, view.top, view.height, rowHeight);
  const inSight = [];
  for (let index = first; index < last; index++) inSight.push(list[list.length - 1 - index]);
  useShown(scroll, list, key, rowHeight);
  const goesOn = !frozen && world.clock.mode === "real" && inSight.some((one) => one.ended === null);
  useBeat(goesOn);
  const present = goesOn ? world.now() : now;
  const [from, to] = zoom ?? range(axis, inSight, present);
  return html`
    <${Axis} from=${from} to=${to} axis=${axis} zoom=${zoom} setZoom=${setZoom} width=${view.width} />
    <div class="scroll" ref=${scroll} onScroll=${(event) => setView((before) => ({ ...before, top: event.target.scrollTop }))}
      role=${list.length ? "listbox" : "region"} aria-label=${`Jobs, newest first: ${list.length}`} tabindex="0" aria-activedescendant=${key ? "chosen-job" : undefined}>
      <div class="over"><${Tracks} lives=${inSight} first=${first} view=${view} rowHeight=${rowHeight} from=${from} to=${to}
        now=${present} axis=${axis} isStuck=${isStuck} /></div>
      <div class="rows" style=${{ height: `${list.length * rowHeight}px` }}>
        ${inSight.map((life, index) => html`<${Row} key=${life.key} life=${life} top=${(first + index) * rowHeight}
          place=${first + index + 1} of=${list.length} isChosen=${life.key === key} isStuck=${isStuck(life)} now=${present} version=${life.moments.length} />`)}
      </div>
      ${list.length === 0 ? html`<p class="nothing muted">${filtered ? "No job fits the filter." : "Connecting…"}</p>` : null}
    </div>`;
}

function Row({ life, top, place, of, isChosen, isStuck, now }) {
  const { queued, worked } = life.lengths(now);
  const took = life.spans.some((span) => span.kind !== "queued") ? worked : queued;
  return html`<a class=${`job-row ${isChosen ? "chosen" : ""} ${life.gone ? "gone" : ""} ${isStuck ? "stuck" : ""}`} id=${isChosen ? "chosen-job" : undefined}
    style=${{ transform: `translateY(${top}px)` }} href=${jobLink(life.endpoint, life.id)} role="option" aria-selected=${String(isChosen)}
    aria-posinset=${place} aria-setsize=${of} tabindex="-1" draggable="false">
    <span class="status ${life.status}"><i aria-hidden="true"></i><span class="hidden-text">${statusWord(life.status)}${isStuck ? ", no worker can start" : ""}</span></span>${" "}
    <span class="ellipsis name">${visible(life.endpoint)}</span>${" "}
    <span class="mono ellipsis id">${visible(shortId(life.id))}</span>${" "}
    <span class="track"></span>
    <span class="took">${duration(took)}</span>
  </a>`;
}

function Axis({ from, to, axis, zoom, setZoom, width }) {
  const canvas = useRef(null);
  const [drag, setDrag] = useState(null);
  useRedrawnWithTheme();
  useLayoutEffect(() => {
    const { clientWidth } = canvas.current.parentElement;
    drawAxis(sharp(canvas.current, clientWidth, 30), new Scale(from, to, clientWidth), 30, colours(), axis === "start");
  });
  const xOf = (event) => event.clientX - canvas.current.getBoundingClientRect().left;
  function down(event) {
    event.currentTarget.setPointerCapture(event.pointerId);
    setDrag([xOf(event), xOf(event)]);
  }
  function up() {
    if (drag && Math.abs(drag[1] - drag[0]) > 5) {
      const scale = new Scale(from, to, canvas.current.parentElement.clientWidth);
      setZoom([scale.at(Math.min(...drag)), scale.at(Math.max(...drag))]);
    }
    setDrag(null);
  }
  return html`<div class="axis" data-width=${width}>
    <span class="axis-name muted small">newest first</span>
    <div class="axis-track" onPointerDown=${down} onPointerMove=${(event) => drag && setDrag([drag[0], xOf(event)])} onPointerUp=${up}
      onDblClick=${() => setZoom(null)} title="Drag to look closer, double-click for everything">
      <canvas ref=${canvas} aria-hidden="true"></canvas>
      ${drag ? html`<span class="drag" style=${{ left: `${Math.min(...drag)}px`, width: `${Math.abs(drag[1] - drag[0])}px` }}></span>` : null}
      ${zoom ? html`<button type="button" class="button reset-zoom" onPointerDown=${(event) => event.stopPropagation()}
        onClick=${() => setZoom(null)}>Everything</button>` : null}
    </div>
    <span class="took muted small">took</span>
  </div>`;
}

function Tracks({ lives, first, view, rowHeight, from, to, now, axis, isStuck }) {
  const canvas = useRef(null);
  useRedrawnWithTheme();
  useLayoutEffect(() => {
    const track = document.querySelector(".axis-track");
    const list = canvas.current.closest(".scroll");
    const left = track.getBoundingClientRect().left - list.getBoundingClientRect().left;
    canvas.current.style.left = `${left}px`;
    const width = track.clientWidth;
    const context = sharp(canvas.current, width, view.height);
    const [scale, palette] = [new Scale(from, to, width), colours()];
    if (!narrow.matches) drawGrid(context, scale, view.height, palette);
    const middle = narrow.matches ? rowHeight - 14 : rowHeight / 2;
    lives.forEach((life, index) => drawLife(context, scale, life, (first + index) * rowHeight - view.top + middle, {
      now, palette: isStuck(life) ? { ...palette, queued: palette.bad } : palette, shift: axis === "start" ? life.from : 0,
    }));
  });
  return html`<canvas class="tracks" ref=${canvas} aria-hidden="true"></canvas>`;
}

function useRedrawnWithTheme() {
  const [, set] = useState(0);
  useEffect(() => onTheme(() => set((one) => one + 1)), []);
}

function useSize(scroll, setView) {
  useLayoutEffect(() => {
    const watch = new ResizeObserver(() => {
      if (scroll.current === null) return;
      const { clientHeight: height, clientWidth: width, scrollTop: top } = scroll.current;
      setView({ height, width, top });
    });
    watch.observe(scroll.current);
    return () => watch.disconnect();
  }, []);
}

// Who has scrolled down keeps the rows in sight, also when new ones come above them.
function useAnchor(scroll, list, rowHeight, top) {
  const newest = useRef(null);
  useLayoutEffect(() => {
    if (newest.current && top > 0) {
      const index = list.lastIndexOf(newest.current);
      if (index >= 0 && index < list.length - 1) scroll.current.scrollTop += (list.length - 1 - index) * rowHeight;
    }
    newest.current = list.at(-1) ?? null;
  }, [list.at(-1)?.key]);
}

// The chosen row comes into sight.
function useShown(scroll, list, key, rowHeight) {
  useEffect(() => {
    const index = key ? list.findIndex((one) => one.key === key) : -1;
    if (index < 0) return;
    const top = (list.length - 1 - index) * rowHeight;
    const box = scroll.current;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + rowHeight > box.scrollTop + box.clientHeight) box.scrollTop = top + rowHeight - box.clientHeight;
  }, [key]);
}

// Draws again ten times a second while something goes on, and not at all otherwise.
function useBeat(goesOn) {
  const [, set] = useState(0);
  useEffect(() => {
    if (!goesOn) return undefined;
    const beat = setInterval(() => document.hidden || set((one) => one + 1), LIVE);
    return () => clearInterval(beat);
  }, [goesOn]);
}
