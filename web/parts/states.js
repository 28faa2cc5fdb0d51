// The shapes and words of states: each has its own silhouette, fill and word, so that none depends on hue.
import { html, nothing } from "../vendor/lit-html.js";
import { t, word } from "../texts.js";

/** @typedef {"ok" | "warn" | "fail" | "unk" | "run" | "wait" | "quar" | "off"} Shape */
/** @typedef {"healthy" | "degraded" | "failing" | "unknown" | "quarantined"} Condition */

/** The five conditions, in the order they are always shown in. @type {Condition[]} */
export const conditions = ["healthy", "degraded", "failing", "unknown", "quarantined"];
/** Those that need a look. @type {Condition[]} */
export const exceptions = ["degraded", "failing", "unknown", "quarantined"];

/** @type {Record<Condition, Shape>} */
const shapeOf = { healthy: "ok", degraded: "warn", failing: "fail", unknown: "unk", quarantined: "quar" };
/** @type {Record<Shape, string>} which ink a shape is drawn with */
const inkOf = { ok: "ok", warn: "warn", fail: "fail", unk: "unk", run: "run", wait: "off", quar: "off", off: "off" };
/** @type {Record<Condition, string>} */
const fillOf = { healthy: "f-okq", degraded: "f-warn", failing: "f-fail", unknown: "f-unk", quarantined: "f-quar" };

/** A word from the server as a condition; what is not known is unknown. @param {unknown} state @returns {Condition} */
export function condition(state) {
  return conditions.includes(/** @type {Condition} */ (state)) ? /** @type {Condition} */ (state) : "unknown";
}
/** @param {unknown} state */
export function fill(state) {
  return fillOf[condition(state)];
}
/** @param {unknown} state */
export function shapeFor(state) {
  return shapeOf[condition(state)];
}
/** @param {Shape} shape */
export function ink(shape) {
  return inkOf[shape];
}

/** @param {Shape} name @param {string} [more] further classes */
export function shape(name, more = "") {
  return html`<svg class="g t-${inkOf[name]} ${more}" aria-hidden="true"><use href="#g-${name}" /></svg>`;
}
/** @param {string} name */
export function icon(name) {
  return html`<svg aria-hidden="true"><use href="#i-${name}" /></svg>`;
}

/** Shape and word in a line. @param {Shape} name @param {unknown} text */
export function st(name, text) {
  return html`<span class="st t-${inkOf[name]}">${shape(name)}${text}</span>`;
}
/** @param {unknown} state */
export function stateWord(state) {
  const c = condition(state);
  return st(shapeOf[c], t(`state.${c}`));
}
/** @param {unknown} state */
export function statePill(state) {
  const c = condition(state);
  return html`<span class="pill ${inkOf[shapeOf[c]]}">${shape(shapeOf[c])}${t(`State.${c}`)}</span>`;
}

/** The life of an identity. @param {string | null | undefined} identity */
export function identityWord(identity) {
  return word("id", identity);
}
/** @param {string | null | undefined} identity @returns {Shape} */
export function identityShape(identity) {
  switch (identity) {
    case "active":
      return "ok";
    case "expected":
    case "enrolled":
      return "wait";
    case "re-enrolling":
      return "run";
    case "quarantined":
      return "quar";
    case "revoked":
    case "decommissioned":
      return "off";
    default:
      return "unk";
  }
}

/** Counts of the exceptions, each with its shape; nothing where there are none. @param {Record<string, number>} counts */
export function exceptionCounts(counts) {
  return exceptions.map((c) => {
    const n = counts[c] ?? 0;
    if (n === 0) return nothing;
    const s = shapeOf[c];
    return html`<span class="st t-${inkOf[s]}">${shape(s)}${n}<span class="sr"> ${t(`state.${c}`)}</span></span>`;
  });
}
