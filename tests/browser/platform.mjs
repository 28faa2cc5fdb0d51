// The console on a platform that runs: real devices, real values. What the page shows must equal what the API says, and
// a chart must move by itself.
import { readFileSync } from "node:fs";
import { csp } from "./fixture.mjs";
import { expect, sizes, sound, themes, violations } from "./stage.mjs";

/** @param {(name: string, body: () => unknown) => Promise<void>} test @param {import("./stage.mjs").Stage} stage @param {string} upFile DIR/up.json */
export async function run(test, stage, upFile) {
  const up = JSON.parse(readFileSync(upFile, "utf8"));
  const token = /HOLDFAST_TOKEN=['"]?([^'"\s]+)/.exec(readFileSync(up.env, "utf8"))?.[1] ?? "";
  const device = up.devices[0];

  /** @param {string} path @param {RequestInit} [init] */
  const api = async (path, init) => {
    const answer = await fetch(up.api + path, { ...init, headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json", ...init?.headers } });
    expect(answer.ok, `${path}: status ${answer.status} ${await answer.clone().text()}`);
    return answer.json();
  };
  const loginUrl = async () => (await api("/login-links", { method: "POST", body: "{}" })).url;

  /** A window of somebody signed in, at a path. @param {object} how @param {string} path @param {string} ready @param {(w: import("./stage.mjs").Watched) => Promise<unknown>} body */
  const signedIn = (how, path, ready, body) =>
    stage.window(how, async (w) => {
      await w.page.goto(await loginUrl());
      await w.page.waitForSelector(".lens, .empty");
      if (path !== "/") await w.page.goto(up.console + path);
      await w.page.waitForSelector(ready);
      return body(w);
    });

  await test("platform: a login link signs in once, and leaves no code in the address", () =>
    stage.window({}, async ({ page, context, allow }) => {
      allow(/status of 401/);
      const link = await loginUrl();
      await page.goto(link);
      await page.waitForSelector(".lens");
      expect(new URL(page.url()).search === "" && new URL(page.url()).pathname === "/", `the address is ${page.url()}`);
      const cookies = await context.cookies();
      expect(cookies.length === 1 && cookies[0].httpOnly && cookies[0].sameSite !== "None", JSON.stringify(cookies.map(({ value: _, ...c }) => c)));
      await context.clearCookies();
      await page.goto(link);
      await page.waitForSelector(".problem");
      expect(((await page.textContent(".problem")) ?? "").includes("used before"), "a used link is not explained");
    }));

  await test("platform: the page comes with the policy of the design", async () => {
    const answer = await fetch(up.console);
    const want = { "content-security-policy": csp, "x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin" };
    for (const [name, value] of Object.entries(want)) expect(answer.headers.get(name) === value, `${name}: ${answer.headers.get(name)}`);
  });

  /** @type {[string, string, string][]} */
  const screens = [["fleet", "/", ".lens"], ["devices", "/devices", "[data-row]"], ["device", `/devices/${device}`, "hf-chart canvas"]];
  for (const [name, path, ready] of screens) {
    for (const [size, width, height] of sizes) {
      for (const theme of themes) {
        await test(`platform: screen ${name}, ${size}, ${theme}`, () =>
          signedIn({ width, height, theme }, path, ready, async ({ page }) => {
            await page.waitForFunction(() => document.fonts.status === "loaded" && !document.querySelector(".skel"));
            await sound(page);
            await stage.picture(page, `${name}-${width}-${theme}`);
            const found = await violations(page);
            expect(found.length === 0, found.join("\n"));
          }));
      }
    }
  }

  await test("platform: the fleet's figures equal the API's", () =>
    signedIn({}, "/", ".lens", async ({ page }) => {
      const states = ["healthy", "degraded", "failing", "unknown", "quarantined"];
      // The fleet lives: the two are asked again until both were asked between two changes.
      for (let attempt = 1; ; attempt++) {
        const want = await api("/fleet");
        const shown = await page.evaluate(() => ({
          title: document.querySelector("#h-health")?.textContent ?? "",
          states: [...document.querySelectorAll(".lens-keys .num")].map((e) => Number(/[\d,]+/.exec(e.textContent ?? "")?.[0].replaceAll(",", ""))),
          connected: Number(document.querySelector(".kpi .v")?.textContent?.replaceAll(",", "")),
          gateways: document.querySelectorAll(".gwt tbody tr").length,
        }));
        const same =
          shown.title.includes(` ${want.total} `) && shown.connected === want.connected && shown.gateways === want.gateways.length && states.every((s, i) => shown.states[i] === (want.states[s] ?? 0));
        if (same) {
          expect(want.total === up.devices.length, `${want.total} devices, ${up.devices.length} were started`);
          return;
        }
        expect(attempt < 40, `page ${JSON.stringify(shown)}, API ${JSON.stringify({ total: want.total, connected: want.connected, states: want.states })}`);
        await page.waitForTimeout(500);
      }
    }));

  await test("platform: the list has every device of the API", () =>
    signedIn({}, "/devices", "[data-row]", async ({ page }) => {
      const want = (await api("/devices?limit=100")).items.map((/** @type {any} */ d) => d.name);
      const shown = await page.$$eval("[data-row]", (rows) => rows.map((r) => r.textContent));
      expect(JSON.stringify(shown) === JSON.stringify(want), `page ${shown.slice(0, 5)}…, API ${want.slice(0, 5)}…`);
    }));

  await test("platform: a wrong query is an error with its code", () =>
    signedIn({}, "/devices", "[data-row]", async ({ page, allow }) => {
      allow(/status of 400/);
      await page.goto(`${up.console}/devices?q=stat:unknown`);
      await page.waitForSelector("#q-bad");
      expect(((await page.textContent("#q-bad")) ?? "").includes("HF-3102"), (await page.textContent("#q-bad")) ?? "");
      await page.click("#q-bad button");
      await page.waitForFunction(() => new URLSearchParams(location.search).get("q") === "state:unknown");
    }));

  await test("platform: a real chart moves: new points arrive and are drawn", () =>
    signedIn({}, `/devices/${device}`, "hf-chart canvas", async ({ page }) => {
      const newest = () => page.evaluate(() => Math.max(...[...document.querySelectorAll("hf-chart")].map((c) => /** @type {any} */ (c).plot?.t.at(-1) ?? 0)));
      let at = await newest();
      for (let i = 0; i < 3; i++) {
        await page.waitForFunction((last) => [...document.querySelectorAll("hf-chart")].some((c) => (/** @type {any} */ (c).plot?.t.at(-1) ?? 0) > last), at, { timeout: 20000 });
        at = await newest();
      }
      const painted = await page.evaluate(() => {
        const canvas = /** @type {HTMLCanvasElement} */ (document.querySelector("hf-chart canvas"));
        const bytes = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).getImageData(0, 0, canvas.width, canvas.height).data;
        let blue = 0;
        for (let i = 0; i < bytes.length; i += 4) if (bytes[i + 3] > 200 && bytes[i + 2] > bytes[i] + 60) blue++;
        return blue;
      });
      expect(painted > 5, `only ${painted} pixels of a line`);
    }));

  await test("platform: the values shown equal the stored points", () =>
    signedIn({}, `/devices/${device}`, ".chart .val", async ({ page }) => {
      await page.waitForFunction(() => document.querySelectorAll(".chart hf-age[at]").length > 0);
      let compared = 0;
      const shown = await page.$$eval(".chart", (charts) =>
        charts.map((c) => ({ series: c.getAttribute("data-series"), at: Number(c.querySelector("hf-age")?.getAttribute("at")), text: c.querySelector(".val")?.textContent ?? "" })),
      );
      for (const s of shown) {
        if (!s.at) continue;
        const answer = await api(`/data/points?series=${s.series}&from=${new Date(s.at).toISOString()}&to=${new Date(s.at + 1).toISOString()}&limit=10`);
        const point = answer.items.find((/** @type {any} */ p) => Math.abs(Date.parse(p.time) - s.at) < 1);
        expect(point, `series ${s.series}: the page shows a value of ${new Date(s.at).toISOString()}, the store has none`);
        if (typeof point.value !== "number") continue;
        const scale = { k: 1e3, M: 1e6, G: 1e9, T: 1e12 }[/^[^ ]+ ([kMGT])(?:B|bit)/.exec(s.text.trim())?.[1] ?? ""] ?? 1;
        const read = Number(s.text.trim().replaceAll(",", "").replace("−", "-").split(/\s/)[0]) * scale;
        expect(Math.abs(read - point.value) <= Math.max(0.0006, Math.abs(point.value) * 0.006), `series ${s.series}: page ${s.text.trim()}, store ${point.value}`);
        compared++;
      }
      expect(compared > 0, "no value could be compared");
    }));

  await test("platform: the device page says what the API says of it", () =>
    signedIn({}, `/devices/${device}`, ".verdict", async ({ page }) => {
      const want = await api(`/devices/${device}`);
      const text = (await page.textContent("main")) ?? "";
      for (const part of [want.serial, want.model, want.manufacturer, want.agent].filter((p) => p)) expect(text.includes(part), `"${part}" is not on the page`);
      expect((await page.locator(".certs tbody tr").count()) === want.certificates.length, "another number of certificates");
      expect((await page.textContent(".pill"))?.trim().toLowerCase() === want.state, `the pill says ${await page.textContent(".pill")}, the API ${want.state}`);
    }));

  await test("platform: signing out ends the session on the server", () =>
    signedIn({}, "/", ".lens", async ({ page, allow }) => {
      allow(/status of 401/);
      await page.click(".menu summary");
      await page.click(".menu-box button:last-child");
      await page.waitForSelector("#token");
      const status = await page.evaluate(async () => (await fetch("/api/v1/fleet")).status);
      expect(status === 401, `the API still answers with ${status}`);
    }));
}
