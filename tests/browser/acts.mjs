// What an operator does, and what the console does when things go wrong.
import { csp, serve } from "./fixture.mjs";
import { expect, violations } from "./stage.mjs";

/** @param {(name: string, body: () => unknown) => Promise<void>} test @param {import("./stage.mjs").Stage} stage */
export async function run(test, stage) {
  const fleet = await serve({ devices: 480 });
  const { url } = fleet;
  const degraded = fleet.fleet.devices.find((/** @type {any} */ d) => d.state === "degraded" && d.dead_letters > 0).name;
  /** @param {import("playwright-core").Page} page @param {string} path @param {string} ready */
  const go = async (page, path, ready) => {
    await page.goto(url + path);
    await page.waitForSelector(ready);
  };
  /** @param {string} name @param {(w: import("./stage.mjs").Watched) => Promise<unknown>} body @param {object} [how] */
  const act = (name, body, how = {}) => test(name, () => stage.window(how, body));

  await act("the page is served with the policy of the design, and keeps it", async ({ page, allow }) => {
    allow(/TrustedHTML/);
    const answer = await page.goto(`${url}/`);
    expect(answer?.headers()["content-security-policy"] === csp, "another policy");
    await page.waitForSelector(".lens");
    const blocked = await page.evaluate(() => {
      try {
        document.body.innerHTML = "<p>x</p>";
        return false;
      } catch {
        return true;
      }
    });
    expect(blocked, "a string became markup");
  });

  await act("every figure of the fleet page leads to the devices behind it", async ({ page }) => {
    await go(page, "/", ".lens");
    const n = Number((await page.textContent(".lens-keys li:nth-child(4) .num"))?.match(/\d+/)?.[0]);
    await page.click(".lens-keys li:nth-child(4) .num");
    await page.waitForSelector(".devs tbody tr");
    expect(new URL(page.url()).searchParams.get("q") === "state:unknown", page.url());
    expect((await page.getAttribute(".devs", "aria-rowcount")) === String(n + 1), `${await page.getAttribute(".devs", "aria-rowcount")} rows for ${n} devices`);
    expect((await page.locator('.devs tbody use[href="#g-unk"]').count()) >= n, "unknown is not drawn as a diamond");
  });

  await act("unknown is hatched violet in the lens and in no other share", async ({ page }) => {
    await go(page, "/", ".lens");
    expect((await page.locator(".lens rect.f-unk").count()) === 1, "no hatch for unknown");
    const fill = await page.evaluate(() => getComputedStyle(/** @type {Element} */ (document.querySelector(".lens rect.f-unk"))).fill);
    expect(fill.includes("hatch-unk"), fill);
  });

  await act("keys move through the list and open a device", async ({ page }) => {
    await go(page, "/", ".lens");
    await page.keyboard.press("g");
    await page.keyboard.press("d");
    await page.waitForSelector("[data-row]");
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await page.keyboard.press("k");
    await page.keyboard.press("j");
    const name = await page.evaluate(() => document.activeElement?.textContent);
    expect(name === "press-002", `the focus is on ${name}`);
    const outline = await page.evaluate(() => getComputedStyle(/** @type {Element} */ (document.activeElement)).outlineStyle);
    expect(outline === "solid", "the focus cannot be seen");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".verdict");
    expect(new URL(page.url()).pathname === "/devices/press-002", page.url());
    await page.keyboard.press("g");
    await page.keyboard.press("f");
    await page.waitForSelector(".lens");
    await page.keyboard.press("/");
    expect((await page.evaluate(() => document.activeElement?.id)) === "search", "/ does not search");
    await page.keyboard.type("press-03");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelectorAll(".devs tbody tr").length === 10);
    await page.goBack();
    await page.waitForSelector(".lens");
  });

  await act("a gateway is drained after its reach was shown, and opened again", async ({ page }) => {
    await go(page, "/", ".lens");
    await page.keyboard.press("g");
    await page.keyboard.press("w");
    await page.waitForSelector(".gwt tbody tr");
    await page.click('a.name[href="/gateways/gw-turin-01"]');
    await page.waitForSelector(".acts .btn");
    await page.click(".acts .btn");
    await page.waitForSelector("#h-reach");
    expect(/\d+ sessions leave gw-turin-01/.test((await page.textContent("#h-reach")) ?? ""), "its reach is not told");
    expect((fleet.hits.get("/gateways/gw-turin-01/drain") ?? 0) === 0, "it was drained without a second word");
    await page.click(".btn.risk");
    await page.waitForSelector('.title use[href="#g-run"]');
    expect(fleet.hits.get("/gateways/gw-turin-01/drain") === 1, "not drained once");
    await page.click(".acts .btn");
    await page.waitForSelector('.title use[href="#g-ok"]');
    expect(fleet.hits.get("/gateways/gw-turin-01/undrain") === 1, "not opened once");
  });

  await act("a gateway that does not report is silent, and nothing can be asked of it", async ({ page, allow }) => {
    allow(/status of 503/);
    await go(page, "/gateways/gw-oslo-01", ".problem");
    expect((await page.locator('.title use[href="#g-off"]').count()) === 1, "it has not the look of a silent one");
    expect(await page.isDisabled(".acts .btn"), "it can be drained");
  });

  await act("the query bar suggests, completes and filters", async ({ page }) => {
    await go(page, "/devices", "[data-row]");
    await page.keyboard.press("/");
    await page.keyboard.type("st");
    await page.waitForFunction(() => document.querySelector("#suggest li .mono")?.textContent === "state:");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelectorAll("#suggest li").length === 5);
    await page.keyboard.type("unk");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => location.search.includes("unknown"));
    await page.waitForFunction(() => {
      const words = [...document.querySelectorAll(".devs tbody .c-state")].map((cell) => cell.textContent?.trim());
      return words.length > 0 && words.every((word) => word === "unknown");
    });
    await page.keyboard.press("/");
    await page.keyboard.type(" gateway:gw-o");
    await page.waitForFunction(() => document.querySelector("#suggest li .mono")?.textContent === "gateway:gw-oslo-01");
  });

  await act("a query the server does not know is an error with the nearest word, never an empty list", async ({ page, allow }) => {
    allow(/status of 400/);
    await go(page, "/devices?q=stat:unknown", "#q-bad");
    expect(((await page.textContent("#q-bad")) ?? "").includes("HF-3102"), "no code");
    await page.click("#q-bad button");
    await page.waitForSelector(".devs tbody tr");
    expect(new URL(page.url()).searchParams.get("q") === "state:unknown", page.url());
  });

  await act("every row of a long list can be scrolled to, and the page holds those in sight alone", async ({ page }) => {
    const long = await serve({ devices: 10000 });
    try {
      await page.goto(`${long.url}/devices`);
      await page.waitForSelector("[data-row]");
      expect((await page.getAttribute(".devs", "aria-rowcount")) === "10001", "rows are not counted for the ear");
      const names = (/** @type {number} */ n) => `press-${String(n).padStart(3, "0")}`;
      for (const part of [0.5, 1, 0.25, 0]) {
        await page.evaluate((/** @type {number} */ p) => scrollTo(0, p * document.documentElement.scrollHeight), part);
        await page.waitForFunction((/** @type {number} */ p) => {
          const rows = [...document.querySelectorAll(".devs tbody tr[aria-rowindex]")].filter((r) => {
            const box = r.getBoundingClientRect();
            return box.bottom > 120 && box.top < innerHeight - 80;
          });
          const at = Number(rows[Math.floor(rows.length / 2)]?.getAttribute("aria-rowindex"));
          return rows.length > 5 && rows.every((r) => r.querySelector("[data-row]")) && Math.abs(at / 10000 - p) < 0.02;
        }, part);
        const count = await page.locator(".devs tbody tr").count();
        expect(count < 200, `${count} rows on the page`);
      }
      expect((await page.textContent("[data-row]")) === names(1), "not back at the beginning");
    } finally {
      await long.close();
    }
  });

  await act("what a query gives is handed over whole, as CSV and as NDJSON, and a view is kept as its URL", async ({ page }) => {
    await go(page, "/devices?q=state:degraded", "[data-row]");
    const total = Number(await page.getAttribute(".devs", "aria-rowcount")) - 1;
    for (const [button, kind] of [["#as-csv", "csv"], ["#as-json", "ndjson"]]) {
      const [download] = await Promise.all([page.waitForEvent("download"), page.click(button)]);
      expect(download.suggestedFilename() === `devices.${kind}`, download.suggestedFilename());
      const chunks = [];
      for await (const chunk of await download.createReadStream()) chunks.push(chunk);
      const lines = Buffer.concat(chunks).toString().trimEnd().split(/\r?\n/);
      expect(lines.length === total + (kind === "csv" ? 1 : 0), `${lines.length} lines for ${total} devices`);
      const states = kind === "csv" ? lines.slice(1).map((l) => l.split(",")[lines[0].split(",").indexOf("state")]) : lines.map((l) => JSON.parse(l).state);
      expect(states.every((s) => s === "degraded"), "another device in the file");
    }
    await page.click("#keep");
    await go(page, "/devices", ".views a");
    await page.click(".views a");
    await page.waitForSelector(".devs tbody tr");
    expect(new URL(page.url()).searchParams.get("q") === "state:degraded", page.url());
    await page.click("#keep");
    await page.waitForFunction(() => document.querySelectorAll(".views a").length === 0);
  });

  await act("the server sorts, and pages by cursor where one prefers pages", async ({ page }) => {
    await go(page, "/devices", "[data-row]");
    expect((await page.getAttribute(".devs", "aria-rowcount")) === "481", "rows are not counted for the ear");
    await page.click("#paged");
    await page.waitForFunction(() => document.querySelectorAll(".pages button").length === 3);
    await page.click(".pages button:nth-child(2)");
    await page.waitForFunction(() => document.querySelector("[data-row]")?.textContent === "press-101");
    expect((await page.getAttribute(".devs tbody tr", "aria-rowindex")) === "102", "the index does not go on");
    await page.click(".pages button:first-child");
    await page.waitForFunction(() => document.querySelector("[data-row]")?.textContent === "press-001");
    await page.click("th:nth-child(8) button");
    await page.waitForFunction(() => document.querySelector("th:nth-child(8)")?.getAttribute("aria-sort") === "ascending");
    await page.click("th:nth-child(8) button");
    await page.waitForFunction(() => document.querySelector("th:nth-child(8)")?.getAttribute("aria-sort") === "descending");
    await page.waitForFunction(() => Number(document.querySelector(".devs tbody td:nth-child(8)")?.textContent) > 0);
  });

  await act("a changed row changes in the list by itself", async ({ page }) => {
    await go(page, "/devices", "[data-row]");
    await page.waitForFunction(() => document.querySelector(".chip")?.textContent?.includes("live"));
    fleet.push("device", { v: 1, name: "press-003", state: "failing" });
    await page.waitForFunction(() => document.querySelector(".devs tbody tr:nth-child(3) .c-state")?.textContent?.trim() === "failing");
    await page.waitForFunction(() => document.getElementById("says")?.textContent?.includes("press-003"), undefined, { timeout: 8000 });
  });

  await act("a stream that breaks is said, and goes on from the last event", async ({ page, allow }) => {
    allow(/ERR_|Failed to load/);
    await go(page, "/devices", "[data-row]");
    await page.waitForFunction(() => document.querySelector(".chip")?.textContent?.includes("live"));
    const before = fleet.seen.length;
    fleet.cut();
    await page.waitForSelector(".chip.lost");
    await page.waitForFunction(() => !document.querySelector(".chip.lost"));
    expect(fleet.seen.length > before && Number(fleet.seen.at(-1)) >= 100, `opened again with since=${fleet.seen.at(-1)}`);
  });

  await act("old content stays with its age when the server fails, greys out, and says so in three parts", async ({ page, allow }) => {
    allow(/status of 503|ERR_/);
    await page.clock.install();
    await go(page, "/", ".lens");
    const shown = await page.textContent(".kpi .v");
    fleet.fail.next = { path: "/fleet", status: 503, code: "HF-3200", title: "the registry is busy", why: "another process holds it", do: "it is tried again by itself" };
    try {
      fleet.cut();
      await page.route("**/api/v1/events**", (route) => route.abort());
      await page.clock.fastForward(40000);
      await page.waitForSelector(".problem");
      const text = (await page.textContent(".problem")) ?? "";
      for (const part of ["HF-3200", "the registry is busy", "another process holds it", "it is tried again by itself"]) expect(text.includes(part), `the problem does not say "${part}": ${text}`);
      await page.clock.fastForward(40000);
      await page.waitForSelector(".kpis.stale");
      expect((await page.textContent(".kpi .v")) === shown, "the old figure went away");
    } finally {
      fleet.fail.next = null;
    }
  });

  await act("charts move with the stream, and gaps are drawn as gaps", async ({ page }) => {
    await go(page, `/devices/press-001`, "hf-chart canvas");
    const state = () =>
      page.evaluate(() => {
        const plot = /** @type {any} */ (document.querySelector("hf-chart")).plot;
        const i = plot.mean.indexOf(null);
        return { to: plot.to, last: plot.t[plot.t.length - 1], gaps: plot.gaps.length, isBroken: i > 0 && i < plot.t.length - 1 };
      });
    await page.waitForFunction(() => /** @type {any} */ (document.querySelector("hf-chart")).plot.gaps.length > 0);
    const first = await state();
    expect(first.isBroken, "the line goes through the gap");
    await page.waitForFunction((last) => {
      const plot = /** @type {any} */ (document.querySelector("hf-chart")).plot;
      return plot.t[plot.t.length - 1] > last + 1500;
    }, first.last);
    expect((await state()).to > first.to, "now does not move");
    const hatch = await page.evaluate(() => {
      const chart = /** @type {any} */ (document.querySelector("hf-chart"));
      const canvas = /** @type {HTMLCanvasElement} */ (chart.querySelector("canvas"));
      const { plot } = chart;
      const gap = plot.gaps[0];
      const x = Math.round((((gap.from + gap.to) / 2 - plot.from) / (plot.to - plot.from)) * canvas.width);
      const line = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).getImageData(x, 4, 1, canvas.height - 8).data;
      const colours = new Set();
      for (let i = 0; i < line.length; i += 4) colours.add(`${line[i]},${line[i + 1]},${line[i + 2]},${line[i + 3]}`);
      return { colours: colours.size, isOpaque: line[3] === 255 };
    });
    expect(hatch.isOpaque && hatch.colours >= 2, "the gap is not hatched");
  });

  await act("values of a recording are shown where they are, with their date, and greyed out", async ({ page }) => {
    await go(page, "/devices/press-005", "hf-chart canvas");
    await page.waitForFunction(() => /** @type {any} */ (document.querySelector("hf-chart")).plot.t.length > 100);
    const plot = await page.evaluate(() => {
      const { from, to, gaps } = /** @type {any} */ (document.querySelector("hf-chart")).plot;
      return { from, to, gaps };
    });
    expect(plot.to === Date.UTC(2020, 2, 9, 12, 34) && plot.to - plot.from === 600e3, `from ${new Date(plot.from).toISOString()} to ${new Date(plot.to).toISOString()}`);
    expect((await page.textContent(".charts + .xax + .tl-note"))?.includes("9 Mar 2020"), "the date is not said");
    expect((await page.locator(".chart.stale").count()) === 4, "old values look fresh");
    const [value, name] = await page.$$eval(".chart:first-child .val, .chart:first-child b", (both) => both.reverse().map((e) => getComputedStyle(e).color));
    expect(value !== name, "an old value has the ink of a fresh one");
  });

  await act("what was chosen is in the address, and the address brings it back", async ({ page }) => {
    await go(page, "/", ".lens");
    await page.click(".seg button:nth-child(3)");
    expect(new URL(page.url()).searchParams.get("by") === "model", page.url());
    await page.reload();
    await page.waitForSelector('.seg button:nth-child(3)[aria-pressed="true"]');
    await go(page, "/devices/press-001?range=3600&as=table&timeline=86400", ".values");
    expect((await page.$$eval('.seg button[aria-pressed="true"]', (b) => b.map((e) => e.textContent))).join() === "24 h,1 h", "the ranges were forgotten");
  });

  await act("the table twin has the charts' values, and says where there are none", async ({ page }) => {
    await go(page, "/devices/press-001", "hf-chart canvas");
    await page.waitForFunction(() => /** @type {any} */ (document.querySelector("hf-chart")).plot.gaps.length > 0);
    await page.click(".ph .lnk");
    await page.waitForSelector(".values tbody tr");
    expect((await page.locator(".values tbody tr").count()) === 30, "not 30 rows");
    expect((await page.locator(".values thead th").count()) === 5, "not one column a series");
    expect((await page.locator('.values td use[href="#g-off"]').count()) > 0, "the gap is not in the table");
  });

  await act("the device says its condition, the reason, and five facts each with an outcome", async ({ page }) => {
    await go(page, `/devices/${degraded}`, ".checks li");
    expect((await page.locator(".checks li").count()) === 5, "not five facts");
    expect(((await page.textContent(".say p")) ?? "").includes("messages are missing"), "no reason");
    expect((await page.locator('.checks use[href="#g-warn"]').count()) === 3, "the facts do not carry the outcome");
    expect((await page.locator(".gaps tbody tr").count()) === 2, "gaps are not listed");
    expect((await page.locator(".dls tbody tr").count()) > 0, "dead letters are not listed");
    expect((await page.locator(".tl .lane").count()) === 5, "the timeline lacks a lane");
    await page.click('button[aria-label="Copy device ID"]');
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    expect(/^hf1:[0-9a-f]{32}$/.test(copied), `copied ${copied}`);
  });

  await act("the theme follows the system, then the choice, and is remembered", async ({ page }) => {
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await go(page, "/", ".lens");
    const light = await ground();
    await page.emulateMedia({ colorScheme: "dark" });
    const dark = await ground();
    expect(light !== dark, "the system's theme has no effect");
    await page.click('button[aria-label^="Theme"]');
    await page.waitForFunction(() => document.documentElement.dataset.theme === "light");
    expect((await ground()) === light, "light was chosen");
    await page.reload();
    await page.waitForSelector(".lens");
    expect((await ground()) === light, "the choice was forgotten");
    await page.click('button[aria-label^="Theme"]');
    await page.click('button[aria-label^="Theme"]');
    expect((await page.evaluate(() => document.documentElement.dataset.theme)) === undefined, "the system is not followed again");
  });

  await act("German speaks German, with its own numbers", async ({ page }) => {
    await go(page, "/", ".lens");
    expect((await page.evaluate(() => document.documentElement.lang)) === "de", "lang is not de");
    expect((await page.textContent("h1")) === "Flotte", "the title is not German");
    expect(/95,\d\s%/.test((await page.textContent(".lens-keys li small")) ?? ""), "the numbers are not German");
    await page.click(".menu summary");
    await page.click('.menu-box button[lang="en"]');
    await page.waitForFunction(() => document.documentElement.lang === "en");
    await page.waitForSelector(".lens");
    const found = await violations(page);
    expect(found.length === 0, found.join("\n"));
  }, { locale: "de-DE" });

  await act("somebody not signed in is asked to, told why a code failed, and brought back", async ({ page, allow }) => {
    allow(/status of 401/);
    const closed = await serve({ devices: 5, signedOut: true });
    try {
      await page.goto(`${closed.url}/devices/press-002`);
      await page.waitForSelector("#token");
      await page.fill("#token", "WRONG");
      await page.click("button[type=submit]");
      await page.waitForSelector(".problem");
      expect(((await page.textContent(".problem")) ?? "").includes("HF-3005"), "no reason");
      await page.fill("#token", `${closed.url}/?login=7KQ2-M9XD`);
      await page.click("button[type=submit]");
      await page.waitForSelector(".verdict");
      expect(new URL(page.url()).pathname === "/devices/press-002", page.url());
      await page.click(".menu summary");
      await page.click(".menu-box button:last-child");
      await page.waitForSelector("#token");
    } finally {
      await closed.close();
    }
  });

  await act("on a phone the bar below leads everywhere and rows are cards", async ({ page }) => {
    await go(page, "/", ".lens");
    await page.click('.tabbar a[href="/devices"]');
    await page.waitForSelector("[data-row]");
    const heights = await page.$$eval(".devs tbody tr", (rows) => rows.slice(0, 5).map((r) => r.getBoundingClientRect().height));
    expect(heights.every((h) => h > 50 && h < 90), `cards are ${heights.join(", ")} px high`);
    expect((await page.locator(".devs thead").isVisible()) === false, "the head of the table is still there");
  }, { width: 390, height: 844 });

  await fleet.close();

  // The tests themselves: what they watch for is seen when it is there.
  const calm = await serve({ devices: 3, calm: true });
  /** @param {string} name @param {(page: import("playwright-core").Page) => Promise<unknown>} spoil @param {RegExp} seen */
  const canary = (name, spoil, seen) =>
    test(`canary: ${name} is seen`, async () => {
      let fault = "";
      await stage
        .window({}, async ({ page }) => {
          await page.goto(`${calm.url}/`);
          await page.waitForSelector(".lens");
          await spoil(page);
          await page.waitForTimeout(50);
          const found = await violations(page);
          expect(found.length === 0, found.join("\n"));
        })
        .catch((error) => (fault = String(error)));
      expect(seen.test(fault), `it was not: ${fault}`);
    });
  await canary("a console error", (page) => page.evaluate(() => console.error("spoilt")), /spoilt/);
  await canary("a style attribute", (page) => page.evaluate(() => document.body.setAttribute("style", "color: red")), /CSP: style-src-attr/);
  await canary("an image of another host", (page) => page.evaluate(() => void document.head.append(Object.assign(document.createElement("img"), { src: "http://127.0.0.1:9/x.png" }))), /CSP: img-src/);
  await canary("a button without a name", (page) => page.evaluate(() => document.querySelector("main")?.append(document.createElement("button"))), /button-name/);
  await canary("too little contrast", (page) => page.evaluate(() => (/** @type {HTMLElement} */ (document.querySelector("h1")).style.color = "#ccc")), /color-contrast/);
  await calm.close();
}
