// The list of keyboard shortcuts, fetched when it is first asked for.
import { html, render } from "../vendor/lit-html.js";
import { t } from "../texts.js";

/** @type {[string[], import("../texts.js").TextKey][]} */
const keys = [
  [["/"], "keys.search"],
  [["g", "f"], "keys.fleet"],
  [["g", "d"], "keys.devices"],
  [["j", "k"], "keys.rows"],
  [["Enter"], "keys.open"],
  [["Esc"], "keys.close"],
  [["?"], "keys.list"],
];

function dialog() {
  return /** @type {HTMLDialogElement | null} */ (document.getElementById("keys"));
}

export function openKeys() {
  if (!dialog()) {
    const place = document.body.appendChild(document.createElement("div"));
    render(
      html`<dialog id="keys" aria-labelledby="h-keys">
        <h2 id="h-keys">${t("keys.title")}</h2>
        <dl>
          ${keys.map(([names, key]) => html`<dt>${names.map((n) => html`<kbd>${n}</kbd> `)}</dt><dd>${t(key)}</dd>`)}
        </dl>
        <button class="btn" type="button" @click=${() => dialog()?.close()}>${t("close")}</button>
      </dialog>`,
      place,
    );
  }
  dialog()?.showModal();
}
