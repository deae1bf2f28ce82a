// A JSON value as a tree. What is deep or long is made only when somebody opens it; texts stay texts.
import { html, useState } from "./html.js";
import { cut, visible } from "./format.js";
import { Media, kindOf } from "./media.js";

const OPEN_DEPTH = 2;
const OPEN_ITEMS = 40;
const PAGE = 100;
const LONGEST = 600;

export function Tree({ value, label }) {
  return html`<div class="tree" role="group" aria-label=${label}><${Node} value=${value} depth=${0} /></div>`;
}

function Node({ value, depth, name }) {
  if (value !== null && typeof value === "object") return html`<${Branch} value=${value} depth=${depth} name=${name} />`;
  return html`<div>${name}<${Leaf} value=${value} /></div>`;
}

function Branch({ value, depth, name }) {
  const isList = Array.isArray(value);
  const keys = isList ? null : Object.keys(value);
  const length = isList ? value.length : keys.length;
  const [open, setOpen] = useState(depth < OPEN_DEPTH && length <= OPEN_ITEMS);
  const [most, setMost] = useState(PAGE);
  const [before, after] = isList ? "[]" : "{}";
  if (length === 0) return html`<div>${name}<span class="muted">${before}${after}</span></div>`;
  const about = isList ? `${length} item${length === 1 ? "" : "s"}` : cut(keys.slice(0, 6).map(visible).join(", "), 70);
  const shown = Math.min(most, length);
  return html`<div>
    <button type="button" class="twist" aria-expanded=${String(open)} onClick=${() => setOpen(!open)}>${open ? "▾" : "▸"}<span class="hidden-text">${open ? "close" : "open"}</span></button>
    ${name}<span class="muted">${before}${open ? "" : html` ${about} ${after}`}</span>
    ${open ? html`<ul>${Array.from({ length: shown }, (_, index) => {
      const key = isList ? index : keys[index];
      const label = html`<span class="key">${isList ? index : visible(cut(key, 200))}</span><span class="muted">: </span>`;
      return html`<li key=${key}><${Node} value=${value[key]} depth=${depth + 1} name=${label} /></li>`;
    })}
    ${shown < length ? html`<li><button type="button" class="more" onClick=${() => setMost(most + PAGE * 5)}>${length - shown} more</button></li>` : null}
    </ul><span class="muted">${after}</span>` : null}
  </div>`;
}

function Leaf({ value }) {
  if (typeof value === "string") return html`<${Text} value=${value} />`;
  return html`<span class=${typeof value === "number" ? "number" : "word"}>${String(value)}</span>`;
}

function Text({ value }) {
  const [whole, setWhole] = useState(false);
  const media = kindOf(value);
  const most = media?.data ? 60 : LONGEST;
  const isLong = value.length > most;
  return html`<span class="string">"${visible(isLong && !whole ? value.slice(0, most) : value)}${isLong && !whole ? "…" : ""}"</span>
    ${isLong ? html` <button type="button" class="more" onClick=${() => setWhole(!whole)}>${whole ? "less" : `all ${value.length.toLocaleString("en")} characters`}</button>` : null}
    ${media ? html`<${Media} media=${media} />` : null}`;
}
