// Checks the JSDoc types of web/ with tsc. The vendored files are stood in for by their packages' own declarations,
// in a copy under build/types, because a relative import of a .js file would otherwise have its minified text checked.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const top = join(here, "..", "..");
const copy = join(top, "build", "types");

/** @returns {string[]} what tsc complained about, a line each */
export function complaints() {
  rmSync(copy, { recursive: true, force: true });
  mkdirSync(join(copy, "vendor"), { recursive: true });
  cpSync(join(top, "web"), copy, { recursive: true, filter: (path) => !/\/(vendor|fonts)(\/|$)/.test(path) });
  mkdirSync(join(copy, "vendor"), { recursive: true });
  writeFileSync(join(copy, "vendor", "lit-html.d.ts"), `export * from ${JSON.stringify(join(here, "node_modules/lit-html/lit-html.js"))};\n`);
  writeFileSync(join(copy, "vendor", "uplot.d.ts"), `import uPlot from ${JSON.stringify(join(here, "node_modules/uplot/dist/uPlot.d.ts").replace(/\.d\.ts$/, ""))};\nexport default uPlot;\n`);
  writeFileSync(
    join(copy, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        allowJs: true, checkJs: true, noEmit: true, strict: true, noUnusedLocals: true, noUnusedParameters: true, skipLibCheck: true,
        target: "es2023", module: "esnext", moduleResolution: "bundler", lib: ["es2023", "dom", "dom.iterable"], types: [],
      },
      include: ["**/*.js"],
    }),
  );
  const run = spawnSync(join(here, "node_modules/.bin/tsc"), ["-p", join(copy, "tsconfig.json"), "--pretty", "false"], { encoding: "utf8" });
  if (run.status === 0) return [];
  return (run.stdout + run.stderr).trim().split("\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const all = complaints();
  for (const line of all) console.error(line);
  process.exit(all.length === 0 ? 0 : 1);
}
