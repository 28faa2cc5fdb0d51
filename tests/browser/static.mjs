// What can be said of the console's files without a browser: vendored files, budgets, types, words, forbidden means.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { complaints } from "./types.mjs";
import { differing } from "./vendor.mjs";

const web = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "web");
const read = (/** @type {string} */ path) => readFileSync(join(web, path), "utf8");
const packed = (/** @type {string} */ path) => gzipSync(readFileSync(join(web, path)), { level: 9 }).length;
const all = /** @type {string[]} */ (readdirSync(web, { recursive: true })).sort();
const own = all.filter((path) => path.endsWith(".js") && !path.startsWith("vendor/"));

/** @param {unknown} isTrue @param {string} why */
function expect(isTrue, why) {
  if (!isTrue) throw new Error(why);
}

/** A file and all that it imports when it is loaded. @param {string} path @param {Set<string>} [seen] */
function closure(path, seen = new Set()) {
  if (seen.has(path)) return seen;
  seen.add(path);
  for (const m of read(path).matchAll(/^(?:import|export)\s(?:[^"';]*?from\s+)?"(\.[^"]+)"/gm)) closure(relative(web, join(web, dirname(path), m[1])), seen);
  return seen;
}

/** @type {[string, () => void][]} */
export const tests = [
  ["vendored files are what the pinned packages give", () => {
    const bad = differing();
    expect(bad.length === 0, `differ: ${bad.join(", ")}`);
  }],
  ["every vendored file has the checksum that is written beside it", () => {
    const sums = new Map(read("vendor/CHECKSUMS").split("\n").filter((l) => /^[0-9a-f]{64}  \S/.test(l) && !l.slice(66).startsWith(" ")).map((l) => [l.slice(66), l.slice(0, 64)]));
    for (const path of all.filter((p) => /^(vendor|fonts)\/[^/]+\.\w+$/.test(p))) {
      expect(sums.get(path) === createHash("sha256").update(readFileSync(join(web, path))).digest("hex"), `${path} is not in vendor/CHECKSUMS or differs`);
    }
    for (const path of sums.keys()) expect(all.includes(path), `${path} is listed and not there`);
  }],
  ["no screen loads more than 60 kB of script, gzip", () => {
    for (const view of all.filter((p) => p.startsWith("views/"))) {
      const files = closure(view, closure("app.js"));
      files.add("theme.js");
      files.add(packed("texts/en.js") > packed("texts/de.js") ? "texts/en.js" : "texts/de.js");
      const sum = [...files].reduce((n, path) => n + packed(path), 0);
      console.log(`    ${view}: ${(sum / 1000).toFixed(1)} kB of script in ${files.size} files`);
      expect(sum <= 60000, `${view} loads ${sum} bytes`);
    }
  }],
  ["style sheets stay within 10 kB, gzip", () => {
    const sum = packed("console.css") + packed("vendor/uplot.css");
    console.log(`    ${(sum / 1000).toFixed(1)} kB of style`);
    expect(sum <= 10000, `${sum} bytes`);
  }],
  ["fonts stay within 90 kB", () => {
    const sum = all.filter((p) => p.endsWith(".woff2")).reduce((n, p) => n + readFileSync(join(web, p)).length, 0);
    console.log(`    ${(sum / 1000).toFixed(1)} kB of fonts`);
    expect(sum <= 90000, `${sum} bytes`);
  }],
  ["types hold", () => {
    const bad = complaints();
    expect(bad.length === 0, `\n${bad.join("\n")}`);
  }],
  ["no style attribute, no inline script, no markup from strings", () => {
    for (const path of [...own, "index.html"]) {
      const text = read(path);
      for (const [what, pattern] of /** @type {[string, RegExp][]} */ ([
        ["a style attribute", /<[a-z][^>]*\sstyle\s*=/i], ["an inline handler", /<[a-z][^>]*\son[a-z]+\s*=/i], ["innerHTML", /(inner|outer)HTML|insertAdjacentHTML|document\.write/],
        ["eval", /\beval\(|new Function\(/], ["another host", /https?:\/\/(?!localhost|www\.w3\.org\/2000\/svg)/],
      ])) expect(!pattern.test(text), `${path} has ${what}`);
    }
    expect(!/<script(?![^>]*\ssrc=)/.test(read("index.html")), "index.html has an inline script");
    expect(!/importmap/.test(read("index.html")), "index.html has an import map");
  }],
  ["English and German have the same words, with the same places to fill", () => {
    /** @param {string} path @returns {Map<string, string>} */
    const words = (path) => new Map([...read(path).matchAll(/^ {2}("[^"]+"): ("(?:[^"\\]|\\.)*"),$/gm)].map((m) => [JSON.parse(m[1]), JSON.parse(m[2])]));
    const en = words("texts/en.js");
    const de = words("texts/de.js");
    const places = (/** @type {string} */ text) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort().join();
    expect(en.size > 100, `only ${en.size} words were found`);
    for (const [key, text] of en) {
      expect(de.has(key), `${key} has no German`);
      expect(places(text) === places(de.get(key) ?? ""), `${key} fills ${places(text)} in English and ${places(de.get(key) ?? "")} in German`);
      expect(text.includes("|") === (de.get(key) ?? "").includes("|"), `${key} has a plural in one language only`);
    }
    for (const key of de.keys()) expect(en.has(key), `${key} has no English`);
  }],
  ["no word of the catalogue is unused", () => {
    const source = own.filter((p) => !p.startsWith("texts/")).map(read).join("\n");
    const dynamic = /^(state|State|id|f|c\.clock|tm\.q|tm\.range|ce\.s|ga\.w|d\.say|cohorts|theme)\./;
    const unused = [...read("texts/en.js").matchAll(/^ {2}"([^"]+)":/gm)].map((m) => m[1]).filter((key) => !dynamic.test(key) && !source.includes(`"${key}"`));
    expect(unused.length === 0, `used nowhere: ${unused.join(" ")}`);
  }],
  ["no file of ours is longer than 500 lines", () => {
    for (const path of [...own, "console.css"]) expect(read(path).split("\n").length <= 500, `${path} is too long: look for the second idea`);
  }],
];
