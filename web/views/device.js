// One device: who it is, what condition it is in and why, what it was, what it measures, what is missing.
import { html, nothing } from "../vendor/lit-html.js";
import { get, openEvents, Resource } from "../api.js";
import { ago, brief, clock, ms, none, num, offset, shortId, size, when } from "../format.js";
import { devicesHref, term } from "../parts/links.js";
import { condition, identityShape, identityWord, shape, shapeFor, st, statePill } from "../parts/states.js";
import { beginning, timeline } from "../parts/timeline.js";
import { age, announce, empty, problem, seg, skeleton, time } from "../parts/ui.js";
import { t, word } from "../texts.js";
import { telemetry } from "./telemetry.js";

/** @typedef {import("../app.js").Context} Context */
/** @typedef {import("../app.js").View} View */

const refetchMs = 10000;
const hour = 3600;
const ranges = /** @type {const} */ ([hour, 24 * hour, 30 * 24 * hour, 0]);
const entriesFirst = 8;

/** @param {Context} context @param {string} name @param {URLSearchParams} search @returns {View} */
export function deviceView({ update, remember, live }, name, search) {
  /** @type {number} */ let range = ranges.find((r) => String(r) === search.get("timeline")) ?? 0;
  let isChosen = search.has("timeline");
  let isAllEntries = false;
  let isCopied = false;
  const device = new Resource((signal) => get(`/devices/${encodeURIComponent(name)}`, undefined, signal), () => {
    if (device.problem?.status === 404) device.stop();
    if (device.data && end === null) follow();
    if (device.data && !isChosen) range = clock.now() - beginning(device.data) > 40 * 24 * hour * 1000 ? 30 * 24 * hour : 0;
    update();
  });
  const letters = new Resource((signal) => get("/deadletters", { device: name, limit: 20 }, signal), update);
  /** @type {ReturnType<typeof telemetry> | null} */ let measured = null;
  /** @type {(() => void) | null} */ let end = null;
  device.keep(refetchMs);

  /** There is such a device: what it measures, what of it was refused, what changes. */
  function follow() {
    letters.keep(3 * refetchMs);
    measured = telemetry(name, update, remember, search);
    end = openEvents({ device: name }, {
      device(row) {
        if (!device.data || row.name !== device.data.name) return;
        if (device.data.state !== row.state) {
          announce(t("say.state", { name: row.name, state: t(`state.${condition(row.state)}`) }));
          device.load();
        }
        device.data = { ...device.data, ...row };
        update();
      },
      point(part) {
        measured?.take(part.items ?? [part]);
        update();
      },
      state: live,
    });
  }

  /** @param {string} id */
  async function copy(id) {
    await navigator.clipboard.writeText(id).catch(() => {});
    isCopied = true;
    announce(t("d.copied"));
    update();
    setTimeout(() => ((isCopied = false), update()), 2000);
  }

  /** @param {any} d */
  function head(d) {
    const seen = ms(d.last_seen);
    return html`<div class="head">
      <div>
        <p class="crumb"><a href="/">${t("nav.fleet")}</a><span>/</span><a href="/devices">${t("nav.devices")}</a></p>
        <div class="title">
          <h1>${d.name}</h1>
          ${statePill(d.state)}
          ${d.identity && d.identity !== "active" ? html`<span class="pill off">${shape(identityShape(d.identity))}${identityWord(d.identity)}</span>` : nothing}
        </div>
        <div class="idline">
          <span class="st"
            ><span class="mono" title=${d.id}>${shortId(d.id)}</span
            ><button class="cp" type="button" aria-label=${t("d.copy")} title=${isCopied ? t("d.copied") : t("d.copy")} @click=${() => copy(d.id)}>
              <svg class=${isCopied ? "t-ok" : ""} aria-hidden="true"><use href=${isCopied ? "#g-ok" : "#i-copy"} /></svg></button
          ></span>
          ${d.model ? html`<span>${d.model}</span>` : nothing}
          ${seen === null
            ? html`<span>${t("d.seen.never")}</span>`
            : html`<span data-aged>${t("d.seen")} ${age(seen, 60)}${d.gateway ? html` ${t("d.seen.through")} <a href=${devicesHref(term("gateway", d.gateway))}>${d.gateway}</a>` : nothing}</span>`}
        </div>
      </div>
    </div>`;
  }

  /** @param {any} d */
  function say(d) {
    const c = condition(d.state);
    const seen = ms(d.last_seen);
    return html`<section class="panel verdict" aria-labelledby="h-v">
      <div class="say">
        ${shape(shapeFor(c), "big")}
        <div>
          <h2 id="h-v">${t(`d.say.${c}`)}</h2>
          <p>${d.state_why ? html`${sentence(d.state_why)} ` : nothing}${seen === null ? t("d.say.never") : html`${t("d.say.heard", { ago: ago(seen) })}`}${c === "unknown" ? html` ${t("d.say.unknown.text")}` : nothing}</p>
        </div>
      </div>
      <ul class="checks">
        ${checks(d)}
      </ul>
    </section>`;
  }

  /** Five facts the condition rests on, each with its own outcome. @param {any} d */
  function checks(d) {
    const inUse = (d.certificates ?? []).find((/** @type {any} */ c) => c.state === "in-use") ?? (d.certificates ?? []).find((/** @type {any} */ c) => c.state === "issued");
    const linked = ms(d.linked_at);
    const dead = d.dead_letters ?? 0;
    const missing = d.gaps_missing ?? 0;
    const lost = d.lost ?? 0;
    const quality = d.clock?.quality;
    const isOff = typeof d.clock?.offset_s === "number" && Math.abs(d.clock.offset_s) > 0.5;
    const isCut = d.identity === "revoked" || d.identity === "quarantined" || d.identity === "decommissioned";
    return [
      check(isCut ? "fail" : inUse ? "ok" : "unk", t("c.identity"), isCut ? t("c.identity.state", { state: identityWord(d.identity) }) : inUse ? t("c.identity.gen", { n: inUse.generation, date: when(inUse.not_after) }) : t("c.identity.none")),
      check(d.connected ? "ok" : d.link === "unknown" ? "unk" : "off", t("c.link"), d.connected ? html`${d.gateway}${linked === null ? nothing : html`, ${t("since", { d: when(linked) })}`}` : d.link === "unknown" ? t("c.link.unk", { g: d.gateway }) : t("c.link.no")),
      check(dead > 0 ? "warn" : seenAtAll(d) ? "ok" : "unk", t("c.auth"), dead > 0 ? t("c.auth.bad", { n: dead }) : seenAtAll(d) ? t("c.auth.ok") : t("d.seen.never")),
      check(
        missing + lost > 0 ? "warn" : d.next_seq > 1 ? "ok" : "unk",
        t("c.complete"),
        missing + lost > 0 ? t("c.complete.bad", { n: missing, lost }) : d.next_seq > 1 ? t("c.complete.ok", { n: d.messages ?? d.next_seq - 1 }) : t("c.complete.none"),
      ),
      check(
        !d.connected ? "unk" : isOff ? "warn" : quality === "synced" ? "ok" : quality === "holdover" ? "wait" : "unk",
        t("c.clock"),
        html`${d.connected || !quality ? nothing : html`${t("c.last")} `}${quality ? word("c.clock", quality) : t("c.clock.unknown")}${typeof d.clock?.offset_s === "number" ? html`, ${t("c.clock.off", { o: offset(d.clock.offset_s) })}` : nothing}`,
      ),
    ];
  }

  /** @param {any} d */
  function identityTimeline(d) {
    return html`<div class="grid">
      <section class="panel" aria-labelledby="h-tl">
        <div class="ph">
          <h2 id="h-tl">${t("tl")}</h2>
          <span class="hint">${t("tl.hint")}</span>
          <span class="more"
            >${seg(
              t("tl.range"),
              [
                [ranges[0], t("tl.1h")],
                [ranges[1], t("tl.24h")],
                [ranges[2], t("tl.30d")],
                [ranges[3], html`<span class="hide-sm">${t("tl.all")}</span><span class="only-sm">${t("tl.all.short")}</span>`],
              ],
              range,
              (/** @type {number} */ next) => ((range = next), (isChosen = true), remember("timeline", String(next)), update()),
            )}</span
          >
        </div>
        ${timeline(d, range)}
      </section>
    </div>`;
  }

  /** @param {any} d */
  function delivery(d) {
    /** @type {any[]} */ const gaps = d.gaps ?? [];
    return html`<section class="panel" aria-labelledby="h-ga">
      <div class="ph"><h2 id="h-ga">${t("ga")}</h2></div>
      <dl class="kv">
        <dt>${t("ga.next")}</dt>
        <dd class="mono">${num(d.next_seq)}</dd>
        <dt>${t("ga.missing")}</dt>
        <dd class=${d.gaps_missing > 0 ? "t-warn" : ""}>${num(d.gaps_missing)}</dd>
        <dt>${t("ga.lost")}</dt>
        <dd class=${d.lost > 0 ? "t-warn" : ""}>${num(d.lost)}</dd>
        <dt>${t("ga.dups")}</dt>
        <dd>${num(d.duplicates)}</dd>
        <dt>${t("ga.dead")}</dt>
        <dd class=${d.dead_letters > 0 ? "t-warn" : ""}>${num(d.dead_letters)}</dd>
      </dl>
      ${gaps.length === 0
        ? d.next_seq > 1
          ? html`<p class="calm line">${shape("ok")}<span>${t("ga.none", { n: d.next_seq - 1 })}</span></p>`
          : nothing
        : html`<table class="gaps">
            <thead>
              <tr>
                <th>${t("ga.range")}</th>
                <th class="r">${t("ga.count")}</th>
                <th>${t("ga.why")}</th>
              </tr>
            </thead>
            <tbody>
              ${gaps.slice(0, 12).map(
                (g) => html`<tr>
                  <td class="mono">${num(g.from)}–${num(g.to)}</td>
                  <td class="r">${num(g.count)}</td>
                  <td>${st(g.why === "restart" ? "unk" : "warn", word("ga.w", g.why))}<span class="two">${time(g.since)}</span></td>
                </tr>`,
              )}
            </tbody>
          </table>`}
    </section>`;
  }

  /** @param {any} d */
  function certificates(d) {
    /** @type {any[]} */ const all = [...(d.certificates ?? [])].sort((a, b) => (b.generation ?? 0) - (a.generation ?? 0));
    return html`<section class="panel" aria-labelledby="h-ce">
      <div class="ph"><h2 id="h-ce">${t("ce")}</h2></div>
      ${all.length === 0
        ? html`<p class="calm line">${shape("wait")}<span>${t("ce.none")}</span></p>`
        : html`<table class="certs">
            <thead>
              <tr>
                <th>${t("ce.gen")}</th>
                <th>${t("ce.until")}</th>
                <th>${t("ce.state")}</th>
              </tr>
            </thead>
            <tbody>
              ${all.map(
                (c) => html`<tr>
                  <td><span class="name">${num(c.generation)}</span><span class="two mono" title=${c.serial}>${String(c.serial ?? "").slice(0, 8)}</span></td>
                  <td>${time(c.not_after)}<span class="two">${t("ce.issued", { when: when(c.issued_at ?? c.not_before) })}</span></td>
                  <td>${certState(c.state)}</td>
                </tr>`,
              )}
            </tbody>
          </table>`}
    </section>`;
  }

  function refused() {
    /** @type {any[]} */ const rows = letters.data?.items ?? [];
    if (rows.length === 0) return letters.problem && !letters.data ? html`<section class="panel">${problem(letters.problem, () => letters.load())}</section>` : nothing;
    return html`<section class="panel" aria-labelledby="h-dl">
      <div class="ph"><h2 id="h-dl">${t("dl")}</h2><span class="hint">${t("dl.hint")}</span></div>
      <table class="cards dls">
        <thead>
          <tr>
            <th>${t("dl.at")}</th>
            <th>${t("dl.reason")}</th>
            <th>${t("dl.topic")}</th>
            <th>${t("dl.gateway")}</th>
            <th class="r">${t("dl.bytes")}</th>
          </tr>
        </thead>
        <tbody>
          ${rows.slice(0, 10).map(
            (r) => html`<tr>
              <td class="dim nowrap">${time(r.at)}</td>
              <td><span class="st t-warn">${shape("warn")}<span class="mono">${r.reason}</span></span></td>
              <td class="wide mono dim ell" title=${r.topic ?? ""}>${r.topic ?? none}</td>
              <td class="dim hide-sm">${r.gateway ?? none}</td>
              <td class="r dim hide-sm">${size(r.bytes)}</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </section>`;
  }

  /** @param {any} d */
  function entries(d) {
    /** @type {any[]} */ const all = [...(d.entries ?? [])].sort((a, b) => (b.number ?? 0) - (a.number ?? 0));
    return html`<section class="panel" aria-labelledby="h-en">
      <div class="ph"><h2 id="h-en">${t("en")}</h2><span class="hint">${t("en.hint")}</span></div>
      ${all.length === 0
        ? html`<p class="calm line">${t("en.none")}</p>`
        : html`<ul class="log">
            ${(isAllEntries ? all : all.slice(0, entriesFirst)).map(
              (e) => html`<li>${time(e.at, brief)}<span>${entryText(e, d)}${entryDetail(e.detail)}</span><span class="mono dimmer">${num(e.number)}</span></li>`,
            )}
          </ul>`}
      ${all.length > entriesFirst && !isAllEntries
        ? html`<div class="tfoot"><button class="lnk" type="button" @click=${() => ((isAllEntries = true), update())}>${t("dev.all")} ${num(all.length)}</button></div>`
        : nothing}
    </section>`;
  }

  /** @param {any} d */
  function about(d) {
    /** @type {[string, unknown, boolean?][]} */
    const facts = [
      [t("ab.serial"), d.serial || none, true],
      [t("ab.model"), d.model || none],
      [t("ab.maker"), d.manufacturer || none],
      [t("ab.identity"), d.identity ? identityWord(d.identity) : none],
      [t("ab.created"), time(d.created_at)],
      [t("ab.agent"), d.agent || none, true],
      [t("ab.boots"), typeof d.boots === "number" ? t("ab.boots.n", { n: d.boot ?? 0, m: d.boots }) : num(d.boot)],
      [t("ab.clock"), typeof d.clock?.offset_s === "number" ? t("c.clock.off", { o: offset(d.clock.offset_s) }) : t("gw.noclock")],
    ];
    return html`<section class="panel" aria-labelledby="h-fa">
      <div class="ph"><h2 id="h-fa">${t("ab")}</h2></div>
      <dl class="kv">
        ${facts.map(([key, value, isMono]) => html`<dt>${key}</dt><dd class=${isMono ? "mono" : ""}>${value}</dd>`)}
      </dl>
    </section>`;
  }

  return {
    nav: "devices",
    title: () => name,
    stop() {
      end?.();
      device.stop();
      letters.stop();
      measured?.stop();
    },
    render() {
      const d = device.data;
      if (!d) {
        const isMissing = device.problem?.status === 404;
        return html`<div class="head"><div><p class="crumb"><a href="/">${t("nav.fleet")}</a><span>/</span><a href="/devices">${t("nav.devices")}</a></p><h1>${name}</h1></div></div>
          ${device.problem
            ? isMissing
              ? html`<section class="panel">${empty(t("d.none", { name }), device.problem.why || device.problem.title, "holdfast device list")}</section>`
              : problem(device.problem, () => device.load())
            : skeleton(10)}`;
      }
      return html`${head(d)} ${device.problem ? problem(device.problem, () => device.load(), device.at) : nothing} ${say(d)} ${identityTimeline(d)}
        <div class="grid g-2-1">
          <div class="stack">${measured?.render()} ${refused()} ${entries(d)}</div>
          <div class="stack">${delivery(d)} ${certificates(d)} ${about(d)}</div>
        </div>`;
    },
  };
}

/** @param {any} d */
function seenAtAll(d) {
  return ms(d.last_seen) !== null;
}

/** @param {import("../parts/states.js").Shape} outcome @param {string} name @param {unknown} text */
function check(outcome, name, text) {
  return html`<li>
    <div class="k">${shape(outcome)}${name}</div>
    <div class="v">${text}</div>
  </li>`;
}

/** What happened, and through whom; the device's own id is not said again on its page. @param {any} e @param {any} d */
function entryText(e, d) {
  const what = String(e.what ?? e.kind).replace(/\.$/, "");
  const actor = String(e.actor ?? "").replace(` ${d.id}`, "");
  return actor === "" ? what : t("en.by", { what, actor });
}

/** @param {any} detail the first facts of an entry, where it has any */
function entryDetail(detail) {
  const facts = Object.entries(detail ?? {}).filter(([, v]) => typeof v === "string" || typeof v === "number");
  if (facts.length === 0) return nothing;
  return html`<span class="two">${facts.slice(0, 3).map(([k, v], i) => html`${i > 0 ? ", " : ""}${k.replaceAll("_", " ")} <span class=${typeof v === "string" ? "mono" : ""}>${String(v).length > 26 ? `${String(v).slice(0, 24)}…` : v}</span>`)}</span>`;
}

/** @param {string} text */
function sentence(text) {
  const start = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.:!?]$/.test(start) ? start : `${start}.`;
}

/** @param {string | undefined} state */
function certState(state) {
  /** @type {Record<string, import("../parts/states.js").Shape>} */
  const shapes = { "in-use": "ok", issued: "wait", replaced: "off", expired: "off", revoked: "quar" };
  return st(shapes[state ?? ""] ?? "unk", word("ce.s", state));
}
