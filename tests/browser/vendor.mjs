// Writes web/vendor and web/fonts from the packages that package-lock.json pins, with their checksums and
// licences. `node vendor.mjs` writes, `node vendor.mjs --check` compares and says what differs.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync, existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const web = join(here, "..", "..", "web");
const modules = join(here, "node_modules");

/** [package, file in it, file in web/, what is done to it] */
const files = [
  ["lit-html", "lit-html.js", "vendor/lit-html.js", unmapped],
  ["lit-html", "LICENSE", "vendor/lit-html.LICENSE", same],
  ["uplot", "dist/uPlot.iife.min.js", "vendor/uplot.js", asModule],
  ["uplot", "dist/uPlot.min.css", "vendor/uplot.css", same],
  ["uplot", "LICENSE", "vendor/uplot.LICENSE", same],
  ["@fontsource-variable/inter", "files/inter-latin-wght-normal.woff2", "fonts/inter.woff2", same],
  ["@fontsource-variable/inter", "LICENSE", "fonts/inter.LICENSE", same],
  ["@fontsource/jetbrains-mono", "files/jetbrains-mono-latin-400-normal.woff2", "fonts/jetbrains-mono.woff2", same],
  ["@fontsource/jetbrains-mono", "LICENSE", "fonts/jetbrains-mono.LICENSE", same],
];

/** @param {Buffer} bytes */
function same(bytes) {
  return bytes;
}
/** The source map is not shipped, so nothing may point at it. @param {Buffer} bytes */
function unmapped(bytes) {
  return Buffer.from(bytes.toString("utf8").replace(/\n\/\/# sourceMappingURL=.*\n?$/, "\n"));
}
/** The minified build is a classic script that defines one name; one line makes it a module. @param {Buffer} bytes */
function asModule(bytes) {
  return Buffer.from(bytes.toString("utf8").trimEnd() + "\nexport default uPlot;\n");
}
/** @param {Buffer} bytes */
function sha256(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}

/** @returns {{path: string, bytes: Buffer}[]} every vendored file as it must be */
export function wanted() {
  /** @type {{path: string, bytes: Buffer}[]} */
  const out = [];
  let sums = "# sha256 of each file here, and of the file of the npm package it was made from (tests/browser/vendor.mjs)\n";
  for (const [name, from, to, change] of files) {
    const version = JSON.parse(readFileSync(join(modules, name, "package.json"), "utf8")).version;
    const original = readFileSync(join(modules, name, from));
    const bytes = change(original);
    out.push({ path: to, bytes });
    sums += `${sha256(bytes)}  ${to}\n${sha256(original)}    ${name}@${version} ${from}\n`;
  }
  out.push({ path: "vendor/CHECKSUMS", bytes: Buffer.from(sums) });
  return out;
}

/** @returns {string[]} the vendored files that are not what the pinned packages give */
export function differing() {
  return wanted()
    .filter(({ path, bytes }) => !existsSync(join(web, path)) || !readFileSync(join(web, path)).equals(bytes))
    .map(({ path }) => path);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes("--check")) {
    const bad = differing();
    for (const path of bad) console.error(`web/${path} is not what the pinned package gives`);
    process.exit(bad.length === 0 ? 0 : 1);
  }
  for (const { path, bytes } of wanted()) {
    mkdirSync(dirname(join(web, path)), { recursive: true });
    writeFileSync(join(web, path), bytes);
  }
}
