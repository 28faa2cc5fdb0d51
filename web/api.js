// What the console may ask of the server: JSON by GET and POST, and one stream of events. Knows the shapes of
// docs/protocol/api.md and no element.
import { clock } from "./format.js";
import { t } from "./texts.js";

const base = "/api/v1";

/** A refusal or a failure, always in three parts: what happened, why, what to do. */
export class Problem extends Error {
  /** @param {{status?: number, code?: string, title?: string, why?: string, do?: string, suggestion?: string, at?: number}} parts */
  constructor(parts) {
    super(parts.title ?? "");
    this.status = parts.status ?? 0;
    this.code = parts.code ?? "";
    this.title = parts.title ?? t("problem.title");
    this.why = parts.why ?? "";
    this.todo = parts.do ?? "";
    this.suggestion = parts.suggestion ?? "";
    this.at = typeof parts.at === "number" ? parts.at : -1;
  }
}

/** Called when the server says that nobody is signed in. */
export const session = { lost: () => {} };

/** @param {unknown} error @returns {Problem} */
export function asProblem(error) {
  return error instanceof Problem ? error : new Problem({ title: t("problem.title"), why: String(error), do: t("problem.reload") });
}

/**
 * @param {string} path below /api/v1, with its query
 * @param {RequestInit} [init]
 * @returns {Promise<any>} the object the server gave; throws a Problem
 */
async function ask(path, init) {
  let answer;
  try {
    answer = await fetch(base + path, { credentials: "same-origin", cache: "no-store", ...init });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem({ title: t("problem.reach"), why: t("problem.reach.why"), do: t("problem.reach.do") });
  }
  const isJson = /[/+]json\b/.test(answer.headers.get("content-type") ?? "");
  const body = isJson ? await answer.json().catch(() => null) : null;
  if (!answer.ok) {
    if (answer.status === 401 && path !== "/login") session.lost();
    throw new Problem({ title: t("problem.status", { n: answer.status }), why: t("problem.status.why"), do: t("problem.reload"), ...body, status: answer.status });
  }
  if (body && typeof body === "object") clock.note(body.now);
  return body;
}

/** @param {string} path @param {Record<string, string | number | undefined>} [query] @param {AbortSignal} [signal] */
export function get(path, query, signal) {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== "") search.set(key, String(value));
  }
  const text = search.toString();
  return ask(text === "" ? path : `${path}?${text}`, { headers: { Accept: "application/json" }, signal });
}

/** @param {string} path @param {object} [body] */
export function post(path, body) {
  /** @type {Record<string, string>} */ const headers = { Accept: "application/json", "X-Holdfast": "1" };
  if (body) headers["Content-Type"] = "application/json";
  return ask(path, { method: "POST", headers, body: body ? JSON.stringify(body) : undefined });
}

/**
 * One thing on a page that is asked for again and again: the old content stays while the new one is fetched, and
 * an error does not take it away.
 */
export class Resource {
  /** @param {(signal: AbortSignal) => Promise<any>} fetcher @param {() => void} changed */
  constructor(fetcher, changed) {
    this.fetcher = fetcher;
    this.changed = changed;
    /** @type {any} */ this.data = null;
    /** @type {Problem | null} */ this.problem = null;
    /** When the data was true, by the server's clock. @type {number | null} */ this.at = null;
    this.loading = false;
    /** @type {AbortController | null} */ this.running = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */ this.timer = undefined;
  }

  /** Asks now; a call while one runs replaces it. */
  async load() {
    this.running?.abort();
    const run = new AbortController();
    this.running = run;
    this.loading = true;
    try {
      const data = await this.fetcher(run.signal);
      if (this.running !== run) return;
      this.data = data;
      this.problem = null;
      this.at = clock.now();
    } catch (error) {
      if (this.running !== run) return;
      this.problem = asProblem(error);
    }
    this.running = null;
    this.loading = false;
    this.changed();
  }

  /** Asks now and then every so often, counted from each answer. @param {number} everyMs */
  async keep(everyMs) {
    await this.load();
    clearTimeout(this.timer);
    if (!this.stopped) this.timer = setTimeout(() => this.keep(everyMs), everyMs);
  }

  stopped = false;
  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    this.running?.abort();
    this.running = null;
  }
}

const retryFirstMs = 1000;
const retryLastMs = 30000;

/**
 * The stream of changes. It is opened again after every loss, from the last event seen, with a growing and jittered pause.
 *
 * @param {Record<string, string>} query `device` for one device's stream
 * @param {{device?: (row: any) => void, fleet?: (part: any) => void, point?: (part: any) => void, state?: (isLive: boolean) => void}} on
 * @returns {() => void} ends it
 */
export function openEvents(query, on) {
  /** @type {EventSource | null} */ let source = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ let timer;
  let last = "";
  let pause = retryFirstMs;
  let ended = false;

  function open() {
    const url = new URL(`${base}/events`, location.origin);
    for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
    if (last !== "") url.searchParams.set("since", last);
    source = new EventSource(url);
    source.onopen = () => {
      pause = retryFirstMs;
      on.state?.(true);
    };
    source.onerror = () => {
      source?.close();
      on.state?.(false);
      if (ended) return;
      timer = setTimeout(open, pause * (0.5 + Math.random()));
      pause = Math.min(pause * 2, retryLastMs);
    };
    listen(source, "device", on.device);
    listen(source, "fleet", on.fleet);
    listen(source, "point", on.point);
  }

  /** @param {EventSource} from @param {string} kind @param {((data: any) => void) | undefined} to */
  function listen(from, kind, to) {
    from.addEventListener(kind, (event) => {
      const message = /** @type {MessageEvent<string>} */ (event);
      if (message.lastEventId !== "") last = message.lastEventId;
      let data;
      try {
        data = JSON.parse(message.data);
      } catch {
        return; // A cut line is not a change; the next whole one is.
      }
      clock.note(data.now);
      to?.(data);
    });
  }

  open();
  return () => {
    ended = true;
    clearTimeout(timer);
    source?.close();
  };
}
