// Signing in with a login link or its code. There is no password.
import { html, nothing } from "../vendor/lit-html.js";
import { asProblem, post, Problem } from "../api.js";
import { problem } from "../parts/ui.js";
import { t } from "../texts.js";

/** The code in a pasted link, or the code itself. @param {string} text */
export function codeIn(text) {
  return /[?&]login=([^&#\s]+)/.exec(text)?.[1] ?? text.trim();
}

/** @param {import("../app.js").Context} context @param {URLSearchParams} search @returns {import("../app.js").View} */
export function loginView({ update, navigate }, search) {
  /** @type {Problem | null} */
  let bad = search.has("failed") ? new Problem({ title: t("login.failed"), why: t("login.failed.why"), do: t("login.failed.do") }) : null;
  let isBusy = false;
  const back = search.get("back") ?? "/";

  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    const field = /** @type {HTMLInputElement} */ (document.getElementById("token"));
    isBusy = true;
    update();
    try {
      await post("/login", { token: codeIn(field.value) });
      navigate(back.startsWith("/") && !back.startsWith("//") ? back : "/", true);
    } catch (error) {
      bad = asProblem(error);
      isBusy = false;
      update();
    }
  }

  return {
    nav: "",
    bare: true,
    title: () => t("login.title"),
    stop() {},
    render: () => html`<section class="panel login" aria-labelledby="h-login">
      <svg class="login-mark" aria-hidden="true"><use href="#mark" /></svg>
      <h1 id="h-login">${t("login.title")}</h1>
      <p>${t("login.text")}</p>
      ${isSecureContext ? nothing : html`<p class="t-fail">${t("login.insecure")}</p>`}
      <form @submit=${submit}>
        <label for="token">${t("login.token")}</label>
        <input id="token" class="field mono" type="text" autocomplete="off" autocapitalize="none" spellcheck="false" required />
        <button class="btn pri" type="submit" ?disabled=${isBusy}>${t("login.go")}</button>
      </form>
      ${bad ? problem(bad) : nothing}
      <p class="dimmer">${t("login.where")}</p>
      <code class="mono cmdline">cat demo-data/login-url</code>
    </section>`,
  };
}
