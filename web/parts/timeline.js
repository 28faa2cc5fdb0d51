// What a device was, on one axis: certificates, gateways, boots, entries. Each lane is bars and marks in percent.
import { html, nothing, svg } from "../vendor/lit-html.js";
import { clock, ms, tick, ticks, when } from "../format.js";
import { t } from "../texts.js";

/** @typedef {{from: number, to: number}} Span */
/** @typedef {{from: number, to: number, fill: string, text: string, says: string, top?: number, height?: number}} Bar */

const leastText = 7;

/** @param {number} at @param {Span} s */
function percent(at, s) {
  return Math.max(0, Math.min(100, ((at - s.from) / (s.to - s.from)) * 100));
}

/** @param {string} name @param {Bar[]} bars @param {{at: number, says: string, shape: string}[]} marks @param {Span} s @param {number[]} grid */
function lane(name, bars, marks, s, grid) {
  const shown = bars.filter((b) => b.to > s.from && b.from < s.to);
  const seen = marks.filter((m) => m.at >= s.from && m.at <= s.to);
  const says = [...shown.map((b) => b.says), ...seen.map((m) => m.says)].slice(0, 40).join("; ");
  return html`<div class="lane">
    <span>${name}</span>
    <svg role="img" aria-label=${says === "" ? `${name}: ${t("none")}` : `${name}: ${says}`}>
      ${grid.map((at) => svg`<line class="grid-v" x1="${percent(at, s)}%" x2="${percent(at, s)}%" y1="0" y2="24"></line>`)}
      ${shown.map((b) => {
        const x = percent(b.from, s);
        const width = Math.max(0.25, percent(b.to, s) - x);
        return svg`<rect class=${b.fill} x="${x.toFixed(3)}%" y=${b.top ?? 5} width="${width.toFixed(3)}%" height=${b.height ?? 14} rx="3"><title>${b.says}</title></rect>
          ${width > leastText && b.text !== "" ? svg`<svg x="${x.toFixed(3)}%" width="${width.toFixed(3)}%" height="24" class="clip"><text class="tt ${b.fill === "f-gen2" ? "on" : ""}" x="0" y="15.5" dx="6">${b.text}</text></svg>` : nothing}`;
      })}
      ${seen.map((m) =>
        m.shape === "dot"
          ? svg`<circle class="f-ink" cx="${percent(m.at, s).toFixed(3)}%" cy="12" r="3"><title>${m.says}</title></circle>`
          : svg`<line class="mark" x1="${percent(m.at, s).toFixed(3)}%" x2="${percent(m.at, s).toFixed(3)}%" y1="5" y2="19"><title>${m.says}</title></line>`,
      )}
      <line class="now" x1="100%" x2="100%" y1="0" y2="24"></line>
    </svg>
  </div>`;
}

/** When this device was first heard of. @param {any} d @returns {number} */
export function beginning(d) {
  const times = [
    d.created_at,
    ...(d.certificates ?? []).map((/** @type {any} */ c) => c.issued_at ?? c.not_before),
    ...(d.history?.links ?? []).map((/** @type {any} */ l) => l.from),
    ...(d.history?.boots ?? []).map((/** @type {any} */ b) => b.at),
    ...(d.entries ?? []).map((/** @type {any} */ e) => e.at),
  ];
  let first = Infinity;
  for (const time of times) first = Math.min(first, ms(time) ?? Infinity);
  return Number.isFinite(first) ? first : clock.now() - 3600e3;
}

/** Certificates as bars: a later generation takes the lower half while both are valid. @param {any[]} certificates @param {number} now @returns {Bar[]} */
function certificateBars(certificates, now) {
  const sorted = [...certificates].sort((a, b) => (a.generation ?? 0) - (b.generation ?? 0));
  return sorted.map((c, i) => {
    const from = ms(c.issued_at) ?? ms(c.not_before) ?? now;
    const next = sorted[i + 1];
    const end = Math.min(now, ms(c.not_after) ?? now, next ? (ms(next.issued_at) ?? ms(next.not_before) ?? now) : now);
    const text = t("tl.gen", { n: c.generation });
    return { from, to: Math.max(end, from), fill: i === sorted.length - 1 ? "f-gen2" : i % 2 === 0 ? "f-gen1" : "f-gen0", text, says: `${text}, ${when(from)}` };
  });
}

/** Links to gateways, hatch where there was none; an end that is unknown is where it was heard last. @param {any} d @param {number} now @returns {Bar[]} */
function linkBars(d, now) {
  const heard = ms(d.last_seen) ?? now;
  /** @type {any[]} */ const sorted = (d.history?.links ?? []).map((/** @type {any} */ l) => ({ ...l, from: ms(l.from) ?? now, to: ms(l.until) ?? (l.state === "unknown" ? heard : now) }));
  sorted.sort((a, b) => a.from - b.from);
  /** @type {string[]} */ const names = [...new Set(sorted.map((l) => l.gateway))];
  /** @type {Bar[]} */ const bars = [];
  let end = 0;
  for (const l of sorted) {
    if (end > 0 && l.from > end) bars.push({ from: end, to: l.from, fill: "f-gap", text: "", says: `${t("tl.nolink")}, ${when(end)}` });
    bars.push({ from: l.from, to: l.to, fill: names.indexOf(l.gateway) % 2 === 0 ? "f-gen1" : "f-gen0", text: l.gateway, says: `${l.gateway}, ${when(l.from)}${l.why ? `: ${l.why}` : ""}` });
    end = Math.max(end, l.to);
  }
  if (end > 0 && now - end > 1000) bars.push({ from: end, to: now, fill: "f-gap", text: t("tl.nolink"), says: `${t("tl.nolink")}, ${when(end)}` });
  return bars;
}

/** @param {any} d the device @param {number} rangeS 0 is everything */
export function timeline(d, rangeS) {
  const now = clock.now();
  const first = beginning(d);
  const from = rangeS === 0 ? first - (now - first) * 0.01 : now - rangeS * 1000;
  const s = { from, to: Math.max(now, from + 1000) };
  const marks = ticks(s.from, s.to, innerWidth < 640 ? 3 : 7);
  const links = linkBars(d, now);
  const boots = (d.history?.boots ?? []).map((/** @type {any} */ b) => ({ at: ms(b.at) ?? 0, says: t("tl.boot", { n: b.boot, when: when(b.at) }), shape: "line" }));
  const entries = (d.entries ?? []).map((/** @type {any} */ e) => ({ at: ms(e.at) ?? 0, says: `${e.what}, ${when(e.at)}`, shape: "dot" }));
  return html`<div class="tl">
      ${lane(t("tl.cert"), certificateBars(d.certificates ?? [], now), [], s, marks)}
      ${d.history?.links ? lane(t("tl.gateway"), links, [], s, marks) : nothing}
      ${d.history?.boots ? lane(t("tl.boots"), [], boots, s, marks) : nothing}
      ${entries.length > 0 ? lane(t("tl.entries"), [], entries, s, marks) : nothing}
      <div class="lane ax">
        <span></span>
        <svg aria-hidden="true">
          ${marks.filter((at) => percent(at, s) < (innerWidth < 640 ? 78 : 92)).map((at) => svg`<text class="tt q" x="${percent(at, s).toFixed(2)}%" y="14" text-anchor=${percent(at, s) < 4 ? "start" : "middle"}>${tick(at, s.to - s.from)}</text>`)}
          <text class="tt" x="100%" y="14" text-anchor="end">${t("tl.now")}</text>
        </svg>
      </div>
    </div>
    ${links.some((b) => b.fill === "f-gap" && b.to > s.from)
      ? html`<div class="tl-note"><span class="st"><svg class="sw" aria-hidden="true"><rect class="f-gap" width="18" height="10" rx="2"></rect></svg>${t("tl.link.note")}</span></div>`
      : nothing}`;
}
