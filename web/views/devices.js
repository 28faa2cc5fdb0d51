// One table of devices. The server filters, sorts and cuts; the page holds what is in sight, or, where one prefers pages, one of them.
import { html, nothing } from "../vendor/lit-html.js";
import { get, openEvents, Resource } from "../api.js";
import { ms, num } from "../format.js";
import { condition, conditions, identityShape, identityWord, shape, shapeFor, st, stateWord } from "../parts/states.js";
import { csv, everything, hand, Rows } from "../parts/rows.js";
import { age, announce, dash, empty, problem, skeleton } from "../parts/ui.js";
import { t } from "../texts.js";

/** @typedef {import("../app.js").Context} Context */
/** @typedef {import("../app.js").View} View */

const pageRows = 100;
const refetchMs = 30000;
const seenStaleS = 60;

/** The query language's fields, as docs/protocol/api.md lists them. */
const fields = /** @type {const} */ (["state", "name", "gateway", "seen", "connected", "identity", "model", "agent", "gaps", "boot", "serial", "id"]);
/** @type {Partial<Record<typeof fields[number], string[]>>} */
const values = {
  state: conditions,
  connected: ["yes", "no"],
  identity: ["expected", "enrolled", "active", "quarantined", "re-enrolling", "revoked", "decommissioned"],
  seen: [">10m", ">1h", "<1m"],
  gaps: [">0"],
};

/** @type {readonly (readonly [string, import("../texts.js").TextKey, string])[]} field to sort by, its heading, its class */
const columns = [
  ["state", "dev.state", "c-state"],
  ["name", "dev.name", "c-dev"],
  ["model", "dev.model", ""],
  ["agent", "dev.agent", ""],
  ["gateway", "dev.gateway", ""],
  ["last_seen", "dev.seen", "r c-seen"],
  ["boot", "dev.boot", "r"],
  ["gaps_missing", "dev.missing", "r"],
  ["dead_letters", "dev.dead", "r"],
  ["points_per_s", "dev.rate", "r"],
];

/** @param {Context} context @param {URLSearchParams} search @returns {View} */
export function devicesView({ update, navigate, live }, search) {
  const q = search.get("q") ?? "";
  const sort = search.get("sort") ?? "";
  /** The cursors of the pages before this one; the first is "". */
  let cursors = [""];
  let typed = q;
  let isOpen = false;
  let chosen = -1;
  /** Gateways and models to suggest, from the fleet. @type {Record<string, string[]>} */
  const known = {};

  let isPaged = localStorage.getItem("hf-pages") === "1";
  /** What the export says of itself. */
  let exporting = "";
  const rows = new Rows("/devices", { q, sort }, () => {
    if (!isPaged && !rows.isWhole()) list.load();
    update();
  });
  const list = new Resource((signal) => (isPaged ? get("/devices", { q, sort, limit: pageRows, cursor: cursors[cursors.length - 1] }, signal) : rows.load(signal)), () => {
    update();
    if (!isPaged && rows.look() && !rows.isWhole()) list.load();
  });
  list.keep(refetchMs);
  const fleet = new Resource((signal) => get("/fleet", undefined, signal), () => {
    for (const [kind, field] of [["gateway", "gateway"], ["model", "model"], ["version", "agent"]]) {
      known[field] = (fleet.data?.cohorts?.[kind] ?? []).map((/** @type {any} */ c) => c.name).filter((/** @type {string} */ n) => n);
    }
    update();
  });
  fleet.load();

  const end = openEvents({}, {
    device(row) {
      /** @param {any} old */
      const change = (old) => {
        if (old.state !== row.state) announce(t("say.state", { name: row.name, state: t(`state.${condition(row.state)}`) }));
        return { ...old, ...row };
      };
      /** @param {any} r */
      const is = (r) => r.name === row.name;
      const page = isPaged ? list.data?.items ?? [] : [];
      const at = page.findIndex(is);
      if (at >= 0) page[at] = change(page[at]);
      if (at >= 0 || (!isPaged && rows.change(is, change))) update();
    },
    fleet(part) {
      if (fleet.data && part.states) {
        fleet.data = { ...fleet.data, ...part };
        update();
      }
    },
    state: live,
  });

  /** @param {string} query @param {string} [by] */
  function show(query, by = sort) {
    const next = new URLSearchParams();
    if (query.trim() !== "") next.set("q", query.trim());
    if (by !== "") next.set("sort", by);
    const text = next.toString();
    navigate(text === "" ? "/devices" : `/devices?${text}`);
  }

  /** What may follow the word under the caret. @returns {{text: string, says: string}[]} */
  function suggestions() {
    const word = typed.split(/\s+/).pop() ?? "";
    const bare = word.replace(/^[-(]+/, "");
    const lead = word.slice(0, word.length - bare.length);
    const colon = bare.indexOf(":");
    if (colon < 0) {
      if (bare === "" && typed !== "") return [];
      return fields.filter((f) => f.startsWith(bare.toLowerCase())).map((f) => ({ text: `${lead}${f}:`, says: t(`f.${f}`) }));
    }
    const field = bare.slice(0, colon);
    const start = bare.slice(colon + 1).toLowerCase();
    const all = [...(values[/** @type {typeof fields[number]} */ (field)] ?? []), ...(known[field] ?? [])];
    return all
      .filter((v) => v.toLowerCase().startsWith(start) && v.toLowerCase() !== start)
      .slice(0, 10)
      .map((v) => ({ text: `${lead}${field}:${/^[\w.:*<>-]+$/.test(v) ? v : JSON.stringify(v)}`, says: "" }));
  }

  /** @param {string} text */
  function accept(text) {
    typed = typed.replace(/\S*$/, "") + text;
    chosen = -1;
    const input = /** @type {HTMLInputElement | null} */ (document.getElementById("query"));
    if (input) {
      input.value = typed;
      input.focus();
    }
    isOpen = text.endsWith(":");
    if (isOpen) update();
    else show(typed);
  }

  /** @param {KeyboardEvent} event */
  function onKey(event) {
    const all = isOpen ? suggestions() : [];
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!isOpen) isOpen = true;
      else if (all.length > 0) chosen = (chosen + (event.key === "ArrowDown" ? 1 : -1) + all.length) % all.length;
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (isOpen && chosen >= 0 && chosen < all.length) accept(all[chosen].text);
      else {
        isOpen = false;
        show(typed);
      }
    } else if (event.key === "Tab" && isOpen && chosen >= 0 && chosen < all.length) {
      event.preventDefault();
      accept(all[chosen].text);
    } else if (event.key === "Escape") {
      if (isOpen) event.stopPropagation();
      isOpen = false;
    } else return;
    update();
  }

  function bar() {
    const all = isOpen ? suggestions() : [];
    const bad = list.problem && list.problem.status === 400 ? list.problem : null;
    return html`<div class="qbar">
      <div class="qfield">
        <svg aria-hidden="true"><use href="#i-search" /></svg>
        <input
          id="query" type="text" role="combobox" class="mono" autocomplete="off" autocapitalize="none" spellcheck="false" enterkeyhint="search"
          aria-label=${t("dev.query")} aria-expanded=${all.length > 0 ? "true" : "false"} aria-controls="suggest" aria-autocomplete="list"
          aria-activedescendant=${chosen >= 0 && chosen < all.length ? `s-${chosen}` : nothing} aria-invalid=${bad ? "true" : "false"} aria-describedby=${bad ? "q-bad" : nothing}
          placeholder=${t("dev.query.hint")} .value=${typed}
          @input=${(/** @type {InputEvent} */ e) => {
            typed = /** @type {HTMLInputElement} */ (e.target).value;
            isOpen = true;
            chosen = -1;
            update();
          }}
          @focus=${() => ((isOpen = true), update())}
          @blur=${() => ((isOpen = false), update())}
          @keydown=${onKey}
        />
        ${typed !== "" ? html`<button class="cp" type="button" aria-label=${t("dev.clear")} @click=${() => show("")}><svg aria-hidden="true"><use href="#g-x" /></svg></button>` : nothing}
        <ul id="suggest" class="menu-box ${all.length === 0 ? "hidden" : ""}" role="listbox" aria-label=${t("dev.suggest")}>
          ${all.map(
            (s, i) => html`<li id="s-${i}" role="option" aria-selected=${i === chosen ? "true" : "false"} @pointerdown=${(/** @type {Event} */ e) => (e.preventDefault(), accept(s.text))}>
              <span class="mono">${s.text}</span><span class="dimmer">${s.says}</span>
            </li>`,
          )}
        </ul>
      </div>
      <div class="chips" role="group" aria-label=${t("dev.filter")}>
        <a class="fchip" href=${sort ? `/devices?sort=${encodeURIComponent(sort)}` : "/devices"} aria-current=${q === "" ? "true" : nothing}>${t("dev.all")} <b>${fleet.data ? num(fleet.data.total) : nothing}</b></a>
        ${conditions.map((c) => {
          const n = fleet.data?.states?.[c] ?? 0;
          if (n === 0 && q !== `state:${c}`) return nothing;
          return html`<a class="fchip" href="/devices?q=${encodeURIComponent(`state:${c}`)}" aria-current=${q === `state:${c}` ? "true" : nothing}>${shape(shapeFor(c))}${t(`State.${c}`)} <b>${num(n)}</b></a>`;
        })}
      </div>
      ${bad
        ? html`<div class="problem slim" role="alert" id="q-bad">
            <svg class="g t-fail" aria-hidden="true"><use href="#g-fail" /></svg>
            <div>
              <h2>${bad.code ? html`<span class="mono">${bad.code}</span> ` : nothing}${bad.title}</h2>
              <p>${bad.why}${bad.suggestion ? nothing : html` ${bad.todo}`}</p>
            </div>
            ${bad.suggestion
              ? html`<button class="btn sm" type="button" @click=${() => show(corrected(q, bad))}>${t("dev.did")}&nbsp;<span class="mono">${bad.suggestion}</span></button>`
              : nothing}
          </div>`
        : nothing}
    </div>`;
  }

  /** @param {any} d @param {number} at */
  function row(d, at) {
    if (!d) return html`<tr aria-rowindex=${at + 2}><td colspan=${columns.length}>${dash}</td></tr>`;
    const seen = ms(d.last_seen);
    return html`<tr aria-rowindex=${at + 2} data-aged>
      <td class="c-state">${stateWord(d.state)}</td>
      <td class="c-dev">
        <a class="name" data-row href="/devices/${encodeURIComponent(d.name)}">${d.name}</a>
        ${d.identity && d.identity !== "active" ? html`<span class="two">${st(identityShape(d.identity), identityWord(d.identity))}</span>` : nothing}
      </td>
      <td class="dim hide-sm">${d.model || dash}</td>
      <td class="dim hide-sm">${d.agent || dash}</td>
      <td class="c-gw">${d.gateway ? html`<span class=${d.connected ? "" : "dimmer"}>${d.gateway}</span>` : dash}</td>
      <td class="r c-seen" data-v><span class=${d.connected ? "" : "dim"}>${age(seen, d.connected ? seenStaleS : 1)}</span></td>
      <td class="r dim hide-sm">${d.boot ? num(d.boot) : dash}</td>
      <td class="r hide-sm ${d.gaps_missing > 0 ? "t-warn" : "dimmer"}">${num(d.gaps_missing)}</td>
      <td class="r hide-sm ${d.dead_letters > 0 ? "t-warn" : "dimmer"}">${num(d.dead_letters)}</td>
      <td class="r dim hide-sm">${typeof d.points_per_s === "number" ? num(d.points_per_s, 1) : dash}</td>
    </tr>`;
  }

  function table() {
    const data = list.data;
    if (!data) return list.problem ? (list.problem.status === 400 ? nothing : problem(list.problem, () => list.load())) : skeleton(10);
    const cut = isPaged ? { at: (cursors.length - 1) * pageRows, items: data.items ?? [], total: data.total ?? 0 } : rows.cut();
    const { at: first, items: shown, total } = cut;
    if (total === 0)
      return html`<section class="panel">
        ${q === "" ? empty(t("fleet.none"), t("fleet.none.text"), "holdfast demo") : empty(t("dev.empty.q"), t("dev.empty.q.text"), `holdfast device list --query '${q}'`)}
      </section>`;
    return html`<section class="panel" aria-label=${t("dev.table")}>
      <table class="cards devs" aria-rowcount=${total + 1}>
        <thead>
          <tr aria-rowindex="1">
            ${columns.map(([field, key, css]) => {
              const isUp = sort === field || (sort === "" && field === "name");
              const isDown = sort === `-${field}`;
              return html`<th class=${css} aria-sort=${isUp ? "ascending" : isDown ? "descending" : nothing}>
                <button class="th" type="button" title=${t("dev.sort", { name: t(key) })} @click=${() => show(q, isUp ? `-${field}` : field === "name" ? "" : field)}>${t(key)}${isUp || isDown ? html`<svg class=${isUp ? "up" : ""} aria-hidden="true"><use href="#i-chev" /></svg>` : nothing}</button>
              </th>`;
            })}
          </tr>
        </thead>
        <tbody data-rows>
          ${isPaged ? nothing : rows.gap(first, columns.length)} ${shown.map((/** @type {any} */ d, /** @type {number} */ i) => row(d, first + i))}
          ${isPaged ? nothing : rows.gap(total - first - shown.length, columns.length)}
        </tbody>
      </table>
      ${total > pageRows ? foot(first, shown.length, total, data.next) : nothing}
    </section>`;
  }

  /** @param {number} first @param {number} count @param {number} total @param {string | null} next */
  function foot(first, count, total, next) {
    return html`<nav class="tfoot pages" aria-label=${t("dev.pages")}>
      ${isPaged ? html`<span>${t("dev.page", { from: first + 1, to: first + count, total })}</span>` : nothing}
      <span class="more">
        ${isPaged
          ? html`<button class="btn sm" type="button" ?disabled=${cursors.length === 1} @click=${() => turn(cursors.slice(0, -1))}>${t("dev.prev")}</button>
              <button class="btn sm" type="button" ?disabled=${!next} @click=${() => turn([...cursors, next ?? ""])}>${t("dev.next")}</button>`
          : nothing}
        <button class="btn sm" type="button" id="paged" aria-pressed=${isPaged ? "true" : "false"} @click=${() => switchPages()}>${t("dev.pages")}</button>
      </span>
    </nav>`;
  }

  function switchPages() {
    isPaged = !isPaged;
    localStorage.setItem("hf-pages", isPaged ? "1" : "0");
    return turn([""]);
  }

  /** All that the query gives, as a file: not only what is in sight. @param {"csv" | "ndjson"} kind */
  async function take(kind) {
    try {
      const all = await everything("/devices", { q, sort }, (n, of) => {
        exporting = t("dev.taking", { n, of });
        update();
      });
      exporting = "";
      hand(`devices.${kind}`, kind === "csv" ? "text/csv" : "application/x-ndjson", kind === "csv" ? csv(all) : all.map((d) => JSON.stringify(d) + "\n").join(""));
    } catch {
      exporting = t("problem.reach");
    }
    update();
  }

  /** Views that were kept: their URLs. @returns {string[]} */
  function kept() {
    try {
      const all = JSON.parse(localStorage.getItem("hf-views") ?? "[]");
      return Array.isArray(all) ? all.filter((v) => typeof v === "string" && v.startsWith("/devices?")).slice(0, 12) : [];
    } catch {
      return [];
    }
  }

  const here = location.pathname + location.search;
  function keep() {
    const all = kept();
    localStorage.setItem("hf-views", JSON.stringify(all.includes(here) ? all.filter((v) => v !== here) : [...all, here]));
    update();
  }

  function views() {
    const all = kept();
    return html`<div class="chips views" role="group" aria-label=${t("dev.views")}>
      ${all.map((v) => html`<a class="fchip mono" href=${v} aria-current=${v === here ? "true" : nothing}>${named(v)}</a>`)}
      ${here === "/devices" ? nothing : html`<button class="btn sm" type="button" id="keep" @click=${keep}>${t(all.includes(here) ? "dev.unkeep" : "dev.keep")}</button>`}
      <span class="more">
        ${exporting === "" ? nothing : html`<span class="dimmer" role="status">${exporting}</span>`}
        <button class="btn sm" type="button" id="as-csv" @click=${() => take("csv")}>CSV</button>
        <button class="btn sm" type="button" id="as-json" @click=${() => take("ndjson")}>NDJSON</button>
      </span>
    </div>`;
  }

  /** @param {string[]} to */
  async function turn(to) {
    cursors = to;
    await list.load();
    scrollTo(0, 0);
  }

  /** @param {1 | -1} by */
  function move(by) {
    const rows = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-row]")]);
    const at = rows.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))]?.focus();
  }

  return {
    nav: "devices",
    title: () => t("nav.devices"),
    keys: { j: () => move(1), k: () => move(-1) },
    stop() {
      end();
      rows.stop();
      list.stop();
      fleet.stop();
    },
    render() {
      const total = list.data?.total;
      return html`<div class="head">
          <div>
            <h1>${t("nav.devices")}</h1>
            <p class="sub">
              ${typeof total === "number" && !(list.problem?.status === 400) ? (q === "" ? t("dev.sub", { n: total }) : t("dev.sub.q", { n: total })) : nothing}${list.at !== null && list.problem?.status !== 400 ? html`, ${age(list.at, 90)}` : nothing}
            </p>
          </div>
        </div>
        ${bar()} ${views()} ${list.problem && list.data && list.problem.status !== 400 ? problem(list.problem, () => list.load(), list.at) : nothing} ${table()}`;
    },
  };
}

/** What a kept view is called: its query, then what it is sorted by. @param {string} view */
function named(view) {
  const search = new URLSearchParams(view.slice(view.indexOf("?")));
  const sort = search.get("sort");
  return `${search.get("q") ?? ""}${sort ? ` \u2195 ${sort}` : ""}`.trim();
}

/** The query with the word the server did not know replaced by the one it knows. @param {string} q @param {import("../api.js").Problem} bad */
export function corrected(q, bad) {
  const suggestion = bad.suggestion.replace(/:$/, "");
  if (bad.at >= 0 && bad.at < q.length) {
    const wrong = /^[^\s:()]+/.exec(q.slice(bad.at))?.[0] ?? "";
    return q.slice(0, bad.at) + suggestion + q.slice(bad.at + wrong.length);
  }
  return q.replace(/[^\s:()-][^\s:()]*(?=:)/, suggestion);
}
