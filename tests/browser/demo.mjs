// Starts `holdfast demo` in a folder of its own, runs the platform's browser tests against it, and stops it.
// Usage: node demo.mjs BIN_DIR [run.mjs's options]
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const [bin, ...rest] = process.argv.slice(2);
const readyMs = 180000;
const devices = 12;

/** A server that listens there, or nothing where somebody else does. @param {number} port @returns {Promise<import("node:net").Server | undefined>} */
function listen(port) {
  return new Promise((done) => {
    const server = createServer();
    server.once("error", () => done(undefined));
    server.listen(port, "127.0.0.1", () => done(server));
  });
}

/** The first of 40 neighbouring ports, ours as long as we live: the last of them is held (tests/system/lib.py does the same). */
async function freeBase() {
  for (;;) {
    const base = 12000 + Math.floor(Math.random() * 500) * 40;
    const guard = await listen(base + 39);
    if (guard === undefined) continue;
    guard.unref();
    const tried = await Promise.all([0, 1, 4, 10, 11, 12].map((n) => listen(base + n)));
    await Promise.all(tried.map((server) => server && new Promise((done) => server.close(done))));
    if (tried.every((server) => server !== undefined)) return base;
    guard.close();
  }
}

async function main() {
  const program = join(bin ?? "", "holdfast");
  if (!existsSync(program)) {
    console.log(`skipped: the platform's browser tests, there is no ${program}`);
    console.log("0 passed, 0 failed, 1 skipped");
    return 0;
  }
  const dir = mkdtempSync(join(tmpdir(), "holdfast-browser-"));
  const demo = spawn(program, ["demo", "--dir", join(dir, "data"), "--port-base", String(await freeBase()), "--devices", String(devices), "--yes"], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  demo.stdout.on("data", (c) => (said += c));
  demo.stderr.on("data", (c) => (said += c));
  const ended = new Promise((done) => demo.once("exit", done));
  const up = join(dir, "data", "up.json");
  try {
    const began = Date.now();
    while (!existsSync(up)) {
      if (demo.exitCode !== null || Date.now() - began > readyMs) {
        console.log(`FAILED   platform: the demo did not come up\n    ${said.trim().split("\n").slice(-30).join("\n    ")}`);
        console.log("0 passed, 1 failed, 0 skipped");
        return 1;
      }
      await new Promise((done) => setTimeout(done, 100));
    }
    const run = spawn(process.execPath, [join(here, "run.mjs"), "--up", up, ...rest], { stdio: "inherit" });
    return await new Promise((done) => run.once("exit", (code) => done(code ?? 1)));
  } finally {
    demo.kill("SIGINT");
    const timer = setTimeout(() => demo.kill("SIGKILL"), 20000);
    await ended;
    clearTimeout(timer);
    if (process.env.HOLDFAST_KEEP) console.log(`    kept: ${dir}`, readFileSync(up, "utf8"));
    else rmSync(dir, { recursive: true, force: true });
  }
}

process.exit(await main());
