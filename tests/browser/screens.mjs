// Every screen in both widths and both themes: no violation of axe-core, no console error, no CSP violation, no
// sideways scrolling; a picture of each is kept.
import { serve } from "./fixture.mjs";
import { expect, sizes, sound, themes, violations } from "./stage.mjs";

/** @param {(name: string, body: () => unknown) => Promise<void>} test @param {import("./stage.mjs").Stage} stage */
export async function run(test, stage) {
  const fleet = await serve({ devices: 480 });
  const calm = await serve({ devices: 12, calm: true });
  const bare = await serve({ devices: 0 });
  const closed = await serve({ devices: 3, signedOut: true });
  const named = (/** @type {(d: any) => boolean} */ match) => fleet.fleet.devices.find(match)?.name;
  const degraded = named((d) => d.state === "degraded" && d.dead_letters > 0);
  const unknown = named((d) => d.state === "unknown" && d.identity === "active");
  const expected = named((d) => d.identity === "expected");

  /** @type {[string, typeof fleet, string, string, ((page: import("playwright-core").Page) => Promise<unknown>)?, RegExp?][]} */
  const screens = [
    ["fleet", fleet, "/", ".lens"],
    ["fleet-calm", calm, "/", ".lens"],
    ["fleet-empty", bare, "/", ".empty"],
    ["devices", fleet, "/devices?q=name:press-04*", "tbody tr"],
    ["devices-suggestions", fleet, "/devices", "tbody tr", (page) => page.fill("#query", "s").then(() => page.waitForSelector("#suggest li"))],
    ["devices-bad-query", fleet, "/devices?q=stat:unknown", "#q-bad", undefined, /status of 400/],
    ["devices-no-match", fleet, "/devices?q=state:failing", ".empty"],
    ["device-degraded", fleet, `/devices/${degraded}`, "hf-chart canvas"],
    ["device-healthy", fleet, "/devices/press-001", "hf-chart canvas"],
    ["device-unknown", fleet, `/devices/${unknown}`, "hf-chart canvas"],
    ["device-replay", fleet, "/devices/press-005", "hf-chart canvas"],
    ["device-expected", fleet, `/devices/${expected}`, ".verdict"],
    ["device-table", fleet, "/devices/press-001", "hf-chart canvas", (page) => page.click(".ph .lnk").then(() => page.waitForSelector(".values td"))],
    ["device-missing", fleet, "/devices/press-9999", ".empty", undefined, /status of 404/],
    ["no-such-page", fleet, "/", ".lens", (page) => page.evaluate(() => (history.pushState(null, "", "/nowhere"), dispatchEvent(new PopStateEvent("popstate")))).then(() => page.waitForSelector(".empty"))],
    ["gateways", fleet, "/gateways", ".gwt tbody tr"],
    ["gateways-empty", bare, "/gateways", "h1"],
    ["gateway", fleet, "/gateways/gw-rotterdam-02", ".kv dd"],
    ["gateway-drain", fleet, "/gateways/gw-rotterdam-01", ".kv dd", (page) => page.click(".acts .btn").then(() => page.waitForSelector("#h-reach"))],
    ["gateway-draining", fleet, "/gateways/gw-lodz-01", ".kv dd"],
    ["gateway-silent", fleet, "/gateways/gw-oslo-01", ".kv dd", (page) => page.waitForSelector(".problem"), /status of 503/],
    ["gateway-trace", fleet, "/gateways/gw-rotterdam-02", ".kv dd", (page) => page.fill("#trace-device", "press-001").then(() => page.press("#trace-device", "Enter")).then(() => page.waitForSelector("ul.log[tabindex] li"))],
    ["gateway-missing", fleet, "/gateways/gw-9", ".empty", undefined, /status of 404/],
    ["login", closed, "/", "#token", undefined, /status of 401/],
    ["keys", fleet, "/", ".lens", (page) => page.keyboard.press("?").then(() => page.waitForSelector("dialog[open]"))],
  ];
  for (const [name, from, path, ready, act, allow] of screens) {
    for (const [device, width, height] of sizes) {
      for (const theme of themes) {
        await test(`screen ${name}, ${device}, ${theme}`, () =>
          stage.window({ width, height, theme }, async ({ page, allow: pass }) => {
            if (allow) pass(allow);
            await page.goto(from.url + path);
            await page.waitForSelector(ready);
            await act?.(page);
            await page.waitForFunction(() => document.fonts.status === "loaded" && !document.querySelector(".skel"));
            await sound(page);
            await stage.picture(page, `${name}-${width}-${theme}`);
            const found = await violations(page);
            expect(found.length === 0, found.join("\n"));
          }));
      }
    }
  }
  // German words are longer: nothing may run out of its place.
  for (const [name, path, ready] of [["fleet", "/", ".lens"], ["devices", "/devices?q=name:press-04*", "tbody tr"], ["device-degraded", `/devices/${degraded}`, "hf-chart canvas"], ["gateways", "/gateways", ".gwt tbody tr"], ["gateway", "/gateways/gw-rotterdam-02", ".kv dd"]]) {
    for (const [device, width, height] of sizes) {
      await test(`screen ${name}, ${device}, in German`, () =>
        stage.window({ width, height, locale: "de-DE" }, async ({ page }) => {
          await page.goto(fleet.url + path);
          await page.waitForSelector(ready);
          await page.waitForFunction(() => document.fonts.status === "loaded" && !document.querySelector(".skel"));
          await sound(page);
          await stage.picture(page, `${name}-${width}-german`);
          const found = await violations(page);
          expect(found.length === 0, found.join("\n"));
        }));
    }
  }
  for (const server of [fleet, calm, bare, closed]) await server.close();
}
