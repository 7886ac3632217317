// Numbers, money and time in the visitor's locale, and the formulas that pages declare.

const config = window.runmeterConfig;
export const number = (options) => new Intl.NumberFormat(config.locale, options);
export const whole = number({ maximumFractionDigits: 0 });
export const short = number({ notation: "compact", maximumSignificantDigits: 4 });
const share = number({ style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const credits = number({ minimumFractionDigits: 2, maximumFractionDigits: 2 });
const smallCredits = number({ minimumFractionDigits: 4, maximumFractionDigits: 4 });
const seconds = number({ minimumFractionDigits: 1, maximumFractionDigits: 1 });
export const clock = new Intl.DateTimeFormat(config.locale, { hour: "2-digit", minute: "2-digit" });
export const fullClock = new Intl.DateTimeFormat(config.locale, { timeStyle: "medium" });
export const date = new Intl.DateTimeFormat(config.locale, { dateStyle: "medium" });
export const shortDate = new Intl.DateTimeFormat(config.locale, { month: "short", day: "numeric" });
export const moment = new Intl.DateTimeFormat(config.locale, { dateStyle: "medium", timeStyle: "medium" });

export const formats = {
  integer: (value) => (Math.abs(value) < 1e6 ? whole : short).format(value),
  percent: (value) => share.format(value),
  credits: (value) =>
    (Math.abs(value) >= 1 || Math.abs(value * 100 - Math.round(value * 100)) < 1e-6 ? credits : smallCredits).format(value),
  duration: (value) => (value < 1000 ? `${whole.format(value)} ms` : `${seconds.format(value / 1000)} s`),
};

/** @returns {number | null} a formula over one set of counters; null when it would divide by nothing */
export function evaluate({ plus, minus = [], per = [], scale = 1 }, counters) {
  const sum = (names) => names.reduce((total, name) => total + (counters[name] ?? 0), 0);
  const divisor = per.length ? sum(per) : 1;
  return divisor === 0 ? null : (scale * (sum(plus) - sum(minus))) / divisor;
}

const words = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "narrow" });
export function age(ms) {
  const s = Math.max(0, ms) / 1000;
  if (s < 10) return `${seconds.format(s)} s ago`;
  if (s < 60) return `${Math.floor(s)} s ago`;
  if (s < 3600) return words.format(-Math.floor(s / 60), "minute");
  if (s < 86400) return words.format(-Math.floor(s / 3600), "hour");
  return words.format(-Math.floor(s / 86400), "day");
}

/** All counters of a window at nothing. */
export const zero = Object.fromEntries((config.fields ?? []).map((name) => [name, 0]));

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
