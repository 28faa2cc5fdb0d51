// The list of keyboard shortcuts, fetched when it is first asked for.
import { html, render } from "../vendor/lit-html.js";
import { t } from "../texts.js";
import { own } from "../texts/keys.js";

/** @type {[string[], import("../texts/keys.js").KeysText][]} */
const keys = [
  [["/"], "search"],
  [["g", "f"], "fleet"],
  [["g", "d"], "devices"],
  [["g", "w"], "gateways"],
  [["j", "k"], "rows"],
  [["Enter"], "open"],
  [["Esc"], "close"],
  [["?"], "list"],
];

function dialog() {
  return /** @type {HTMLDialogElement | null} */ (document.getElementById("keys"));
}

export function openKeys() {
  if (!dialog()) {
    const place = document.body.appendChild(document.createElement("div"));
    render(
      html`<dialog id="keys" aria-labelledby="h-keys">
        <h2 id="h-keys">${own("title")}</h2>
        <dl>
          ${keys.map(([names, key]) => html`<dt>${names.map((n) => html`<kbd>${n}</kbd> `)}</dt><dd>${own(key)}</dd>`)}
        </dl>
        <button class="btn" type="button" @click=${() => dialog()?.close()}>${t("close")}</button>
      </dialog>`,
      place,
    );
  }
  dialog()?.showModal();
}
