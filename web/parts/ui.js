// Small parts that every view uses: ages that grow by themselves, problems, empty states, panels, sparklines.
import { html, svg, nothing } from "../vendor/lit-html.js";
import { ago, clock, exact, ms, when } from "../format.js";
import { t } from "../texts.js";

/** Puts text into an element unless it is there already. @param {Element} element @param {string} text */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Everything that shows an age, so that one timer serves them all. @type {Set<Age>} */
const ages = new Set();
setInterval(() => ages.forEach((age) => age.show()), 1000);

/**
 * `<hf-age at="2026-11-23T14:03:41.208Z" stale="30">`: says how long ago that was and, past `stale` seconds, greys out the
 * nearest ancestor with `data-aged` (itself where there is none).
 */
class Age extends HTMLElement {
  static observedAttributes = ["at", "stale"];
  connectedCallback() {
    ages.add(this);
    this.show();
  }
  disconnectedCallback() {
    ages.delete(this);
  }
  attributeChangedCallback() {
    if (this.isConnected) this.show();
  }
  show() {
    const raw = this.getAttribute("at") ?? "";
    const at = ms(/^\d+(\.\d+)?$/.test(raw) ? Number(raw) : raw);
    write(this, ago(at));
    if (this.getAttribute("title") !== exact(at)) this.setAttribute("title", exact(at));
    const staleS = Number(this.getAttribute("stale") ?? "0");
    const target = /** @type {HTMLElement} */ (this.closest("[data-aged]") ?? this);
    target.classList.toggle("stale", staleS > 0 && (at === null || clock.now() - at > staleS * 1000));
  }
}
customElements.define("hf-age", Age);

/** @param {string | number | null | undefined} at @param {number} [staleS] */
export function age(at, staleS = 0) {
  return html`<hf-age at=${at ?? ""} stale=${staleS}></hf-age>`;
}

/** A time with its exact instant on hover. @param {string | number | null | undefined} time @param {(time: any) => string} [as] */
export function time(time, as = when) {
  const at = ms(time);
  return at === null ? html`<span class="dimmer">–</span>` : html`<time datetime=${new Date(at).toISOString()} title=${exact(at)}>${as(at)}</time>`;
}

/** A table without content still says so to the ear. */
export const dash = html`<span class="dimmer">–</span>`;

/** @param {import("../api.js").Problem} problem @param {() => void} [again] @param {number | null} [oldAt] when what is still shown was true */
export function problem(problem, again, oldAt) {
  return html`<div class="problem" role="alert">
    <svg class="g t-fail" aria-hidden="true"><use href="#g-fail" /></svg>
    <div>
      <h2>${problem.code === "" ? nothing : html`<span class="mono">${problem.code}</span> `}${problem.title}</h2>
      ${problem.why === "" ? nothing : html`<p>${problem.why}</p>`}
      ${problem.todo === "" ? nothing : html`<p>${problem.todo}</p>`}
      ${oldAt ? html`<p>${t("problem.old", { when: when(oldAt) })}</p>` : nothing}
    </div>
    ${again ? html`<button class="btn sm" type="button" @click=${again}>${t("retry")}</button>` : nothing}
  </div>`;
}

/** What will appear here, and the one command that makes it appear. @param {string} title @param {string} text @param {string} [command] */
export function empty(title, text, command) {
  return html`<div class="empty">
    <svg class="g t-off" aria-hidden="true"><use href="#g-off" /></svg>
    <h2>${title}</h2>
    <p>${text}</p>
    ${command ? html`<code class="mono cmdline">${command}</code>` : nothing}
  </div>`;
}

/** Lines that stand for content on the first load; the style sheet shows them after 300 ms. @param {number} lines */
export function skeleton(lines) {
  return html`<div class="skel" role="status"><span class="sr">${t("loading")}</span>${Array.from({ length: lines }, () => html`<span></span>`)}</div>`;
}

/**
 * @template {string | number} K
 * @param {string} label @param {readonly (readonly [K, unknown])[]} choices @param {K} chosen @param {(key: K) => void} choose
 */
export function seg(label, choices, chosen, choose) {
  return html`<span class="seg" role="group" aria-label=${label}
    >${choices.map(([key, text]) => html`<button type="button" aria-pressed=${key === chosen ? "true" : "false"} @click=${() => choose(key)}>${text}</button>`)}</span
  >`;
}

/**
 * A line without axes; what was not measured is a gap. A series that stands still is a level line in the middle.
 * @param {(number | null)[] | undefined} values @param {number} [floor] the axis reaches down to this
 */
export function spark(values, floor) {
  const known = (values ?? []).filter((v) => typeof v === "number");
  if (!values || known.length < 2) return html`<span></span>`;
  const low = Math.min(...known, floor ?? Infinity);
  const high = Math.max(...known);
  const flat = high - low < 1e-9;
  const step = 84 / (values.length - 1);
  let path = "";
  let isDown = false;
  values.forEach((v, i) => {
    if (typeof v !== "number") {
      isDown = false;
      return;
    }
    const y = flat ? 11 : 20 - (18 * (v - low)) / (high - low);
    path += `${isDown ? "L" : "M"}${(i * step).toFixed(1)} ${y.toFixed(1)}`;
    isDown = true;
  });
  return html`<svg class="spark" viewBox="0 0 84 22" aria-hidden="true"><path class="ln" d=${path} /></svg>`;
}

/**
 * Parts of a whole side by side, in percent of `total`; each at least wide enough to be seen.
 * @param {{n: number, fill: string}[]} parts @param {number} total @param {number} y @param {number} height @param {number} [gap] percent
 */
export function stackedBar(parts, total, y, height, gap = 0.3) {
  const shown = parts.filter((p) => p.n > 0);
  const least = 1.2;
  const room = 100 - gap * Math.max(0, shown.length - 1);
  const widths = shown.map((p) => Math.max(least, (p.n / total) * room));
  const sum = widths.reduce((a, b) => a + b, 0);
  const scale = sum > room ? room / sum : 1;
  let x = 0;
  return shown.map((p, i) => {
    const width = widths[i] * scale;
    const inset = p.fill === "f-unk" ? 0.5 : 0;
    const bar = svg`<rect class=${p.fill} x="${x.toFixed(2)}%" y=${y + inset} width="${width.toFixed(2)}%" height=${height - 2 * inset} rx="2.5"></rect>`;
    x += width + gap;
    return bar;
  });
}

let spokenAt = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */ let waiting;
/** Says a change to a screen reader, politely, at most once in five seconds; the last word wins. @param {string} text */
export function announce(text) {
  clearTimeout(waiting);
  const pause = Math.max(0, spokenAt + 5000 - performance.now());
  waiting = setTimeout(() => {
    spokenAt = performance.now();
    const place = document.getElementById("says");
    if (place) place.textContent = text;
  }, pause);
}
