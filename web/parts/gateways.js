// Gateways as rows, worst first: on the fleet's page and on their own.
import { html, svg, nothing } from "../vendor/lit-html.js";
import { duration, num, offset, percent, size } from "../format.js";
import { devicesHref, term } from "./links.js";
import { st } from "./states.js";
import { dash } from "./ui.js";
import { t } from "../texts.js";
import { own } from "../texts/gateway.js";

/** @param {string} name */
export function gatewayHref(name) {
  return `/gateways/${encodeURIComponent(name)}`;
}

/** Silent ones, then drained ones, then clocks that are off, then what is refused or waits. @param {any} g */
export function badness(g) {
  if (g.state !== "connected") return 1e12;
  const off = typeof g.clock_offset_s === "number" ? Math.abs(g.clock_offset_s) : 0;
  const used = g.spool_budget > 0 ? g.spool_bytes / g.spool_budget : 0;
  return (g.drain && g.drain !== "open" ? 1e10 : 0) + (off > 0.5 ? 1e9 : 0) + (used > 0.25 ? 1e6 : 0) + (g.refused_per_min ?? 0);
}

/** What a gateway is: one that does not report is silent, and what it is to be is unknown. @param {any} g */
export function gatewayState(g) {
  if (g.state === "silent") return st("off", own("gw.silent"));
  if (g.state !== "connected") return st("unk", own("gw.unknown"));
  if (g.drain === "draining") return st("run", own("gw.draining"));
  if (g.drain === "drained") return st("wait", own("gw.drained"));
  return st("ok", own("gw.open"));
}

/** @param {any} g */
export function spoolBar(g) {
  const used = g.spool_budget > 0 ? g.spool_bytes / g.spool_budget : NaN;
  return html`<span class="st"
    >${Number.isNaN(used) ? nothing : html`<svg width="72" height="8" role="img" aria-label=${own("gw.spool.aria", { p: percent(used) })}>
      <rect class="f-track" width="100%" height="8" rx="2"></rect>
      ${used > 0 ? svg`<rect class=${used > 0.25 ? "f-warn" : "f-ink3"} width="${Math.max(3, Math.min(100, used * 100)).toFixed(1)}%" height="8" rx="2"></rect>` : nothing}</svg>`}<span class="dimmer">${Number.isFinite(used) ? percent(used, used < 0.01 ? 2 : 0) : size(g.spool_bytes)}</span></span
  >`;
}

/** How much ingest has not applied, and how old the oldest of it is. @param {any} g */
export function unread(g) {
  return html`${size(g.lag_bytes)}${g.lag_bytes > 0 && g.lag_age_s >= 1 ? html` <span class="dimmer">${duration(g.lag_age_s)}</span>` : nothing}`;
}

/** @param {any[]} gateways */
export function gatewayTable(gateways) {
  const rows = [...gateways].sort((a, b) => badness(b) - badness(a) || String(a.name).localeCompare(b.name));
  if (rows.length === 0) return html`<p class="calm">${own("gw.none")}</p>`;
  return html`<table class="cards gwt">
    <thead>
      <tr>
        <th>${own("gw.name")}</th>
        <th>${own("gw.state")}</th>
        <th class="r">${own("gw.sessions")}</th>
        <th class="r">${own("gw.rate")}</th>
        <th class="r">${own("gw.refused")}</th>
        <th>${own("gw.reason")}</th>
        <th>${own("gw.spool")}</th>
        <th class="r">${own("gw.lag")}</th>
        <th>${own("gw.clock")}</th>
      </tr>
    </thead>
    <tbody>
      ${rows.map((g) => {
        const isUp = g.state === "connected";
        return html`<tr class=${isUp ? "" : "stale"}>
          <td><a class="name" href=${gatewayHref(g.name)}>${g.name}</a></td>
          <td class="wide">${gatewayState(g)}</td>
          <td class="r" data-l=${own("gw.sessions.l")}>${isUp ? html`<a href=${devicesHref(term("gateway", g.name))}>${num(g.sessions)}</a>` : dash}</td>
          <td class="r hide-sm">${isUp ? num(g.messages_per_s, 1) : dash}</td>
          <td class="r hide-sm">${isUp ? num(g.refused_per_min, 1) : dash}</td>
          <td class="dim hide-sm">${g.main_reason ? g.main_reason : dash}</td>
          <td class="hide-sm">${isUp ? spoolBar(g) : dash}</td>
          <td class="r hide-sm">${isUp ? unread(g) : dash}</td>
          <td class="wide">${clockOffset(isUp ? g.clock_offset_s : null)}</td>
        </tr>`;
      })}
    </tbody>
  </table>`;
}

/** A clock on a scale of ±20 ms; beyond it, an arrow. @param {number | null | undefined} s */
export function clockOffset(s) {
  if (typeof s !== "number") return html`<span class="dimmer">${t("gw.noclock")}</span>`;
  const x = 50 + (s / 0.02) * 45;
  const isFar = Math.abs(s) > 0.02;
  const isBad = Math.abs(s) > 0.5;
  const arrow = s < 0 ? "M9 2.5 3 8l6 5.5z" : "M83 2.5 89 8l-6 5.5z";
  return html`<span class="st"
    ><svg class="offs" role="img" aria-label=${offset(s)}>
      <line class="grid-v" x1="0" x2="100%" y1="8" y2="8"></line>
      <line class="now" stroke-opacity=".45" x1="50%" x2="50%" y1="3" y2="13"></line>
      ${isFar ? svg`<path class=${isBad ? "f-warn" : "f-ink3"} d=${arrow}></path>` : svg`<circle class="f-ink" cx="${x.toFixed(1)}%" cy="8" r="3"></circle>`}</svg
    ><span class=${isBad ? "t-warn" : "dimmer"}>${offset(s)}</span></span
  >`;
}
