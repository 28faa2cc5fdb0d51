// All gateways on one page: who is there, what they carry, how far ingest is behind each.
import { html, nothing } from "../vendor/lit-html.js";
import { get, openEvents, Resource } from "../api.js";
import { clock } from "../format.js";
import { gatewayTable } from "../parts/gateways.js";
import { age, empty, problem, skeleton } from "../parts/ui.js";
import { t } from "../texts.js";
import { own } from "../texts/gateway.js";

const refetchMs = 10000;
const staleS = 20;

/** @typedef {import("../app.js").Context} Context */
/** @typedef {import("../app.js").View} View */

/** @param {Context} context @returns {View} */
export function gatewaysView({ update, live }) {
  /** @type {number | null} */ let changedAt = null;
  const list = new Resource((signal) => get("/gateways", undefined, signal), () => {
    if (list.problem === null) changedAt = clock.now();
    update();
  });
  list.keep(refetchMs);
  const end = openEvents({}, {
    fleet(part) {
      if (!list.data || !part.gateways) return;
      list.data = { ...list.data, items: part.gateways };
      changedAt = clock.now();
      update();
    },
    state: live,
  });

  return {
    nav: "gateways",
    title: () => t("nav.gateways"),
    stop() {
      end();
      list.stop();
    },
    render() {
      const head = html`<div class="head">
        <div>
          <h1>${t("nav.gateways")}</h1>
          ${list.data ? html`<p class="sub">${t("fleet.sub", { n: list.data.items.length })}. ${t("fleet.live")} ${age(changedAt, staleS)}.</p>` : nothing}
        </div>
      </div>`;
      const trouble = list.problem ? problem(list.problem, () => list.load(), list.at) : nothing;
      if (!list.data) return html`${head}${list.problem ? trouble : skeleton(8)}`;
      if (list.data.items.length === 0) return html`${head}${trouble}<section class="panel">${empty(own("gw.none"), own("gw.none.text"), "holdfast run --role gateway")}</section>`;
      return html`${head}${trouble}<section class="panel" aria-label=${t("gw")} data-aged>${gatewayTable(list.data.items)}</section>`;
    },
  };
}
