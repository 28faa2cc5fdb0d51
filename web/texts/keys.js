// The words of the list of keyboard shortcuts, fetched with it.
import { lang, say } from "../texts.js";

const en = {
  "title": "Keyboard shortcuts",
  "search": "Search",
  "fleet": "Go to fleet",
  "devices": "Go to devices",
  "gateways": "Go to gateways",
  "rows": "Next row, previous row",
  "open": "Open the row",
  "close": "Close, or leave the field",
  "list": "This list",
};

/** @type {typeof en} */
const de = {
  "title": "Tastenkürzel",
  "search": "Suchen",
  "fleet": "Zur Flotte",
  "devices": "Zu den Geräten",
  "gateways": "Zu den Gateways",
  "rows": "Nächste, vorige Zeile",
  "open": "Zeile öffnen",
  "close": "Schließen oder Feld verlassen",
  "list": "Diese Liste",
};

const texts = { en, de }[lang];

/** @typedef {keyof typeof en} KeysText */
/** @param {KeysText} key */
export const own = (key) => say(texts[key]);
