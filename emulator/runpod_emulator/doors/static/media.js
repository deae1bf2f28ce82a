// Images, sound and films within texts: as data they are shown, at an address of another server only when somebody asks.
import { html, useState } from "./html.js";
import { cut, size, visible } from "./format.js";

const DATA = /^data:((?:image|audio|video)\/[a-z0-9.+-]+)(?:;[a-z0-9=."+-]+)*;base64,/i;
const BASE64 = /^[A-Za-z0-9+/\r\n]{60,}={0,2}\s*$/;
const BEGINNINGS = [
  ["iVBORw0KGgo", "image/png"], ["/9j/", "image/jpeg"], ["R0lGOD", "image/gif"], ["SUkq", "image/tiff"], ["Qk0", "image/bmp"],
  ["SUQz", "audio/mpeg"], ["//uQ", "audio/mpeg"], ["//vQ", "audio/mpeg"], ["T2dnUw", "audio/ogg"], ["ZkxhQw", "audio/flac"],
  ["GkXfo", "video/webm"],
];
const ENDINGS = { png: "image", jpg: "image", jpeg: "image", gif: "image", webp: "image", avif: "image", svg: "image", mp3: "audio",
  wav: "audio", ogg: "audio", flac: "audio", m4a: "audio", mp4: "video", webm: "video", mov: "video" };
const LONGEST_ADDRESS = 4_000;

// What a text is, if it is more: `{type, data}` with an address that holds it, or `{type, url}`; null for a mere text.
export function kindOf(text) {
  const given = DATA.exec(text.slice(0, 200));
  if (given) return { type: given[1].toLowerCase(), data: text, bytes: text.length * 0.75 };
  if (text.length < LONGEST_ADDRESS && /^https?:\/\//i.test(text)) return addressOf(text);
  if (text.length < 60 || !BASE64.test(text.slice(0, 400).replace(/=*$/, ""))) return null;
  const type = typeOf(text);
  return type ? { type, data: `data:${type};base64,${text}`, bytes: text.length * 0.75 } : null;
}

function addressOf(text) {
  try {
    const url = new URL(text);
    const ending = /\.([a-z0-9]{2,4})$/i.exec(url.pathname)?.[1]?.toLowerCase();
    return { type: ENDINGS[ending] ?? "", url: url.href };
  } catch {
    return null;
  }
}

function typeOf(text) {
  const known = BEGINNINGS.find(([beginning]) => text.startsWith(beginning));
  if (known) return known[1];
  const head = decoded(text.slice(0, 24));
  if (head.startsWith("RIFF")) return { WEBP: "image/webp", WAVE: "audio/wav" }[head.slice(8, 12)] ?? null;
  return head.slice(4, 8) === "ftyp" ? "video/mp4" : null;
}

function decoded(text) {
  try {
    return atob(text);
  } catch {
    return "";
  }
}

export function Media({ media }) {
  const [failed, setFailed] = useState(false);
  if (media.url) return html`<${Elsewhere} media=${media} />`;
  const about = `${media.type}, ${size(Math.round(media.bytes))}`;
  if (failed) return html`<div class="media muted small">It begins like ${about}, but cannot be shown.</div>`;
  const more = { src: media.data, onError: () => setFailed(true) };
  const [kind] = media.type.split("/");
  return html`<div class="media">
    ${kind === "image" ? html`<img ...${more} alt=${`An image of the job: ${about}`} />` : null}
    ${kind === "audio" ? html`<audio ...${more} controls aria-label=${`Sound of the job: ${about}`}></audio>` : null}
    ${kind === "video" ? html`<video ...${more} controls aria-label=${`A film of the job: ${about}`}></video>` : null}
    <span class="small muted">${about}</span></div>`;
}

// The frame has a policy of its own, which lets images in from elsewhere and no more: the page itself loads nothing of strangers.
function Elsewhere({ media }) {
  const [open, setOpen] = useState(false);
  const host = new URL(media.url).host;
  return html`<div class="media">
    <span class="row small"><a href=${media.url} target="_blank" rel="noopener noreferrer">open ${visible(cut(host, 60))}</a>
    ${media.type ? html`<button type="button" class="more" onClick=${() => setOpen(!open)}>${open ? "hide" : `show the ${media.type} here`}</button>` : null}</span>
    ${open ? html`<iframe title=${`What ${host} serves`} referrerpolicy="no-referrer"
      src=${`/__emulator/ui/frame.html#${media.type}:${media.url}`}></iframe>` : null}</div>`;
}
