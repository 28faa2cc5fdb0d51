// The frame around every view: navigation, search, theme, operator, keyboard; and which view a URL names. A view's
// code is fetched when it is first shown, so that a page carries only what it needs.
import { html, nothing, render } from "./vendor/lit-html.js";
import { get, post, Resource, session } from "./api.js";
import { clock, duration, wall } from "./format.js";
import { icon, shape } from "./parts/states.js";
import { write } from "./parts/ui.js";
import { lang, t } from "./texts.js";

/**
 * @typedef {object} Context what a view may ask of the frame
 * @property {() => void} update render again, with the next frame
 * @property {(href: string, isNewOperator?: boolean) => void} navigate
 * @property {(name: string, value: string) => void} remember keeps a choice in the address, so that the view can be sent to a colleague; "" forgets it
 * @property {(isLive: boolean) => void} live whether changes arrive
 */
/**
 * @typedef {object} View
 * @property {string} nav the entry of the navigation it belongs to
 * @property {boolean} [bare] without the frame
 * @property {() => string} title
 * @property {() => unknown} render
 * @property {() => void} stop
 * @property {Record<string, () => void>} [keys] single keys it acts on
 */

const root = /** @type {HTMLElement} */ (document.getElementById("console"));
document.documentElement.lang = lang;

/** The view in the frame; none while the first one's code comes. @type {View | null} */ let view = null;
let isPlanned = false;
/** @type {boolean | null} */ let isLive = null;
/** @type {"" | "light" | "dark"} */ let theme = /** @type {any} */ (document.documentElement.dataset.theme ?? "");

const status = new Resource((signal) => get("/status", undefined, signal), update);
const whoami = new Resource((signal) => get("/whoami", undefined, signal), update);

function update() {
  if (isPlanned) return;
  isPlanned = true;
  requestAnimationFrame(() => {
    isPlanned = false;
    paint();
  });
}

/** @param {string} href @param {boolean} [isNewOperator] */
function navigate(href, isNewOperator = false) {
  history.pushState(null, "", href);
  if (isNewOperator) begin();
  open();
}

/** @type {Context} */
const context = {
  update,
  navigate,
  remember(name, value) {
    const url = new URL(location.href);
    if (value === "") url.searchParams.delete(name);
    else url.searchParams.set(name, value);
    history.replaceState(history.state, "", url);
  },
  live(now) {
    if (isLive === now) return;
    isLive = now;
    update();
  },
};

session.lost = () => {
  if (location.pathname === "/login") return;
  history.replaceState(null, "", `/login?back=${encodeURIComponent(location.pathname + location.search)}`);
  open();
};

/** @param {URL} url @returns {Promise<View>} */
async function viewFor(url) {
  const [, kind, name] = /^\/(devices|gateways)\/([^/]+)\/?$/.exec(url.pathname) ?? [];
  if (url.pathname === "/") return (await import("./views/fleet.js")).fleetView(context, url.searchParams);
  if (url.pathname === "/devices") return (await import("./views/devices.js")).devicesView(context, url.searchParams);
  if (kind === "devices") return (await import("./views/device.js")).deviceView(context, decodeURIComponent(name), url.searchParams);
  if (url.pathname === "/gateways") return (await import("./views/gateways.js")).gatewaysView(context);
  if (kind === "gateways") return (await import("./views/gateway.js")).gatewayView(context, decodeURIComponent(name), url.searchParams);
  if (url.pathname === "/login") return (await import("./views/login.js")).loginView(context, url.searchParams);
  return {
    nav: "",
    title: () => t("lost.title"),
    stop() {},
    render: () => html`<section class="panel"><div class="empty">${shape("off")}<h1>${t("lost.title")}</h1><a class="btn" href="/">${t("lost.do")}</a></div></section>`,
  };
}

/** Counts the calls of open, so that a slow view does not replace a later one. */
let opened = 0;

async function open() {
  const mine = ++opened;
  const wasQuery = document.activeElement?.id === "query";
  view?.stop();
  isLive = null;
  const next = await viewFor(new URL(location.href));
  if (mine !== opened) return next.stop();
  view = next;
  paint();
  scrollTo(0, 0);
  if (wasQuery) document.getElementById("query")?.focus();
}

/** Asks who is signed in, and keeps the foot of the page fresh. */
function begin() {
  whoami.load();
  status.keep(30000);
}

const entries = /** @type {const} */ ([
  ["fleet", "/", "nav.fleet"],
  ["devices", "/devices", "nav.devices"],
  ["gateways", "/gateways", "nav.gateways"],
]);

function links() {
  return entries.map(([id, href, key]) => html`<a href=${href} aria-current=${view?.nav === id ? "page" : nothing}>${icon(id)}<span>${t(key)}</span></a>`);
}

function chooseTheme() {
  theme = theme === "" ? "light" : theme === "light" ? "dark" : "";
  if (theme === "") {
    localStorage.removeItem("hf-theme");
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem("hf-theme", theme);
    document.documentElement.dataset.theme = theme;
  }
  document.dispatchEvent(new Event("hf-theme"));
  update();
}

function chooseLanguage() {
  localStorage.setItem("hf-lang", lang === "en" ? "de" : "en");
  location.reload();
}

async function signOut() {
  await post("/logout").catch(() => {});
  navigate("/login");
}

/** @param {string} name */
function initials(name) {
  const parts = name.split(/[\s._-]+/).filter((p) => p !== "");
  return (parts.length > 1 ? parts[0][0] + parts[1][0] : name.slice(0, 2)).toUpperCase();
}

function operator() {
  const name = whoami.data?.name;
  if (typeof name !== "string") return nothing;
  return html`<details class="menu">
    <summary aria-label=${`${initials(name)}, ${t("menu.open")}: ${name}`}><span class="who">${initials(name)}</span></summary>
    <div class="menu-box">
      <p>${t("menu.who", { name })}</p>
      <button type="button" @click=${showKeys}>${t("menu.keys")}</button>
      <button type="button" lang=${lang === "en" ? "de" : "en"} @click=${chooseLanguage}>${t("menu.language")}</button>
      <button type="button" @click=${signOut}>${t("menu.out")}</button>
    </div>
  </details>`;
}

/** @param {SubmitEvent} event */
function search(event) {
  event.preventDefault();
  const field = /** @type {HTMLInputElement} */ (document.getElementById("search"));
  const q = field.value.trim();
  field.value = "";
  field.blur();
  navigate(q === "" ? "/devices" : `/devices?q=${encodeURIComponent(q)}`);
}

/** The server's time, ticking; says so when changes no longer arrive. */
class Now extends HTMLElement {
  #timer = 0;
  connectedCallback() {
    this.#timer = window.setInterval(() => this.#tick(), 1000);
    this.#tick();
  }
  disconnectedCallback() {
    clearInterval(this.#timer);
  }
  #tick() {
    write(this, clock.told ? wall(clock.now()) : "");
  }
}
customElements.define("hf-now", Now);

function frame() {
  const s = status.data;
  const themeText = t(theme === "" ? "theme.system" : theme === "light" ? "theme.light" : "theme.dark");
  return html`<a class="skip" href="#main">${t("skip")}</a>
    <div class="app">
      <nav class="rail" aria-label=${t("nav.main")}>
        <a class="brand" href="/"><svg aria-hidden="true"><use href="#mark" /></svg><span>Holdfast</span></a>
        <div class="nav">${links()}</div>
        ${s
          ? html`<p class="railfoot"><strong>holdfast ${s.version}</strong> ${s.host ? t("foot.on", { host: s.host }) : nothing}<br />${typeof s.up_s === "number" ? t("foot.up", { d: duration(s.up_s) }) : nothing}</p>`
          : nothing}
      </nav>
      <header class="top">
        <span class="site">${s?.site ?? "Holdfast"}</span>
        <form class="search" role="search" @submit=${search}>
          <svg aria-hidden="true"><use href="#i-search" /></svg>
          <input id="search" type="text" autocomplete="off" autocapitalize="none" spellcheck="false" enterkeyhint="search" aria-label=${t("search")} placeholder=${t("search.hint")} />
          <kbd aria-hidden="true">/</kbd>
        </form>
        <a class="icb only-sm" href="/devices" aria-label=${t("search")}>${icon("search")}</a>
        <span class="spacer"></span>
        <span class="chip ${isLive === false ? "lost" : "hide-sm"}">${isLive === false ? shape("warn") : nothing}<hf-now></hf-now>${isLive === null ? nothing : html`<span>${isLive ? t("live") : t("live.lost")}</span>`}</span>
        <button class="icb" type="button" aria-label=${themeText} title=${themeText} @click=${chooseTheme}>${icon("theme")}</button>
        ${operator()}
      </header>
      <main id="main" tabindex="-1">${view?.render()}</main>
    </div>
    <nav class="tabbar" aria-label=${t("nav.compact")}>${links()}</nav>
    <p id="says" class="sr" role="status" aria-live="polite"></p>`;
}

function paint() {
  if (!view) return;
  document.title = `${view.title()} · Holdfast`;
  render(view.bare ? html`<main id="main" class="bare">${view.render()}</main>` : frame(), root);
}

async function showKeys() {
  closeMenus();
  (await import("./parts/keys.js")).openKeys();
}
function closeMenus() {
  for (const menu of document.querySelectorAll("details.menu[open]")) menu.removeAttribute("open");
}

/** True between the g and the letter that says where to. */
let isGoing = false;

document.addEventListener("keydown", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.key === "Escape") {
    closeMenus();
    if (target.matches("input")) target.blur();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || target.matches("input, textarea, select") || view?.bare || document.querySelector("dialog[open]")) return;
  const wasGoing = isGoing;
  isGoing = false;
  if (wasGoing && event.key === "f") navigate("/");
  else if (wasGoing && event.key === "d") navigate("/devices");
  else if (wasGoing && event.key === "w") navigate("/gateways");
  else if (event.key === "g") isGoing = true;
  else if (event.key === "?") showKeys();
  else if (event.key === "/") (document.getElementById("query") ?? document.getElementById("search"))?.focus();
  else if (view?.keys?.[event.key]) view.keys[event.key]();
  else return;
  event.preventDefault();
});

document.addEventListener("click", (event) => {
  const target = /** @type {Element} */ (event.target);
  if (!target.closest("details.menu")) closeMenus();
  const link = /** @type {HTMLAnchorElement | null} */ (target.closest("a[href]"));
  if (!link || event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  if (link.origin !== location.origin || link.target !== "" || link.getAttribute("href")?.startsWith("#")) return;
  event.preventDefault();
  navigate(link.pathname + link.search);
  document.getElementById("main")?.focus({ preventScroll: true });
});

addEventListener("popstate", open);

if (location.pathname !== "/login") begin();
open();
