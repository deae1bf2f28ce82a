// Light or dark: as the system says, until somebody chooses.
const KEPT = "runpod-emulator.theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set();

export function theme() {
  return localStorage.getItem(KEPT) ?? (system.matches ? "dark" : "light");
}

function apply() {
  document.documentElement.dataset.theme = theme();
  for (const listener of listeners) listener();
}

export function toggleTheme() {
  const wanted = theme() === "dark" ? "light" : "dark";
  if ((wanted === "dark") === system.matches) localStorage.removeItem(KEPT);
  else localStorage.setItem(KEPT, wanted);
  apply();
}

// Calls `listener` whenever the colours have changed; returns what ends that.
export function onTheme(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

system.addEventListener("change", apply);
apply();
