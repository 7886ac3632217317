// Keeps a live page current: merges absolute windows, fills tiles, charts and the table of runs.
// The page declares what each tile and chart shows (`data-live-*`); nothing here knows a figure's meaning.

import { drawCharts, repaint } from "./charts.js";
import { age, evaluate, formats, setText, zero } from "./figures.js";
import { drawAges, drawRuns, note } from "./runs.js";

const config = window.runmeterConfig;
const WIDTHS = { second5: { ms: 5000, count: 120 }, minute: { ms: 60000, count: 60 } };
/** Without a message for this long the figures are no longer known to be live (heartbeats are due). */
const SILENCE_MS = 40000;

const state = {
  link: "connecting",
  heardAt: performance.now(),
  changed: 0,
  offset: 0,
  total: null,
  wallet: null,
  second5: new Map(),
  minute: new Map(),
  runs: null,
};

const now = () => Date.now() + state.offset;
const all = (selector) => document.querySelectorAll(selector);

// --- messages ---------------------------------------------------------------------------------------------

function receive(message) {
  state.heardAt = performance.now();
  if (message.link) state.link = message.link;
  if (message.totals) merge(message);
  if (message.runs) drawRuns((state.runs = message.runs), now());
  if (message.runs_error && !state.runs) note(message.runs_error);
  drawLink();
}

function merge(message) {
  state.offset = message.now - Date.now();
  state.changed = message.changed;
  state.total = message.totals;
  state.wallet = message.wallet;
  if (message.stale) state.link = "stale";
  for (const width of Object.keys(WIDTHS)) {
    if (message.full) state[width] = new Map();
    for (const values of message[width]) {
      const window = Object.fromEntries(config.fields.map((name, at) => [name, values[at]]));
      state[width].set(window.start_ms, window);
    }
  }
  schedule();
}

let scheduled = false;
function schedule() {
  if (scheduled) return;
  scheduled = true;
  // A hidden tab gets no animation frames: it draws when it is looked at, and its figures stay right.
  const draw = () => {
    scheduled = false;
    drawTiles();
    drawCharts(state, starts, schedule);
  };
  if (document.hidden) setTimeout(draw, 250);
  else requestAnimationFrame(draw);
}

// --- tiles ------------------------------------------------------------------------------------------------

/** The starts of the windows shown, oldest first; the last is the current one. */
function starts(width) {
  const { ms, count } = WIDTHS[width];
  const last = Math.floor(now() / ms) * ms;
  return Array.from({ length: count }, (_, at) => last - (count - 1 - at) * ms);
}

function drawTiles() {
  if (!state.total) return;
  const hour = { ...zero };
  for (const start of starts("minute")) {
    const window = state.minute.get(start);
    if (window) for (const name of config.fields) hour[name] += window[name];
  }
  for (const banner of all("[data-live-empty]")) banner.hidden = state.wallet.available_micro > 0;
  const sources = { total: state.total, wallet: state.wallet, hour };
  for (const element of all("[data-live-value]")) {
    element.formula ??= JSON.parse(element.dataset.liveValue);
    const value = evaluate(element.formula, sources[element.formula.source ?? "total"]);
    setText(element, value === null ? "–" : formats[element.dataset.liveKind](value));
  }
}

// --- connection -------------------------------------------------------------------------------------------

const LINKS = {
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting",
  stale: "Counters unavailable",
  signed_out: "Signed out",
  missing: "No longer available",
};

function drawLink() {
  const badge = document.querySelector("[data-live-link]");
  if (!badge) return;
  const silent = performance.now() - state.heardAt > SILENCE_MS || window.socket?.connected === false;
  const link = silent && (state.link === "live" || state.link === "stale") ? "reconnecting" : state.link;
  badge.dataset.state = link;
  setText(badge.querySelector("[data-live-state]"), LINKS[link]);
  setText(badge.querySelector("[data-live-age]"), state.changed ? `updated ${age(now() - state.changed)}` : "");
}

// --- clockwork --------------------------------------------------------------------------------------------

let drawnAt = 0;
const recolour = () => {
  repaint();
  schedule();
};
new MutationObserver(recolour).observe(document.body, { attributeFilter: ["class"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);

setInterval(() => {
  drawLink();
  const slot = Math.floor(now() / WIDTHS.second5.ms);
  if (state.total && slot !== drawnAt) {
    drawnAt = slot;
    schedule();
    drawAges(now());
  }
}, 250);

window.runmeter = receive;
window.runmeterQueue.splice(0).forEach(receive);
