// Links into the list of devices, in the query language.

/** A term of the query language; a value with blanks is quoted. @param {string} field @param {string} value */
export function term(field, value) {
  return `${field}:${/^[\w.:*-]+$/.test(value) ? value : JSON.stringify(value)}`;
}
/** @param {...string} terms */
export function devicesHref(...terms) {
  return `/devices?q=${encodeURIComponent(terms.join(" "))}`;
}
