// One small chart on uPlot: mean as a line, smallest to largest as a band, gaps as hatch, the time axis shared by all
// charts of a page. Knows nothing about where the values come from.
import uPlot from "../vendor/uplot.js";
import { measure, wall } from "../format.js";

/**
 * What a chart draws. Times in milliseconds, ascending; a null value breaks the line.
 * @typedef {object} Plot
 * @property {number} from
 * @property {number} to
 * @property {number[]} t
 * @property {(number | null)[]} mean
 * @property {(number | null)[]} min
 * @property {(number | null)[]} max
 * @property {{from: number, to: number}[]} gaps
 * @property {[number, number]} y lowest and highest value of the axis
 */

/**
 * Where nothing came: runs without data longer than 2.5 times the usual distance between values, also between the
 * last value and `to`. Values closer than that are joined by a line.
 *
 * @param {number[]} times ascending, milliseconds
 * @param {number} to the right edge
 * @param {number} leastMs never call less than this a gap
 * @returns {{from: number, to: number}[]}
 */
export function silences(times, to, leastMs) {
  if (times.length < 2) return [];
  const steps = [];
  for (let i = 1; i < times.length; i++) steps.push(times[i] - times[i - 1]);
  const usual = [...steps].sort((a, b) => a - b)[Math.floor(steps.length / 2)];
  const longest = Math.max(2.5 * usual, leastMs);
  const out = [];
  for (let i = 1; i < times.length; i++) if (steps[i - 1] > longest) out.push({ from: times[i - 1], to: times[i] });
  const last = times[times.length - 1];
  if (to - last > longest) out.push({ from: last, to });
  return out;
}

/**
 * An axis of two steps around the values, with round numbers at both ends and in the middle.
 * @param {(number | null)[]} low @param {(number | null)[]} high @returns {[number, number]}
 */
export function roundRange(low, high) {
  let least = Infinity;
  let most = -Infinity;
  for (const v of low) if (v !== null && v < least) least = v;
  for (const v of high) if (v !== null && v > most) most = v;
  if (!(least <= most)) return [0, 1];
  if (most - least < 1e-12) {
    const half = Math.abs(most) > 1e-9 ? Math.abs(most) * 0.1 : 1;
    least -= half;
    most += half;
  }
  const span = most - least;
  for (let power = Math.floor(Math.log10(span)) - 1; ; power++) {
    for (const digit of [1, 2, 2.5, 5]) {
      const step = digit * 10 ** power;
      const from = Math.floor(least / step) * step;
      if (from + 2 * step >= most - 1e-9 * span) return [from, from + 2 * step];
    }
  }
}

const inks = /** @type {const} */ (["--run-fill", "--line", "--line-2", "--off-tint", "--ink-3"]);

class Chart extends HTMLElement {
  /** @type {Plot | null} */ #plot = null;
  /** @type {any} */ #chart = null;
  /** @type {Record<string, string>} */ #ink = {};
  #size = new ResizeObserver(() => this.#resize());
  #rethink = () => this.#recolour();
  #scheme = matchMedia("(prefers-color-scheme: dark)");

  /** @param {Plot | null} plot */
  set plot(plot) {
    this.#plot = plot;
    if (this.isConnected) this.#draw();
  }

  get plot() {
    return this.#plot;
  }

  connectedCallback() {
    this.#recolour();
    this.#size.observe(this);
    this.#scheme.addEventListener("change", this.#rethink);
    document.addEventListener("hf-theme", this.#rethink);
  }

  disconnectedCallback() {
    this.#size.disconnect();
    this.#scheme.removeEventListener("change", this.#rethink);
    document.removeEventListener("hf-theme", this.#rethink);
    this.#chart?.destroy();
    this.#chart = null;
  }

  #recolour() {
    const style = getComputedStyle(this);
    for (const name of inks) this.#ink[name] = style.getPropertyValue(name);
    this.#chart?.redraw(false, false);
    this.#draw();
  }

  #resize() {
    if (this.clientWidth > 0) this.#chart?.setSize({ width: this.clientWidth, height: this.clientHeight });
    if (!this.#chart) this.#draw();
  }

  #draw() {
    const plot = this.#plot;
    if (!plot || this.clientWidth === 0) return;
    const data = /** @type {import("../vendor/uplot.js").default.AlignedData} */ ([plot.t, plot.mean, plot.max, plot.min]);
    if (this.#chart) this.#chart.setData(data, true);
    else this.#chart = new uPlot(this.#options(), data, this);
  }

  /** uPlot's options: no axes and no legend of its own, only the drawing. @returns {import("../vendor/uplot.js").default.Options} */
  #options() {
    const still = () => this.#plot ?? { from: 0, to: 1, y: [0, 1], gaps: [] };
    return {
      width: this.clientWidth,
      height: this.clientHeight,
      ms: 1,
      padding: [1, 0, 1, 0],
      legend: { show: false },
      axes: [{ show: false }, { show: false }],
      select: { show: false, left: 0, top: 0, width: 0, height: 0 },
      cursor: { sync: { key: "device" }, drag: { x: false, y: false, setScale: false }, y: false, points: { size: 6, fill: () => this.#ink["--run-fill"], width: 0 } },
      scales: { x: { time: true, range: () => [still().from, still().to] }, y: { range: () => still().y } },
      series: [
        {},
        { stroke: () => this.#ink["--run-fill"], width: 1.5, spanGaps: false, points: { show: false } },
        { stroke: "transparent", width: 0, spanGaps: false, points: { show: false } },
        { stroke: "transparent", width: 0, spanGaps: false, points: { show: false } },
      ],
      bands: [{ series: [2, 3], fill: () => this.#ink["--run-fill"].replace(/^rgb\((.*)\)$/, "rgba($1, 0.16)") }],
      hooks: {
        drawClear: [(/** @type {any} */ u) => this.#ground(u)],
        draw: [(/** @type {any} */ u) => this.#lonely(u)],
        setCursor: [(/** @type {any} */ u) => this.#point(u)],
      },
    };
  }

  /** Grid and gaps, below the line. @param {any} u */
  #ground(u) {
    const { ctx } = u;
    const { left, top, width, height } = u.bbox;
    const px = devicePixelRatio;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top - px, width, height + 2 * px);
    ctx.clip();
    for (const gap of this.#plot?.gaps ?? []) {
      const from = Math.max(left, u.valToPos(gap.from, "x", true));
      const to = Math.min(left + width, u.valToPos(gap.to, "x", true));
      if (to >= from) hatch(ctx, from, top, Math.max(to - from, 2 * px), height, this.#ink["--off-tint"], this.#ink["--line-2"], px);
    }
    ctx.strokeStyle = this.#ink["--line"];
    ctx.lineWidth = px;
    ctx.beginPath();
    for (const y of [top + 0.5, top + height / 2, top + height - 0.5]) {
      ctx.moveTo(left, y);
      ctx.lineTo(left + width, y);
    }
    ctx.stroke();
    ctx.restore();
  }

  /** A value with nothing on either side has no line: it gets a dot. @param {any} u */
  #lonely(u) {
    const plot = this.#plot;
    if (!plot) return;
    const { ctx } = u;
    ctx.save();
    ctx.fillStyle = this.#ink["--run-fill"];
    for (let i = 0; i < plot.t.length; i++) {
      const v = plot.mean[i];
      if (v === null || (plot.mean[i - 1] ?? null) !== null || (plot.mean[i + 1] ?? null) !== null) continue;
      ctx.beginPath();
      ctx.arc(u.valToPos(plot.t[i], "x", true), u.valToPos(v, "y", true), 1.75 * devicePixelRatio, 0, 7);
      ctx.fill();
    }
    ctx.restore();
  }

  /** @param {any} u */
  #point(u) {
    const i = u.cursor.idx;
    const plot = this.#plot;
    const v = plot && typeof i === "number" ? plot.mean[i] : null;
    const text = plot && typeof v === "number" && u.cursor.left >= 0 ? `${measure(v)} · ${wall(plot.t[i])}` : "";
    if (this.dataset.at !== text) this.dataset.at = text;
  }
}
customElements.define("hf-chart", Chart);

/**
 * Thin grey diagonals: here nothing is known.
 * @param {CanvasRenderingContext2D} ctx @param {number} x @param {number} y @param {number} width @param {number} height
 * @param {string} ground @param {string} line @param {number} px
 */
function hatch(ctx, x, y, width, height, ground, line, px) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(x, y, width, height);
  ctx.clip();
  ctx.fillStyle = ground;
  ctx.fillRect(x, y, width, height);
  ctx.strokeStyle = line;
  ctx.lineWidth = px;
  ctx.beginPath();
  // On a grid of the canvas, not of the gap, so that neighbouring charts and moving gaps keep one pattern.
  const step = 7 * px;
  for (let at = Math.floor((x - height) / step) * step; at < x + width; at += step) {
    ctx.moveTo(at, y + height);
    ctx.lineTo(at + height, y);
  }
  ctx.stroke();
  ctx.restore();
}
