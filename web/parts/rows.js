// Rows of a long list that the server sorts and cuts: those in sight are on the page, a few pieces around them are held, the rest is a
// height. Knows positions, not what is in a row.
import { html, nothing } from "../vendor/lit-html.js";
import { get } from "../api.js";

const pieceRows = 200;
const heldPieces = 6;
const around = 24;

/** @typedef {{at: number, items: any[], total: number}} Cut what is to be shown: `items` from position `at` on; undefined where not yet loaded */

export class Rows {
  /** @param {string} path @param {Record<string, string>} query @param {() => void} moved other rows are in sight: some may have to be loaded */
  constructor(path, query, moved) {
    this.path = path;
    this.query = query;
    this.moved = moved;
    /** @type {Map<number, any[]>} */ this.pieces = new Map();
    this.total = 0;
    this.rowPx = 36;
    this.first = 0;
    this.count = 40;
    let waits = false;
    this.onScroll = () => {
      if (waits) return;
      waits = true;
      requestAnimationFrame(() => {
        waits = false;
        if (this.look()) moved();
      });
    };
    addEventListener("scroll", this.onScroll, { passive: true });
    addEventListener("resize", this.onScroll, { passive: true });
  }

  stop() {
    removeEventListener("scroll", this.onScroll);
    removeEventListener("resize", this.onScroll);
  }

  /** Which rows are in sight; true where they are others than before. */
  look() {
    const body = document.querySelector("[data-rows]");
    const shown = body?.querySelectorAll("tr[aria-rowindex]") ?? [];
    if (!body || shown.length === 0) return false;
    const box = shown[shown.length - 1].getBoundingClientRect();
    this.rowPx = Math.max(20, (box.bottom - shown[0].getBoundingClientRect().top) / shown.length);
    const first = Math.max(0, Math.floor(-body.getBoundingClientRect().top / this.rowPx));
    const count = Math.ceil(innerHeight / this.rowPx) + 1;
    const is = Math.abs(first - this.first) > around / 2 || count > this.count;
    if (is) {
      this.first = Math.min(first, Math.max(0, this.total - 1));
      this.count = count;
    }
    return is;
  }

  /** Pieces that hold what is to be shown. */
  needed() {
    const all = [];
    const last = Math.min(Math.max(this.total - 1, 0), this.first + this.count + around);
    for (let i = Math.floor(Math.max(0, this.first - around) / pieceRows); i <= Math.floor(last / pieceRows); i++) all.push(i);
    return all;
  }

  isWhole() {
    return this.needed().every((i) => this.pieces.has(i));
  }

  /** Asks for what is in sight anew; what is far away is let go. @param {AbortSignal} signal */
  async load(signal) {
    const asked = this.needed();
    const answers = await Promise.all(asked.map((i) => get(this.path, { ...this.query, limit: pieceRows, cursor: i === 0 ? "" : `p:${i * pieceRows}` }, signal)));
    answers.forEach((a, i) => this.pieces.set(asked[i], a.items ?? []));
    this.total = answers[0].total ?? 0;
    const far = [...this.pieces.keys()].sort((a, b) => Math.abs(b - asked[0]) - Math.abs(a - asked[0]));
    for (const i of far.slice(0, Math.max(0, far.length - heldPieces))) this.pieces.delete(i);
    return answers[0];
  }

  /** @returns {Cut} */
  cut() {
    const at = Math.max(0, this.first - around);
    const end = Math.min(this.total, this.first + this.count + around);
    const items = [];
    for (let i = at; i < end; i++) items.push(this.pieces.get(Math.floor(i / pieceRows))?.[i % pieceRows]);
    return { at, items, total: this.total };
  }

  /** A row became another. @param {(row: any) => boolean} is @param {(row: any) => any} change */
  change(is, change) {
    for (const items of this.pieces.values()) {
      const at = items.findIndex(is);
      if (at >= 0) {
        items[at] = change(items[at]);
        return true;
      }
    }
    return false;
  }

  /** The height of rows that are not on the page. @param {number} count @param {number} columns */
  gap(count, columns) {
    return count > 0 ? html`<tr aria-hidden="true" class="gap"><td colspan=${columns}><svg height=${Math.round(count * this.rowPx)} width="1"></svg></td></tr>` : nothing;
  }
}

/** Everything that a query gives, page after page, in the order of names. @param {string} path @param {Record<string, string>} query @param {(n: number, of: number) => void} said */
export async function everything(path, query, said) {
  const all = [];
  let cursor = "";
  do {
    const page = await get(path, { ...query, limit: pieceRows, cursor });
    all.push(...page.items);
    cursor = page.next ?? "";
    said(all.length, page.total);
  } while (cursor !== "");
  return all;
}

/** Gives the person a file. @param {string} name @param {string} type @param {string} text */
export function hand(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** RFC 4180; what a spreadsheet would take for a formula begins with an apostrophe. @param {any[]} rows */
export function csv(rows) {
  const names = [...new Set(rows.flatMap((r) => Object.keys(r)))].filter((n) => n !== "v");
  /** @param {unknown} value */
  const cell = (value) => {
    const text = String(value ?? "");
    const safe = /^[=+@-]/.test(text) && typeof value === "string" ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return [names.join(","), ...rows.map((r) => names.map((n) => cell(r[n])).join(","))].join("\r\n") + "\r\n";
}
