// A device's measured values: one small chart per series on one time axis, live values beside them, and the same
// as a table. Values come from buckets of the server and, newer than those, from the stream.
import { html, nothing, svg } from "../vendor/lit-html.js";
import { get, Resource } from "../api.js";
import { brief, clock, duration, measure, measured, ms, num, tick, ticks, wall, when } from "../format.js";
import { roundRange, silences } from "../parts/charts.js";
import { shape, st } from "../parts/states.js";
import { age, empty, problem, seg, skeleton } from "../parts/ui.js";
import { t, word } from "../texts.js";

/** Seconds; 0 is everything there is. */
const ranges = /** @type {const} */ ([600, 3600, 86400, 604800, 0]);
/** @typedef {typeof ranges[number]} Range */

const bucketsPerChart = 240;
const shownFirst = 12;
const tableRows = 30;
const tailPoints = 2000;

/**
 * @typedef {object} Line one series with what is known of it
 * @property {any} series as in /data/series
 * @property {Resource} buckets
 * @property {{t: number, v: number}[]} tail points newer than the buckets
 * @property {{time: number, value: unknown, quality: string, provenance: string} | null} last
 */

/** @param {string} device @param {() => void} update @param {import("../app.js").Context["remember"]} remember @param {URLSearchParams} search */
export function telemetry(device, update, remember, search) {
  /** @type {Range} */ let range = ranges.find((r) => String(r) === search.get("range")) ?? 600;
  let isTable = search.get("as") === "table";
  let isAll = false;
  let isStopped = false;
  /** @type {Map<string, Line>} */ const lines = new Map();
  /** The window last asked for. */
  let window = { from: 0, to: 0 };
  /** @type {ReturnType<typeof setTimeout> | undefined} */ let timer;

  const series = new Resource((signal) => get("/data/series", { device }, signal), () => {
    const isFirst = lines.size === 0;
    for (const s of series.data?.items ?? []) {
      const known = lines.get(String(s.id));
      if (known) known.series = s;
      else lines.set(String(s.id), line(s));
    }
    if (isFirst) {
      take(last.data?.items ?? []);
      fetchAll();
    }
    update();
  });
  const last = new Resource((signal) => get("/data/last", { device }, signal), () => {
    take(last.data?.items ?? []);
    update();
  });
  series.keep(30000);
  last.load();
  const second = setInterval(() => {
    if (!isTable && range !== 0 && lines.size > 0) update();
  }, 1000);

  /** @param {any} s @returns {Line} */
  function line(s) {
    /** @type {Line} */
    const l = {
      series: s,
      tail: [],
      last: null,
      buckets: new Resource(
        (signal) => get("/data/buckets", { series: s.id, from: new Date(window.from).toISOString(), to: new Date(window.to).toISOString(), buckets: bucketsPerChart }, signal),
        () => {
          const b = l.buckets.data;
          const newest = b ? b.count.findLastIndex((/** @type {number} */ n) => n > 0) : -1;
          // The newest bucket may still fill: what came since it began stays in the tail.
          if (newest >= 0) l.tail = l.tail.filter((p) => p.t >= b.t[newest]);
          update();
        },
      ),
    };
    return l;
  }

  /** New values from the stream or from /data/last. @param {any[]} items */
  function take(items) {
    for (const item of items) {
      const l = lines.get(String(item.series));
      const at = ms(item.time);
      if (at === null) continue;
      if (!l) {
        if (!series.loading) series.load();
        continue;
      }
      if (l.last && l.last.time >= at) continue;
      l.last = { time: at, value: item.value, quality: item.quality, provenance: item.provenance };
      if (typeof item.value === "number") l.tail.push({ t: at, v: item.value });
      if (l.tail.length > tailPoints) l.tail.splice(0, l.tail.length - tailPoints);
    }
  }

  /** The newest time any series has, or null. */
  function newest() {
    let at = null;
    for (const l of lines.values()) {
      const end = Math.max(l.last?.time ?? 0, ms(l.series.last) ?? 0);
      if (end > 0 && (at === null || end > at)) at = end;
    }
    return at;
  }

  /** What the charts show now: up to now, or up to the newest value where that is long ago. */
  function span() {
    const now = clock.now();
    const end = newest();
    if (range === 0) {
      let first = Infinity;
      for (const l of lines.values()) first = Math.min(first, ms(l.series.first) ?? Infinity);
      const to = end ?? now;
      const from = Number.isFinite(first) ? first : to - 600e3;
      return { from, to: to > from ? to : from + 1000, isPast: now - to > 60e3 };
    }
    const isPast = end !== null && now - end > range * 1000;
    const to = isPast && end !== null ? end : now;
    return { from: to - range * 1000, to, isPast };
  }

  function visible() {
    const all = [...lines.values()];
    return isAll ? all : all.slice(0, shownFirst);
  }

  async function fetchAll() {
    clearTimeout(timer);
    if (isStopped) return;
    const s = span();
    // A margin at the left, so that the line reaches the edge while the window moves on.
    const slot = Math.max(1000, (s.to - s.from) / bucketsPerChart);
    window = { from: Math.floor(s.from / slot - 1) * slot, to: Math.ceil(s.to / slot + 1) * slot };
    await Promise.all(visible().map((l) => l.buckets.load()));
    timer = setTimeout(fetchAll, Math.min(60e3, Math.max(10e3, slot * 4)));
  }

  /** @param {Range} next */
  function choose(next) {
    range = next;
    remember("range", next === 600 ? "" : String(next));
    for (const l of lines.values()) l.buckets.data = null;
    fetchAll();
    update();
  }

  /** Buckets with a value and the tail, as parallel arrays. @param {Line} l @param {{from: number, to: number}} s */
  function values(l, s) {
    const b = l.buckets.data;
    /** @type {number[]} */ const at = [];
    /** @type {number[]} */ const mean = [];
    /** @type {number[]} */ const min = [];
    /** @type {number[]} */ const max = [];
    const half = b ? (b.bucket_s * 1000) / 2 : 0;
    const times = b?.t ?? [];
    for (let i = 0; i < times.length; i++) {
      if (!(b.count[i] > 0) || typeof b.mean[i] !== "number") continue;
      const mid = times[i] + half;
      if (times[i] + 2 * half < s.from || times[i] > s.to) continue;
      at.push(Math.min(mid, s.to));
      mean.push(b.mean[i]);
      min.push(b.min[i]);
      max.push(b.max[i]);
    }
    let end = at.length > 0 ? at[at.length - 1] : -Infinity;
    // Points that came since: joined to buckets of the same width, so that the line keeps its grain.
    let lastSlot = -1;
    for (const p of l.tail) {
      if (p.t <= end || p.t < s.from || p.t > s.to) continue;
      const slot = half > 0 ? Math.floor(p.t / (2 * half)) : p.t;
      if (slot === lastSlot) {
        const i = at.length - 1;
        at[i] = p.t;
        mean[i] = p.v;
        min[i] = Math.min(min[i], p.v);
        max[i] = Math.max(max[i], p.v);
      } else {
        at.push(p.t);
        mean.push(p.v);
        min.push(p.v);
        max.push(p.v);
        lastSlot = slot;
      }
      end = p.t;
    }
    return { at, mean, min, max };
  }

  /** How far apart this series' values usually are, in seconds. @param {Line} l */
  function usual(l) {
    const first = ms(l.series.first);
    const end = ms(l.series.last);
    const n = l.series.count;
    return first !== null && end !== null && n > 1 ? (end - first) / 1000 / (n - 1) : 10;
  }

  /** @param {Line} l @param {{from: number, to: number, isPast: boolean}} s */
  function plot(l, s) {
    const v = values(l, s);
    const slot = (l.buckets.data?.bucket_s ?? 1) * 1000;
    const gaps = silences(v.at, s.isPast ? (v.at[v.at.length - 1] ?? s.to) : s.to, Math.max(2.5 * slot, 3000));
    for (const g of l.buckets.data?.gaps ?? []) {
      const from = ms(g.from);
      const to = ms(g.to) ?? s.to;
      // One that is an instant says when messages were found missing; it is drawn as a mark.
      if (from !== null && to > s.from && from < s.to && to >= from) gaps.push({ from, to });
    }
    // A break in the line wherever a gap lies between two values.
    /** @type {number[]} */ const at = [];
    /** @type {(number | null)[][]} */ const out = [[], [], []];
    for (let i = 0; i < v.at.length; i++) {
      const before = v.at[i - 1];
      const gap = i > 0 ? gaps.find((g) => g.from < v.at[i] && g.to > before) : undefined;
      if (gap) {
        at.push(Math.max(before + 1, Math.min(v.at[i] - 1, (gap.from + gap.to) / 2)));
        out.forEach((o) => o.push(null));
      }
      at.push(v.at[i]);
      out[0].push(v.mean[i]);
      out[1].push(v.min[i]);
      out[2].push(v.max[i]);
    }
    return { from: s.from, to: s.to, t: at, mean: out[0], min: out[1], max: out[2], gaps, y: roundRange(out[1], out[2]) };
  }

  /** @param {any} s */
  function title(s) {
    return s.name || s.stream;
  }

  /** What is said of a series under its value. @param {Line} l */
  function says(l) {
    const provenance = l.last?.provenance ?? l.series.provenance;
    const quality = l.last?.quality;
    const isOdd = quality && quality !== "synced" && quality !== "good";
    return html`${provenance === "gateway" ? html`<abbr title=${t("tm.prov.gateway")}>${st("unk", "gateway")}</abbr>` : provenance === "device" ? html`<abbr title=${t("tm.prov.device")}>${st("ok", "device")}</abbr>` : nothing}
    ${isOdd ? html` <abbr title=${word("tm.q", quality)}>${st("unk", quality)}</abbr>` : nothing}`;
  }

  /** @param {Line} l @param {{from: number, to: number, isPast: boolean}} s */
  function chart(l, s) {
    const p = plot(l, s);
    const value = l.last ? l.last.value : l.series.last_value;
    const at = l.last?.time ?? ms(l.series.last);
    const known = p.mean.filter((v) => v !== null);
    const label = title(l.series);
    const aria =
      known.length === 0
        ? t("tm.aria.none", { name: label })
        : t("tm.aria", {
            name: label,
            from: when(p.from),
            to: when(p.to),
            min: measure(Math.min(.../** @type {number[]} */ (p.min.filter((v) => v !== null)))),
            max: measure(Math.max(.../** @type {number[]} */ (p.max.filter((v) => v !== null)))),
            last: measure(value),
          });
    const [low, high] = p.y;
    const [figure, unit] = measured(value, l.series.unit);
    return html`<div class="chart" data-aged data-series=${l.series.id}>
      <div class="m">
        <b>${label}</b>
        <span class="val" data-v>${figure} <small>${unit}</small></span>
        <span>${age(at, Math.max(10, 3 * usual(l)))}</span>
        <span class="says">${says(l)}</span>
      </div>
      <div class="plot" role="img" aria-label=${aria}>
        <hf-chart .plot=${p}></hf-chart>
        ${known.length === 0 && l.buckets.data ? html`<span class="gapnote">${t("tm.inrange", { when: when(at) })}</span>` : nothing}
        ${l.buckets.problem ? html`<span class="gapnote t-fail">${l.buckets.problem.title}</span>` : nothing}
      </div>
      <div class="yax" aria-hidden="true">${known.length === 0 ? nothing : [high, (low + high) / 2, low].map((v) => html`<span>${axisLabel(v, l.series.unit)}</span>`)}</div>
    </div>`;
  }

  /** @param {{from: number, to: number}} s */
  function axis(s) {
    const marks = ticks(s.from, s.to, innerWidth < 640 ? 3 : 6);
    return html`<div class="xax" aria-hidden="true">
      <svg width="100%" height="16">${marks.map((at) => xmark(at, s))}</svg>
    </div>`;
  }

  /** @param {{from: number, to: number}} s */
  function table(s) {
    const shown = visible();
    const step = (s.to - s.from) / tableRows;
    const columns = shown.map((l) => values(l, s));
    const rows = [];
    for (let i = tableRows - 1; i >= 0; i--) {
      const from = s.from + i * step;
      const cells = columns.map((v) => {
        let sum = 0;
        let n = 0;
        for (let k = 0; k < v.at.length; k++) {
          if (v.at[k] < from || v.at[k] >= from + step + (i === tableRows - 1 ? 1 : 0)) continue;
          sum += v.mean[k];
          n++;
        }
        return n === 0 ? null : sum / n;
      });
      rows.push({ from, cells });
    }
    return html`<div class="scroll" tabindex="0" role="region" aria-label=${t("tm.table")}>
      <table class="values">
        <thead>
          <tr>
            <th scope="col">${t("tm.time")}</th>
            ${shown.map((l) => html`<th scope="col" class="r">${title(l.series)}${l.series.unit ? html` <span class="dimmer">${l.series.unit}</span>` : nothing}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${rows.map(
            (r) => html`<tr>
              <th scope="row" class="nowrap">${step >= 86400e3 ? brief(r.from) : wall(r.from)}</th>
              ${r.cells.map((c) => html`<td class="r nowrap">${c === null ? html`<span class="st t-off">${shape("off")}<span class="sr">${t("tm.gap")}</span></span>` : measure(c)}</td>`)}
            </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
  }

  /** @param {{from: number, to: number, isPast: boolean}} s */
  function legend(s) {
    const named = visible().flatMap((l) => /** @type {any[]} */ (l.buckets.data?.gaps ?? []));
    const isMissing = named.some((g) => g.why === "missing" && (ms(g.to) ?? s.to) > s.from && (ms(g.from) ?? s.to) < s.to);
    return html`<div class="tl-note">
      <span class="st"><svg class="sw" aria-hidden="true"><rect class="f-gap" width="18" height="10" rx="2"></rect></svg>${isMissing ? t("tm.gap.missing") : t("tm.gap")}</span>
      <span class="st"><svg class="sw" aria-hidden="true"><rect class="ar" width="18" height="10"></rect></svg>${t("tm.minmax")}</span>
      ${s.isPast ? html`<span>${t("tm.ends", { when: when(s.to) })}</span>` : nothing}
    </div>`;
  }

  return {
    take,
    stop() {
      isStopped = true;
      clearTimeout(timer);
      clearInterval(second);
      series.stop();
      last.stop();
      for (const l of lines.values()) l.buckets.stop();
    },
    render() {
      const s = span();
      const slot = [...lines.values()].find((l) => l.buckets.data)?.buckets.data?.bucket_s;
      const hasLines = lines.size > 0;
      return html`<section class="panel" aria-labelledby="h-tm">
        <div class="ph">
          <h2 id="h-tm">${t("tm")}</h2>
          <span class="hint">${hasLines && slot ? t("tm.hint", { d: duration(slot) }) : nothing}</span>
          <span class="more">
            ${hasLines ? html`<button class="lnk" type="button" @click=${() => ((isTable = !isTable), remember("as", isTable ? "table" : ""), update())}>${isTable ? t("tm.chart") : t("tm.table")}</button>` : nothing}
            ${seg(t("tl.range"), ranges.map((r) => /** @type {const} */ ([r, t(`tm.range.${r}`)])), range, choose)}
          </span>
        </div>
        ${series.problem && !hasLines ? problem(series.problem, () => series.load()) : nothing}
        ${!hasLines
          ? series.data
            ? empty(t("tm.none"), t("tm.none.text"), `holdfast data tail ${device}`)
            : series.problem
              ? nothing
              : skeleton(5)
          : isTable
            ? table(s)
            : html`<div class="charts">${visible().map((l) => chart(l, s))}</div>
                ${axis(s)} ${legend(s)}`}
        ${lines.size > shownFirst && !isAll
          ? html`<div class="tfoot"><button class="lnk" type="button" @click=${() => ((isAll = true), fetchAll(), update())}>${t("tm.more", { n: lines.size })}</button></div>`
          : nothing}
      </section>`;
    },
  };
}

/** @param {number} at @param {{from: number, to: number}} s */
function xmark(at, s) {
  const x = ((at - s.from) / (s.to - s.from)) * 100;
  return svg`<text class="tx" x="${x.toFixed(2)}%" y="12" text-anchor=${x < 3 ? "start" : x > 97 ? "end" : "middle"}>${tick(at, s.to - s.from)}</text>`;
}

/** A round number at an axis: no more digits than it has. @param {number} v @param {string | null} unit */
function axisLabel(v, unit) {
  const size = Math.abs(v);
  const [figure, scaled] = measured(v, unit);
  if (size >= 1e5 && scaled !== "" && scaled !== unit) return `${figure} ${scaled[0]}`;
  return size !== 0 && (size >= 1e6 || size < 1e-3) ? measure(v) : num(Number(v.toPrecision(6)), 3);
}
