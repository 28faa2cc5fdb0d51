// The browser tests. Without arguments against tests/browser/fixture.mjs; with `--up DIR/up.json` against a platform
// that runs. Screenshots stay in build/screenshots. Ends with one line: N passed, N failed, N skipped.
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Stage } from "./stage.mjs";

const top = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const args = process.argv.slice(2);
const value = (/** @type {string} */ name) => (args.includes(name) ? args[args.indexOf(name) + 1] : "");
const up = value("--up");
const only = value("--only");

let passed = 0;
let failed = 0;
let skipped = 0;

/** @param {string} name @param {() => unknown} body */
async function test(name, body) {
  if (only !== "" && !name.includes(only)) return;
  try {
    const said = await body();
    if (said === "skipped") {
      skipped++;
      console.log(`skipped: ${name}`);
      return;
    }
    passed++;
    console.log(`ok       ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAILED   ${name}\n    ${String(error instanceof Error ? error.message : error).split("\n").slice(0, 30).join("\n    ")}`);
  }
}

const shots = join(top, "build", "screenshots", up === "" ? "fixture" : "platform");
mkdirSync(shots, { recursive: true });
const stage = await Stage.open(shots);
try {
  if (up !== "") {
    await (await import("./platform.mjs")).run(test, stage, up);
  } else {
    for (const [name, body] of (await import("./static.mjs")).tests) await test(name, body);
    await (await import("./screens.mjs")).run(test, stage);
    await (await import("./acts.mjs")).run(test, stage);
  }
} finally {
  await stage.close();
}
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed === 0 ? 0 : 1);
