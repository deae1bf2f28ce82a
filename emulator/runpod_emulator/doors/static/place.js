// Where the page is: the part of the address behind the `#`.
import { keep } from "./api.js";
import { world } from "./world.js";

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// The parts of the place, such as ["job", "echo", "8881…"].
export function place() {
  const parts = location.hash.replace(/^#\/?/, "").split("/").map(decoded);
  return parts[0] ? parts : ["timeline"];
}

export function go(path) {
  location.hash = path;
}

// Whether a key that was pressed there is text.
export function isWriting(target) {
  return target instanceof HTMLElement && target.closest("input:not([type=checkbox]), textarea, select") !== null;
}

export function chooseNamespace(name) {
  keep("namespace", name);
  world.restart();
}
