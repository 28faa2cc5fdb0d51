// The fleet on one page: health, figures, cohorts, what needs attention, refusals, gateways. Every number leads to
// the list of the devices behind it.
import { html, svg, nothing } from "../vendor/lit-html.js";
import { get, openEvents, Resource } from "../api.js";
import { big, brief, clock, none, num, percent } from "../format.js";
import { condition, conditions, exceptionCounts, exceptions, fill, identityWord, ink, shape, shapeFor } from "../parts/states.js";
import { gatewayTable } from "../parts/gateways.js";
import { devicesHref, term } from "../parts/links.js";
import { age, announce, dash, empty, problem, seg, skeleton, spark, stackedBar, time } from "../parts/ui.js";
import { t } from "../texts.js";

const refetchMs = 15000;
const staleS = 20;

/** @typedef {import("../app.js").Context} Context */
/** @typedef {import("../app.js").View} View */

const groupings = /** @type {const} */ (["version", "gateway", "model"]);

/** @param {Context} context @param {URLSearchParams} search @returns {View} */
export function fleetView({ update, remember, live }, search) {
  const fleet = new Resource((signal) => get("/fleet", undefined, signal), changed);
  const status = new Resource((signal) => get("/status", undefined, signal), update);
  let by = groupings.find((g) => g === search.get("by")) ?? groupings[0];
  /** When something last changed, by the server's clock. @type {number | null} */ let changedAt = null;
  let spoken = -1;

  function changed() {
    if (fleet.problem === null) changedAt = clock.now();
    const states = fleet.data?.states;
    if (states) {
      const n = exceptions.reduce((sum, c) => sum + (states[c] ?? 0), 0);
      if (spoken >= 0 && spoken !== n) announce(t("say.total", { n }));
      spoken = n;
    }
    update();
  }
  fleet.keep(refetchMs);
  status.keep(refetchMs);
  const end = openEvents({}, {
    fleet(part) {
      if (!fleet.data) return;
      fleet.data = { ...fleet.data, ...part };
      changed();
    },
    state: live,
  });

  /** @param {any} f */
  function health(f) {
    const total = f.total ?? 0;
    const look = exceptions.reduce((sum, c) => sum + (f.states?.[c] ?? 0), 0);
    const parts = exceptions.map((c) => ({ n: f.states?.[c] ?? 0, fill: fill(c) }));
    const healthy = total > 0 ? Math.min(99, ((total - look) / total) * 100) : 0;
    const edge = look === 0 ? 100 : Math.max(0, Math.min(healthy, 98.8));
    return html`<section class="panel lens" aria-labelledby="h-health" data-aged>
      <div class="lens-top">
        <h2 id="h-health">${t("fleet.health", { n: total })}</h2>
        <span class="hint">${look === 0 ? t("fleet.calm") : t("fleet.lens", { n: look })}</span>
        <hf-age class="sr" at=${changedAt ?? ""} stale=${staleS}></hf-age>
      </div>
      <svg width="100%" height=${look === 0 ? 8 : 44} role="img" aria-label=${conditions.map((c) => `${num(f.states?.[c] ?? 0)} ${t(`state.${c}`)}`).join(", ")}>
        ${look === 0
          ? svg`<rect class="f-okq" x="0" y="0" width="100%" height="8" rx="3"></rect>`
          : svg`<rect class="f-okq" x="0" y="0" width="${Math.max(0, edge - 0.15)}%" height="8" rx="3"></rect>
            <rect class="f-ink" x="${edge}%" y="0" width="${100 - edge}%" height="8" rx="2"></rect>
            <svg x="0" y="9" width="100%" height="16" viewBox="0 0 100 16" preserveAspectRatio="none"><path class="f-lens" d=${`M${edge} 0H100V16H0z`}></path></svg>
            ${stackedBar(parts, look, 26, 18, 0.25)}`}
      </svg>
      <ul class="lens-keys">
        ${conditions.map((c) => {
          const n = f.states?.[c] ?? 0;
          const s = shapeFor(c);
          return html`<li>
            <a class="num" href=${devicesHref(term("state", c))}
              ><svg class="g t-${ink(s)}" aria-hidden="true"><use href="#g-${s}" /></svg>${num(n)} ${total > 0 ? html`<small>${percent(n / total)}</small>` : nothing}</a
            >
            <div class="lab"><b>${t(`State.${c}`)}</b> · ${t(`state.${c}.means`)}</div>
          </li>`;
        })}
      </ul>
    </section>`;
  }

  /** @param {any} f */
  function figures(f) {
    const i = f.ingest ?? {};
    const h = f.history ?? {};
    const dead = Object.entries(i.dead_letters ?? {}).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
    const deadSum = dead.reduce((sum, [, n]) => sum + n, 0);
    const inv = status.data?.invariants;
    const [rate, scale] = big(i.messages_per_s);
    return html`<div class="grid">
      <section class="panel kpis" aria-label=${t("kpi.figures")} data-aged>
        <div class="kpi">
          <div class="k">${t("kpi.connected")}</div>
          <div class="v"><a href=${devicesHref("connected:yes")}>${num(f.connected)}</a></div>
          ${spark(h.connected)}
          <div class="d">${t("kpi.connected.of", { total: f.total ?? 0, n: (f.total ?? 0) - (f.connected ?? 0) })}</div>
        </div>
        <div class="kpi">
          <div class="k">${t("kpi.ingest")}</div>
          <div class="v">${rate} <small>${scale} ${t("kpi.ingest.unit")}</small></div>
          ${spark(h.messages_per_s, 0)}
          <div class="d">${t("kpi.ingest.points", { n: big(i.points_per_s).join(" ").trim() })}</div>
        </div>
        <div class="kpi">
          <div class="k">${t("kpi.lag")}</div>
          <div class="v">${lag(i.lag_p99_s)}</div>
          ${spark(h.lag_p99_s, 0)}
          <div class="d">${t("kpi.lag.of")}</div>
        </div>
        <div class="kpi">
          <div class="k">${t("kpi.dead")}</div>
          <div class="v ${deadSum > 0 ? "t-warn" : ""}">${i.dead_letters ? num(deadSum) : none}</div>
          <span></span>
          <div class="d">${dead.length === 0 ? t("kpi.dead.none") : dead.slice(0, 2).map(([reason, n], at) => html`${at > 0 ? ", " : ""}<span class="mono">${reason}</span> ${num(n)}`)}${typeof i.duplicates === "number" && i.duplicates > 0 && dead.length < 2 ? html` · ${t("kpi.dup", { n: i.duplicates })}` : nothing}</div>
        </div>
        <div class="kpi">
          <div class="k">${t("kpi.inv")}</div>
          <div class="v ${inv?.violations > 0 ? "t-fail" : ""}">${inv ? num(inv.violations) : none}</div>
          <span></span>
          <div class="d">${inv ? (inv.violations > 0 ? Object.keys(inv.names ?? {}).slice(0, 2).join(", ") : t("kpi.inv.of", { n: big(inv.evaluations).join(" ").trim() })) : nothing}</div>
        </div>
        <hf-age class="sr" at=${changedAt ?? ""} stale=${staleS}></hf-age>
      </section>
    </div>`;
  }

  /** @param {any} f */
  function cohorts(f) {
    /** @type {any[]} */ const rows = f.cohorts?.[by] ?? [];
    const field = { version: "agent", gateway: "gateway", model: "model" }[by];
    const per = rows.map((r) => (r.devices > 0 ? (exceptions.reduce((sum, c) => sum + (r[c] ?? 0), 0) / r.devices) * 1000 : 0));
    const most = Math.max(0, ...per);
    const end = most <= 100 ? 100 : most <= 250 ? 250 : 1000;
    const choices = groupings.map((g) => /** @type {const} */ ([g, t(`cohorts.${g}`)]));
    return html`<section class="panel" aria-labelledby="h-co">
      <div class="ph">
        <h2 id="h-co">${t("cohorts")}</h2>
        <span class="hint">${t("cohorts.hint")}</span>
        <span class="more">${seg(t("cohorts.by"), choices, by, (key) => ((by = key), remember("by", key === groupings[0] ? "" : key), update()))}</span>
      </div>
      ${rows.length === 0
        ? html`<p class="calm">${t("cohorts.none")}</p>`
        : html`<table class="cards co">
              <thead>
                <tr>
                  <th class="c-name">${t(`cohorts.${by}`)}</th>
                  <th class="r c-num">${t("cohorts.devices")}</th>
                  <th class="c-bar">${t("cohorts.per")}</th>
                  <th class="r c-per"><span class="sr">${t("cohorts.number")}</span></th>
                  <th class="c-exc"><span class="sr">${t("cohorts.counts")}</span></th>
                  <th class="r c-att">${t("cohorts.healthy")}</th>
                </tr>
              </thead>
              <tbody>
                ${rows.map((r, at) => {
                  const parts = exceptions.map((c) => ({ n: r[c] ?? 0, fill: fill(c) }));
                  const width = Math.min(100, (per[at] / end) * 100);
                  const isNamed = typeof r.name === "string" && r.name !== "";
                  return html`<tr>
                    <td>
                      ${isNamed ? html`<a class="name" href=${devicesHref(term(field, r.name))}>${r.name}</a>` : html`<span class="name">${t("cohorts.unreported")}</span>`}
                    </td>
                    <td class="r">${num(r.devices)}</td>
                    <td class="wide">
                      <svg class="bar" height="10" role="img" aria-label="${num(per[at], 1)} ${t("cohorts.per")}">
                        <rect class="f-track" width="100%" height="10" rx="2"></rect>
                        ${width > 0 ? svg`<svg width="${width.toFixed(2)}%" height="10">${stackedBar(parts, parts.reduce((s, p) => s + p.n, 0), 0, 10, 0.6)}</svg>` : nothing}
                      </svg>
                    </td>
                    <td class="r dim hide-sm">${per[at] >= 999.95 ? t("cohorts.all") : num(per[at], 1)}</td>
                    <td class="wide"><span class="exc">${exceptionCounts(r)}</span></td>
                    <td class="r hide-sm">${r.devices > 0 ? percent((r.healthy ?? 0) / r.devices) : dash}</td>
                  </tr>`;
                })}
              </tbody>
            </table>
            <p class="tfoot"><span>${t("cohorts.scale", { n: end })}</span></p>`}
    </section>`;
  }

  /** @param {any} f */
  function attention(f) {
    /** @type {any[]} */ const items = f.attention ?? [];
    return html`<section class="panel" aria-labelledby="h-at">
      <div class="ph"><h2 id="h-at">${t("attention")}</h2></div>
      ${items.length === 0
        ? html`<p class="calm">${shape("ok")}<span>${t("attention.none")} ${t("attention.none.text")}</span></p>`
        : html`<ul class="att">
            ${items.map(
              (a) => html`<li>
                ${a.severity === "info" ? shape("wait") : shape(shapeFor(condition(a.severity)))}
                <h3>${a.href ? html`<a href=${a.href}>${a.what}</a>` : a.what}</h3>
                ${a.since ? time(a.since, brief) : html`<span></span>`}
                <p>${a.why}${a.next && a.href ? html` <a href=${a.href}>${a.next}</a>` : a.next ? html` ${a.next}` : nothing}</p>
              </li>`,
            )}
          </ul>`}
    </section>`;
  }

  /** @param {any} f */
  function refusals(f) {
    /** @type {any[]} */ const rows = [...(f.refusals ?? [])].sort((a, b) => (b.per_min ?? 0) - (a.per_min ?? 0) || (b.total ?? 0) - (a.total ?? 0));
    const sum = rows.reduce((s, r) => s + (r.per_min ?? 0), 0);
    const most = Math.max(1, ...rows.map((r) => r.per_min ?? 0));
    return html`<section class="panel" aria-labelledby="h-rj">
      <div class="ph"><h2 id="h-rj">${t("refused")}</h2><span class="more">${rows.length > 0 ? t("refused.rate", { n: num(sum, 1) }) : nothing}</span></div>
      ${rows.length === 0
        ? html`<p class="calm">${shape("ok")}<span>${t("refused.none")}</span></p>`
        : html`<ul class="rej">
              ${rows.slice(0, 8).map(
                (r) => html`<li>
                  <span>${r.reason}</span>
                  <svg width="100%" height="8" role="img" aria-label=${t("refused.aria", { n: num(r.per_min, 1) })}>
                    <rect class="f-track" width="100%" height="8" rx="2"></rect>
                    ${r.per_min > 0 ? svg`<rect class="f-ink3" width="${Math.max(1, (r.per_min / most) * 100).toFixed(2)}%" height="8" rx="2"></rect>` : nothing}
                  </svg>
                  <b>${num(r.per_min, 1)}</b>
                  <span class="r dimmer">${t("refused.total", { n: r.total ?? 0 })}</span>
                </li>`,
              )}
            </ul>
            <p class="tfoot"><span>${t("refused.foot")}</span></p>`}
    </section>`;
  }

  /** @param {any} f */
  function gateways(f) {
    return html`<div class="grid">
      <section class="panel" aria-labelledby="h-gw">
        <div class="ph"><h2 id="h-gw"><a href="/gateways">${t("gw")}</a></h2><span class="hint">${t("gw.hint")}</span></div>
        ${gatewayTable(f.gateways ?? [])}
      </section>
    </div>`;
  }

  return {
    nav: "fleet",
    title: () => t("nav.fleet"),
    stop() {
      end();
      fleet.stop();
      status.stop();
    },
    render() {
      const f = fleet.data;
      const head = html`<div class="head">
        <div>
          <h1>${t("nav.fleet")}</h1>
          ${f
            ? html`<p class="sub">${t("fleet.sub", { n: f.gateways?.length ?? 0 })}. ${fleet.problem ? t("fleet.stale") : t("fleet.live")} ${age(changedAt, staleS)}.</p>`
            : nothing}
        </div>
        ${f?.identities
          ? html`<ul class="ids">
              ${Object.entries(f.identities)
                .filter(([, n]) => n > 0)
                .map(([id, n]) => html`<li><a class="tag" href=${devicesHref(term("identity", id))}>${num(n)} ${identityWord(id)}</a></li>`)}
            </ul>`
          : nothing}
      </div>`;
      const trouble = fleet.problem ? problem(fleet.problem, () => fleet.load(), fleet.at) : nothing;
      if (!f) return html`${head}${fleet.problem ? trouble : skeleton(8)}`;
      if (f.total === 0)
        return html`${head}${trouble}
          <section class="panel">${empty(t("fleet.none"), t("fleet.none.text"), "holdfast demo")}</section>
          ${gateways(f)}`;
      return html`${head}${trouble}${health(f)}${figures(f)}
        <div class="grid g-2-1">
          <div class="stack">${cohorts(f)}${refusals(f)}</div>
          <div class="stack first-sm">${attention(f)}</div>
        </div>
        ${gateways(f)}`;
    },
  };
}

/** @param {number | null | undefined} s */
function lag(s) {
  if (typeof s !== "number") return none;
  return s < 1 ? html`${num(s * 1000)} <small>ms</small>` : html`${num(s, 1)} <small>s</small>`;
}
