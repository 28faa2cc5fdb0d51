// Chromium with an eye on it: each page notes console errors, uncaught errors and CSP violations, and can be held
// against axe-core.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const sizes = /** @type {const} */ ([["desktop", 1440, 900], ["phone", 390, 844]]);
export const themes = /** @type {const} */ (["light", "dark"]);

/** @typedef {{page: import("playwright-core").Page, context: import("playwright-core").BrowserContext, faults: string[], allow: (pattern: RegExp) => void}} Watched */

export class Stage {
  /** @param {import("playwright-core").Browser} browser @param {string} shots */
  constructor(browser, shots) {
    this.browser = browser;
    this.shots = shots;
  }

  /** @param {string} shots folder for screenshots */
  static async open(shots) {
    const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
    return new Stage(browser, shots);
  }
  async close() {
    await this.browser.close();
  }

  /**
   * A fresh browser window, closed again afterwards; any fault the test did not allow fails it.
   * @param {{width?: number, height?: number, theme?: "light" | "dark", locale?: string}} how
   * @param {(w: Watched) => Promise<unknown>} body
   */
  async window({ width = 1440, height = 900, theme = "light", locale = "en-GB" }, body) {
    const context = await this.browser.newContext({ viewport: { width, height }, colorScheme: theme, locale, permissions: ["clipboard-read", "clipboard-write"] });
    try {
      const page = await context.newPage();
      page.setDefaultTimeout(15000);
      /** @type {string[]} */ const faults = [];
      /** @type {RegExp[]} */ const allowed = [];
      await page.addInitScript(() => {
        document.addEventListener("securitypolicyviolation", (e) => console.error(`CSP: ${e.violatedDirective} ${e.blockedURI} ${e.sample} ${e.sourceFile}:${e.lineNumber}`));
      });
      page.on("console", (m) => {
        if (m.type() === "error" || m.type() === "warning") faults.push(`console ${m.type()}: ${m.text()} ${m.location().url}`);
      });
      page.on("pageerror", (e) => faults.push(`uncaught: ${e.stack ?? e.message}`));
      const said = await body({ page, context, faults, allow: (pattern) => allowed.push(pattern) });
      const bad = faults.filter((f) => !allowed.some((pattern) => pattern.test(f)));
      if (bad.length > 0) throw new Error(bad.join("\n"));
      return said;
    } finally {
      await context.close();
    }
  }

  /** The whole page as a picture: the window grows to the page, so that the rail reaches its end. @param {import("playwright-core").Page} page @param {string} name */
  async picture(page, name) {
    const size = page.viewportSize() ?? { width: 1440, height: 900 };
    const full = await page.evaluate(() => document.documentElement.scrollHeight);
    await page.setViewportSize({ width: size.width, height: Math.max(size.height, Math.min(full, 4000)) });
    await page.screenshot({ path: join(this.shots, `${name}.png`) });
    await page.setViewportSize(size);
  }
}

/** @param {unknown} isTrue @param {string} why */
export function expect(isTrue, why) {
  if (!isTrue) throw new Error(why);
}

/** @param {import("playwright-core").Page} page @returns {Promise<string[]>} what axe-core found, a line each */
export async function violations(page) {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const result = await /** @type {any} */ (globalThis).axe.run(document, { resultTypes: ["violations"] });
    return result.violations.flatMap((/** @type {any} */ v) =>
      v.nodes.slice(0, 4).map((/** @type {any} */ n) => `${v.id} (${v.impact}): ${n.target.join(" ")} ${n.any.concat(n.all, n.none).map((/** @type {any} */ c) => c.message).join("; ").slice(0, 240)}`),
    );
  });
}

/** The page is not wider than its window, and every style attribute is a canvas's own. @param {import("playwright-core").Page} page */
export async function sound(page) {
  const { wide, styled } = await page.evaluate(() => ({
    wide: document.documentElement.scrollWidth - innerWidth,
    styled: [...document.querySelectorAll("[style]")].filter((e) => !e.closest("hf-chart")).map((e) => e.outerHTML.slice(0, 120)),
  }));
  expect(wide <= 0, `the page is ${wide} px wider than its window`);
  expect(styled.length === 0, `style attributes outside the charts: ${styled.join(", ")}`);
}
