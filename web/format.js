// Numbers, times and durations as words, in the language of the page; and the server's clock, from which all
// ages are counted. Knows no element and no request.
import { lang, t } from "./texts.js";

const locale = { en: "en-GB", de: "de-DE" }[lang];
const number = [0, 1, 2, 3].map((digits) => new Intl.NumberFormat(locale, { maximumFractionDigits: digits }));
const fixed = [0, 1, 2, 3].map((digits) => new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits }));
const exactTime = new Intl.DateTimeFormat(locale, {
  timeZone: "UTC", year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
  fractionalSecondDigits: 3, hourCycle: "h23",
});
const clockTime = new Intl.DateTimeFormat(locale, { timeZone: "UTC", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const minuteTime = new Intl.DateTimeFormat(locale, { timeZone: "UTC", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dayTime = new Intl.DateTimeFormat(locale, { timeZone: "UTC", year: "numeric", month: "short", day: "numeric" });
const shortDay = new Intl.DateTimeFormat(locale, { timeZone: "UTC", month: "short", day: "numeric" });
const monthTime = new Intl.DateTimeFormat(locale, { timeZone: "UTC", month: "short", year: "numeric" });

/** What stands where there is no value. */
export const none = "–";

/** The server's clock, as last told, carried on by the browser's monotonic one. */
export const clock = {
  offsetMs: Date.now() - performance.now(),
  told: false,
  /** @param {string | number | null | undefined} now what the server says it is now */
  note(now) {
    const at = ms(now);
    if (at === null) return;
    const offset = at - performance.now();
    // An answer that travelled long says an earlier time: believe the latest unless the clock was set back.
    if (!this.told || offset > this.offsetMs || this.offsetMs - offset > 2000) this.offsetMs = offset;
    this.told = true;
  },
  now() {
    return performance.now() + this.offsetMs;
  },
};

/** @param {string | number | null | undefined} time RFC 3339 or milliseconds @returns {number | null} milliseconds */
export function ms(time) {
  if (time === null || time === undefined || time === "") return null;
  const at = typeof time === "number" ? time : Date.parse(time);
  return Number.isFinite(at) ? at : null;
}

/** `12,480`; a missing value is a dash, never 0. @param {number | null | undefined} n @param {0|1|2|3} [digits] */
export function num(n, digits = 0) {
  return typeof n === "number" && Number.isFinite(n) ? signed(number[digits].format(n)) : none;
}

/** A minus sign is not a hyphen. @param {string} text */
function signed(text) {
  return text.replace(/^-/, "−");
}

/** A measured value: about four digits, and always as many, so that a live one does not jump about. @param {unknown} value */
export function measure(value) {
  if (typeof value === "boolean") return value ? t("yes") : t("no");
  if (typeof value !== "number") return value === null || value === undefined ? none : String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e9 || size < 1e-3)) return signed(value.toExponential(2));
  if (Number.isInteger(value)) return num(value);
  return signed(fixed[size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 3].format(value));
}

/**
 * A value with its unit; bytes, bits and the like carry a prefix where they are large. SenML's `/` is a bare ratio.
 * @param {unknown} value @param {string | null | undefined} unit @returns {[string, string]}
 */
export function measured(value, unit) {
  const name = unit === "/" || !unit ? "" : unit;
  if (typeof value !== "number" || !/^(B|bit|bit\/s|B\/s|Hz|W|Wh|V|A|Pa|m)$/.test(name) || Math.abs(value) < 1e5) return [measure(value), name];
  const at = Math.min(3, Math.floor(Math.log10(Math.abs(value)) / 3) - 1);
  return [signed(fixed[2].format(value / 1000 ** (at + 1))), `${["k", "M", "G", "T"][at]}${name}`];
}

/** @param {number | null | undefined} n @returns {[string, string]} the figure, and k or M where it is long */
export function big(n) {
  if (typeof n !== "number" || !Number.isFinite(n)) return [none, ""];
  if (n >= 1e7) return [num(n / 1e6, 1), "M"];
  if (n >= 1e5) return [num(n / 1e3, 0), "k"];
  if (n >= 1e4) return [num(n / 1e3, 1), "k"];
  return [num(n, n < 10 ? 1 : 0), ""];
}

/** @param {number | null | undefined} bytes */
export function size(bytes) {
  if (typeof bytes !== "number") return none;
  if (bytes >= 1e9) return `${num(bytes / 1e9, 1)} GB`;
  if (bytes >= 1e6) return `${num(bytes / 1e6, 1)} MB`;
  if (bytes >= 1e3) return `${num(bytes / 1e3, 1)} kB`;
  return `${num(bytes)} B`;
}

/** `98.5 %` @param {number} share 0 to 1 @param {0|1|2} [digits] */
export function percent(share, digits = 1) {
  return Number.isFinite(share) ? `${num(share * 100, digits)} %` : none;
}

/** `65 s`, `13 h 40 min`, `41 d`. @param {number | null | undefined} seconds */
export function duration(seconds) {
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) return none;
  const s = Math.max(0, seconds);
  if (s < 1) return `${num(s * 1000)} ms`;
  if (s < 120) return `${num(Math.floor(s))} s`;
  if (s < 7200) return `${num(Math.floor(s / 60))} min`;
  if (s < 48 * 3600) {
    const hours = Math.floor(s / 3600);
    const minutes = Math.floor((s % 3600) / 60);
    return minutes === 0 ? `${hours} h` : `${hours} h ${minutes} min`;
  }
  const days = s / 86400;
  return days < 800 ? `${num(Math.floor(days))} d` : t("years", { n: Math.floor(days / 365.25) });
}

/** A clock's offset: `−3.41 s`, `+11 ms`. @param {number | null | undefined} seconds */
export function offset(seconds) {
  if (typeof seconds !== "number") return none;
  const sign = seconds < 0 ? "−" : "+";
  const s = Math.abs(seconds);
  return s < 1 ? `${sign}${num(s * 1000, s < 0.01 ? 1 : 0)} ms` : `${sign}${num(s, 2)} s`;
}

/** `2 s ago`. @param {number | null} atMs */
export function ago(atMs) {
  if (atMs === null) return t("never");
  const s = (clock.now() - atMs) / 1000;
  return s < 1 ? t("now") : t("ago", { d: duration(s) });
}

/** @param {number} atMs @returns {boolean} the same UTC day as the server's now */
function isToday(atMs) {
  return Math.floor(atMs / 86400000) === Math.floor(clock.now() / 86400000);
}

/** `14:03:41 UTC` today, `6 Nov 2026` further back. @param {string | number | null | undefined} time */
export function when(time) {
  const at = ms(time);
  if (at === null) return none;
  return isToday(at) ? `${clockTime.format(at)} UTC` : dayTime.format(at);
}

/** `14:03` today, `6 Nov` further back: for narrow columns. @param {string | number | null | undefined} time */
export function brief(time) {
  const at = ms(time);
  if (at === null) return none;
  return isToday(at) ? minuteTime.format(at) : shortDay.format(at);
}

/** The exact instant, for hover and for reading aloud. @param {string | number | null | undefined} time */
export function exact(time) {
  const at = ms(time);
  return at === null ? "" : `${exactTime.format(at)} UTC`;
}

/** `14:03:41 UTC` @param {number} atMs */
export function wall(atMs) {
  return `${clockTime.format(atMs)} UTC`;
}

/** A label on a time axis of the given span. @param {number} atMs @param {number} spanMs */
export function tick(atMs, spanMs) {
  if (spanMs <= 20 * 60e3) return clockTime.format(atMs);
  if (spanMs <= 2 * 86400e3) return minuteTime.format(atMs);
  if (spanMs <= 400 * 86400e3) return shortDay.format(atMs);
  return monthTime.format(atMs);
}

const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 432000, 604800, 1209600, 2592000, 7776000, 31536000];

/** Round times between two instants, at most `count`. @param {number} from @param {number} to @param {number} count @returns {number[]} */
export function ticks(from, to, count) {
  const span = to - from;
  if (!(span > 0)) return [];
  // Past two days the labels are days, so the marks are too.
  const least = span > 2 * 86400e3 ? 86400 : 1;
  const step = (steps.find((s) => s >= least && span / (s * 1000) <= count) ?? steps[steps.length - 1]) * 1000;
  const out = [];
  for (let at = Math.ceil(from / step) * step; at <= to && out.length < 32; at += step) out.push(at);
  return out;
}

/** `hf1:9c4e 61d0 … a71f` @param {string | null | undefined} id */
export function shortId(id) {
  const text = id ?? "";
  const hex = text.startsWith("hf1:") ? text.slice(4) : text;
  return hex.length <= 12 ? text : `${text.startsWith("hf1:") ? "hf1:" : ""}${hex.slice(0, 4)} ${hex.slice(4, 8)} … ${hex.slice(-4)}`;
}
