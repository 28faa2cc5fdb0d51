// One gateway: what it reports, whom it serves, what it refused, the messages of one device; and to empty it.
import { html, nothing } from "../vendor/lit-html.js";
import { get, post, Resource } from "../api.js";
import { brief, duration, num, size, wall, ms } from "../format.js";
import { clockOffset, gatewayState, spoolBar, unread } from "../parts/gateways.js";
import { shape } from "../parts/states.js";
import { announce, dash, empty, problem, skeleton, time } from "../parts/ui.js";
import { t } from "../texts.js";
import { own } from "../texts/gateway.js";

const refetchMs = 3000;
const lookMs = 1000;
const watchS = 120;
const sessionsFirst = 12;
const sessionsMost = 500;
const eventsKept = 200;

/** @typedef {import("../app.js").Context} Context */
/** @typedef {import("../app.js").View} View */

/** @param {Context} context @param {string} name @param {URLSearchParams} search @returns {View} */
export function gatewayView({ update, remember }, name, search) {
  const base = `/gateways/${encodeURIComponent(name)}`;
  let isAll = false;
  const gateway = new Resource((signal) => get(base, undefined, signal), update);
  const refusals = new Resource((signal) => get(`${base}/refusals`, undefined, signal), update);
  const sessions = new Resource((signal) => get(`${base}/sessions`, { limit: isAll ? sessionsMost : sessionsFirst }, signal), update);
  gateway.keep(refetchMs);
  refusals.keep(refetchMs);
  sessions.keep(refetchMs);
  let isAsking = false;
  let isBusy = false;
  /** @type {import("../api.js").Problem | null} */ let failed = null;

  // The trace of one device; none while nobody looks.
  /** @type {{device: string, events: any[], last: number, left: number, timer: ReturnType<typeof setTimeout> | undefined, problem: any}} */
  const trace = { device: search.get("trace") ?? "", events: [], last: 0, left: 0, timer: undefined, problem: null };

  /** @param {"drain" | "undrain"} verb */
  async function change(verb) {
    isBusy = true;
    failed = null;
    update();
    try {
      await post(`${base}/${verb}`);
      announce(own(verb === "drain" ? "drain.said" : "open.said", { name }));
      isAsking = false;
    } catch (error) {
      failed = /** @type {any} */ (error);
    }
    isBusy = false;
    gateway.load();
  }

  async function look() {
    try {
      const got = await get(`${base}/trace`, { after: trace.last });
      trace.events = [...trace.events, ...got.items].slice(-eventsKept);
      trace.last = got.last;
      trace.left = got.left_s;
      trace.problem = null;
    } catch (error) {
      trace.problem = error;
      trace.left = 0;
    }
    update();
    if (trace.left > 0) trace.timer = setTimeout(look, lookMs);
  }

  /** @param {SubmitEvent} event */
  async function watch(event) {
    event.preventDefault();
    clearTimeout(trace.timer);
    trace.device = /** @type {HTMLInputElement} */ (document.getElementById("trace-device")).value.trim();
    remember("trace", trace.device);
    trace.events = [];
    trace.last = 0;
    try {
      await post(`${base}/trace?device=${encodeURIComponent(trace.device)}&seconds=${watchS}`);
      trace.problem = null;
      look();
    } catch (error) {
      trace.problem = error;
      trace.left = 0;
      update();
    }
  }

  /** @param {any} g */
  function act(g) {
    const isUp = g.state === "connected";
    if (g.drain === "draining" || g.drain === "drained") return html`<button class="btn" type="button" ?disabled=${isBusy || !isUp} @click=${() => change("undrain")}>${own("open")}</button>`;
    return html`<button class="btn" type="button" ?disabled=${isBusy || !isUp} aria-expanded=${isAsking ? "true" : "false"} @click=${() => ((isAsking = !isAsking), update())}>${own("drain")}</button>`;
  }

  /** How far it reaches is said before it is done. @param {any} g */
  function reach(g) {
    return html`<section class="panel" aria-labelledby="h-reach">
      <div class="ph"><h2 id="h-reach">${own("reach", { n: g.sessions ?? 0, name })}</h2></div>
      <p class="calm">${own("reach.text")}</p>
      <div class="tfoot">
        <button class="btn risk sm" type="button" ?disabled=${isBusy} @click=${() => change("drain")}>${own("drain.now")}</button>
        <button class="btn sm" type="button" @click=${() => ((isAsking = false), update())}>${own("leave")}</button>
      </div>
    </section>`;
  }

  /** @param {any} g */
  function facts(g) {
    /** @type {[string, unknown][]} */
    const rows = [
      [own("gw.sessions"), html`${num(g.sessions)} <span class="dimmer">${own("devices", { n: g.devices ?? 0 })}</span>`],
      [own("gw.rate"), num(g.messages_per_s, 1)],
      [own("messages"), html`${num(g.messages)} <span class="dimmer">${size(g.message_bytes)}</span>`],
      [own("gw.spool"), spoolBar(g)],
      [own("gw.lag"), unread(g)],
      [own("gw.clock"), clockOffset(g.clock_offset_s)],
      [own("stalls"), num(g.stalls)],
      [own("grants"), html`${num(g.grants_number)} <span class="dimmer">${g.grants_in_force === true ? own("grants.new") : g.grants_in_force === false ? own("grants.old") : own("gw.unknown")}</span>`],
    ];
    return html`<section class="panel ${g.state === "connected" ? "" : "stale"}" aria-labelledby="h-facts">
      <div class="ph"><h2 id="h-facts">${own("facts")}</h2>${g.state === "connected" ? nothing : html`<span class="hint">${typeof g.reported_age_s === "number" ? own("then", { d: duration(g.reported_age_s) }) : own("never")}</span>`}</div>
      <dl class="kv">${rows.map(([key, value]) => html`<dt>${key}</dt><dd>${value}</dd>`)}</dl>
    </section>`;
  }

  function refused() {
    /** @type {any[]} */ const rows = refusals.data?.items ?? [];
    return html`<section class="panel" aria-labelledby="h-rf">
      <div class="ph"><h2 id="h-rf">${t("refused")}</h2><span class="hint">${rows.length > 0 ? own("newest", { n: rows.length }) : nothing}</span></div>
      ${refusals.problem && !refusals.data
        ? problem(refusals.problem, () => refusals.load())
        : rows.length === 0
          ? html`<p class="calm">${shape("ok")}<span>${t("refused.none")}</span></p>`
          : html`<ul class="log">
              ${rows.slice(0, 20).map((r) => html`<li>${time(r.at, brief)}<span>${r.reason}${r.code ? html` <span class="mono dimmer">${r.code}</span>` : nothing}<span class="two">${r.why}${r.certificate ? html`, <span class="mono">${r.certificate.slice(0, 12)}…</span>` : nothing}</span></span><span class="mono dimmer">${r.address}</span></li>`)}
            </ul>`}
    </section>`;
  }

  function connected() {
    /** @type {any[]} */ const rows = sessions.data?.items ?? [];
    return html`<section class="panel" aria-labelledby="h-se">
      <div class="ph"><h2 id="h-se">${own("gw.sessions")}</h2>${sessions.data ? html`<span class="hint">${own("of", { n: rows.length, total: sessions.data.total })}</span>` : nothing}</div>
      ${sessions.problem
        ? problem(sessions.problem, () => sessions.load())
        : rows.length === 0
          ? html`<p class="calm">${own("nobody")}</p>`
          : html`<table class="cards">
              <thead>
                <tr><th>${own("owner")}</th><th>${own("client")}</th><th>MQTT</th><th>${own("address")}</th><th>${own("since")}</th><th class="r">${own("messages")}</th><th class="r">${own("inflight")}</th></tr>
              </thead>
              <tbody>
                ${rows.map((s) => html`<tr>
                  <td>${s.device ? html`<a class="name" href="/devices/${encodeURIComponent(s.device)}">${s.device}</a>` : html`<span class="name">${s.application ?? s.owner}</span>`}</td>
                  <td class="mono wide">${s.client_id}</td>
                  <td class="hide-sm">${s.version}</td>
                  <td class="mono hide-sm">${s.address}</td>
                  <td class="hide-sm">${time(s.since, brief)}</td>
                  <td class="r hide-sm">${num(s.messages)}</td>
                  <td class="r" data-l=${own("inflight")}>${num(s.inflight)}</td>
                </tr>`)}
              </tbody>
            </table>`}
      ${!isAll && sessions.data && sessions.data.total > rows.length
        ? html`<div class="tfoot"><button class="lnk" type="button" @click=${() => ((isAll = true), sessions.load())}>${t("dev.all")} ${num(Math.min(sessionsMost, sessions.data.total))}</button></div>`
        : nothing}
    </section>`;
  }

  /** @param {any} e */
  function traced(e) {
    const what = [e.topic, e.what === "PUBLISH" ? `QoS ${e.qos}, ${size(e.bytes)}` : "", e.reason_name ?? "", e.count > 1 ? `× ${e.count}` : ""].filter((p) => p !== "").join(" · ");
    return html`<li><time>${wall(ms(e.at) ?? 0).slice(0, 8)}</time><span>${e.from === "device" ? "→" : "←"} <b>${e.what}</b>${e.packet_id > 0 ? ` ${e.packet_id}` : nothing}<span class="two">${what}</span></span><span></span></li>`;
  }

  function messages() {
    return html`<section class="panel" aria-labelledby="h-tr">
      <div class="ph"><h2 id="h-tr">${own("trace")}</h2><span class="hint">${trace.left > 0 ? own("trace.left", { d: duration(trace.left) }) : own("trace.hint")}</span></div>
      <form class="calm" @submit=${watch}>
        <input class="field" id="trace-device" type="text" autocomplete="off" autocapitalize="none" spellcheck="false" aria-label=${own("trace.device")} placeholder=${own("trace.device")} .value=${trace.device} />
        <button class="btn sm" type="submit">${own("trace.do")}</button>
      </form>
      ${trace.problem ? problem(trace.problem) : nothing}
      ${trace.events.length > 0 ? html`<ul class="log" tabindex="0" aria-label=${own("trace")}>${[...trace.events].reverse().map(traced)}</ul>` : trace.left > 0 ? html`<p class="calm line">${own("trace.wait")}</p>` : nothing}
    </section>`;
  }

  return {
    nav: "gateways",
    title: () => name,
    stop() {
      gateway.stop();
      refusals.stop();
      sessions.stop();
      clearTimeout(trace.timer);
    },
    render() {
      const g = gateway.data;
      const crumb = html`<p class="crumb"><a href="/">${t("nav.fleet")}</a><span>/</span><a href="/gateways">${t("nav.gateways")}</a></p>`;
      if (!g) {
        const isMissing = gateway.problem?.status === 404;
        return html`<div class="head"><div>${crumb}<h1>${name}</h1></div></div>
          ${gateway.problem ? (isMissing ? html`<section class="panel">${empty(own("none", { name }), gateway.problem.why, "holdfast gateway list")}</section>` : problem(gateway.problem, () => gateway.load())) : skeleton(10)}`;
      }
      return html`<div class="head">
          <div>${crumb}<div class="title"><h1>${name}</h1>${gatewayState(g)}</div>
            <p class="sub">${g.drain === "draining" ? own("draining") : g.drain === "drained" ? own("drained") : g.state !== "connected" ? own("silent") : (g.main_reason ? own("reason", { reason: g.main_reason }) : dash)}</p></div>
          <div class="acts">${act(g)}</div>
        </div>
        ${gateway.problem ? problem(gateway.problem, () => gateway.load(), gateway.at) : nothing}
        ${failed ? problem(failed) : nothing} ${isAsking ? reach(g) : nothing}
        <div class="grid g-2-1">
          <div class="stack">${connected()} ${refused()}</div>
          <div class="stack">${facts(g)} ${messages()}</div>
        </div>`;
    },
  };
}
