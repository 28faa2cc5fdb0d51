// Which language the page speaks, and its words: one catalogue in two files, of which one is fetched.

/** @type {"en" | "de"} */
export const lang = chosen();

/** @returns {"en" | "de"} */
function chosen() {
  const kept = localStorage.getItem("hf-lang");
  if (kept === "en" || kept === "de") return kept;
  return navigator.language.toLowerCase().startsWith("de") ? "de" : "en";
}

/** @type {typeof import("./texts/en.js").texts} */
const texts = (lang === "de" ? await import("./texts/de.js") : await import("./texts/en.js")).texts;

/** @typedef {keyof typeof texts} TextKey */

const plural = new Intl.PluralRules(lang);
const figure = new Intl.NumberFormat(lang === "de" ? "de-DE" : "en-GB");

/**
 * @param {TextKey} key
 * @param {Record<string, string | number>} [fill] numbers are written in the language of the page
 * @returns {string}
 */
export function t(key, fill) {
  return say(texts[key], fill);
}

/** The same for a page's own catalogue. @param {string} text @param {Record<string, string | number>} [fill] @returns {string} */
export function say(text, fill) {
  const forms = text.split("|");
  const chosen = forms.length > 1 && plural.select(Number(fill?.n ?? 2)) !== "one" ? forms[1] : forms[0];
  if (!fill) return chosen;
  return chosen.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = fill[name];
    return typeof value === "number" ? figure.format(value) : (value ?? whole);
  });
}

/** A word for a term the server named, or the term itself. @param {string} prefix @param {string | null | undefined} term */
export function word(prefix, term) {
  const key = `${prefix}.${term}`;
  return key in texts ? t(/** @type {TextKey} */ (key)) : (term ?? "");
}
