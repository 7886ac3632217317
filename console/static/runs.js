// The table of the newest runs.

import { age, formats, moment, setText, whole } from "./figures.js";

const config = window.runmeterConfig;

const TONES = { completed: "good", started: "brand", cancelled: "warn" };
/** Classes of the cells, as in the table's head. */
const COLUMNS = [
  "",
  "",
  "rm-mono",
  "rm-wide",
  "rm-number rm-wide",
  "rm-number rm-wide",
  "rm-number rm-wide",
  "rm-number rm-wide",
  "rm-number",
];
const NAMES = { started: "Running", limit_exceeded: "Limit reached" };

export function note(text) {
  setText(document.querySelector("[data-live-runs-note]"), text);
}

/** Fill the table; rows that stay are kept, so that a selection in them is too. */
export function drawRuns(runs, now) {
  const body = document.querySelector("[data-live-runs]");
  if (!body) return;
  note(runs.length ? "" : "No runs in the last 30 days. They appear here some seconds after they start.");
  const known = new Map([...body.children].map((row) => [row.dataset.run, row]));
  const rows = runs.map((run) => {
    const row = known.get(run.run_id) ?? newRow(run);
    fillRow(row, run, now);
    return row;
  });
  body.replaceChildren(...rows);
}

function newRow(run) {
  const row = document.createElement("tr");
  row.dataset.run = run.run_id;
  row.dataset.testid = "run";
  for (const classes of COLUMNS) {
    const cell = document.createElement("td");
    cell.className = classes;
    row.append(cell);
  }
  const time = document.createElement("time");
  time.dateTime = new Date(run.started_at_ms).toISOString();
  time.title = moment.format(run.started_at_ms);
  time.dataset.at = run.started_at_ms;
  const link = document.createElement("a");
  row.dataset.href = link.href = `/account/runs/${encodeURIComponent(run.run_id)}?instance=${encodeURIComponent(config.instance)}`;
  link.append(time);
  row.children[0].append(link);
  row.children[1].append(document.createElement("span"));
  return row;
}

function fillRow(row, run, now) {
  const badge = row.children[1].firstChild;
  badge.className = `rm-badge rm-badge--${TONES[run.status] ?? "bad"}`;
  const name = NAMES[run.status] ?? run.status[0].toUpperCase() + run.status.slice(1);
  setText(badge, name);
  if (run.error_code) badge.title = run.error_code;
  const ended = run.status !== "started";
  const cells = [
    run.model,
    run.channel,
    whole.format(run.tokens_in),
    whole.format(run.tokens_out),
    whole.format(run.tool_calls),
    ended ? formats.duration(run.duration_ms) : "–",
    formats.credits(run.credits_micro / 1e6),
  ];
  row.children[2].title = run.model;
  cells.forEach((text, at) => setText(row.children[at + 2], text));
  setText(row.querySelector("time"), age(now - run.started_at_ms));
}

/** Let the ages in the table pass. */
export function drawAges(now) {
  for (const time of document.querySelectorAll("time[data-at]")) setText(time, age(now - Number(time.dataset.at)));
}
