// A stand-in for control, for the tests of states that are hard to reach: it serves web/ with the headers of the real
// one and answers the API from a generated fleet. Every number comes from a seeded generator, so pictures repeat.
import { createServer } from "node:http";
import { readFileSync, existsSync } from "node:fs";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const web = join(here, "..", "..", "web");

export const csp =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; base-uri 'none'; " +
  "form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types lit-html";
const types = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".woff2": "font/woff2" };
const safe = {
  "Content-Security-Policy": csp, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
  "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
};

/** xorshift32 @param {number} seed */
function random(seed) {
  let x = seed >>> 0 || 1;
  return () => {
    x ^= x << 13;
    x >>>= 0;
    x ^= x >>> 17;
    x ^= x << 5;
    x >>>= 0;
    return x / 4294967296;
  };
}
const iso = (ms) => new Date(ms).toISOString();
const states = ["healthy", "degraded", "failing", "unknown", "quarantined"];

/** The fleet of the pictures. @param {{devices: number, calm?: boolean}} shape */
export function makeFleet({ devices: count, calm = false }) {
  const start = Date.now();
  const rnd = random(7);
  const gateways = ["gw-oslo-01", "gw-rotterdam-02", "gw-lodz-01", "gw-rotterdam-01", "gw-gothenburg-01", "gw-turin-01", "gw-bilbao-01"];
  const models = ["Hydra P4-A", "Hydra P4-B", "Kestrel pump 11", "Kestrel pump 12"];
  const agents = ["0.1.0", "0.1.0", "0.1.0", "0.0.9", "0.0.8"];
  const devices = [];
  for (let i = 1; i <= count; i++) {
    const roll = rnd();
    const state = calm ? "healthy" : roll < 0.955 ? "healthy" : roll < 0.979 ? "degraded" : roll < 0.9815 ? "quarantined" : "unknown";
    const gateway = state === "unknown" ? gateways[Math.floor(rnd() * 2)] : gateways[1 + Math.floor(rnd() * 6)];
    const isGone = state === "unknown";
    devices.push({
      v: 1, name: `press-${String(i).padStart(3, "0")}`, id: "hf1:" + Array.from({ length: 32 }, () => "0123456789abcdef"[Math.floor(rnd() * 16)]).join(""),
      state, identity: state === "quarantined" ? "quarantined" : isGone && rnd() < 0.1 ? "expected" : "active", model: models[Math.floor(rnd() * 4)], agent: `holdfast-agent ${agents[Math.floor(rnd() * 5)]}`,
      gateway, connected: !isGone && state !== "quarantined", heard: isGone ? start - (3 + rnd() * 70) * 60e3 : start - rnd() * 5000,
      boot: 1 + Math.floor(rnd() * 9), gaps_missing: state === "degraded" ? Math.floor(1 + rnd() * 40) : 0, dead_letters: state === "degraded" && rnd() < 0.3 ? Math.floor(1 + rnd() * 9) : 0,
      points_per_s: isGone ? 0 : Math.round(rnd() * 40) / 10,
    });
  }
  return { start, rnd, gateways, devices };
}

/** @param {ReturnType<typeof makeFleet>} fleet @param {any} d */
function summary(fleet, d) {
  const now = Date.now();
  const seen = d.connected ? Math.max(d.heard, now - ((now + d.boot * 617) % 4000)) : d.heard;
  const { heard, ...row } = d;
  if (d.identity === "expected") return { ...row, gateway: null, agent: null, boot: 0, last_seen: null, last_seen_age_s: null };
  return { ...row, last_seen: iso(seen), last_seen_age_s: (now - seen) / 1000 };
}

function cohort(devices, key) {
  const by = new Map();
  for (const d of devices) {
    const name = key === "version" ? d.agent : d[key];
    const row = by.get(name) ?? { name, devices: 0, healthy: 0, degraded: 0, failing: 0, unknown: 0, quarantined: 0 };
    row.devices++;
    row[d.state]++;
    by.set(name, row);
  }
  return [...by.values()].sort((a, b) => b.devices - a.devices);
}

function overview(fleet) {
  const now = Date.now();
  const count = (s) => fleet.devices.filter((d) => d.state === s).length;
  const rnd = random(11);
  const line = (base, noise, dip) => Array.from({ length: 60 }, (_, i) => (i === 7 && dip === null ? null : i >= 38 && i < 42 && dip ? base * dip : base + (rnd() - 0.5) * noise));
  const isCalm = count("healthy") === fleet.devices.length;
  const unknown = count("unknown");
  const degraded = count("degraded");
  return {
    v: 1, now: iso(now), total: fleet.devices.length,
    states: Object.fromEntries(states.map((s) => [s, count(s)])),
    identities: { expected: fleet.devices.filter((d) => d.identity === "expected").length, enrolled: 0, active: fleet.devices.filter((d) => d.identity === "active").length, quarantined: fleet.devices.filter((d) => d.identity === "quarantined").length },
    connected: fleet.devices.filter((d) => d.connected).length,
    ingest: { messages_per_s: 1184.2 + Math.sin(now / 9000) * 20, points_per_s: 7105.4, lag_p99_s: 0.184, duplicates: isCalm ? 0 : 211, dead_letters: isCalm ? {} : { "bad-mac": 3, "stale-boot": 1 } },
    cohorts: { version: cohort(fleet.devices, "version"), gateway: cohort(fleet.devices, "gateway"), model: cohort(fleet.devices, "model") },
    attention: isCalm ? [] : [
      { severity: "unknown", what: `${unknown} devices have not been heard in time`, why: "Most were last linked to gw-oslo-01, which is silent. They may work; only their link may be down.", next: "Show them", href: "/devices?q=state:unknown", since: iso(now - 26 * 60e3) },
      { severity: "degraded", what: `Messages of ${degraded} devices are missing`, why: "412 sequence numbers were skipped. They may still come from a spool, and fit their gap once.", next: "Show gaps", href: "/devices?q=gaps:%3E0", since: iso(now - 44 * 60e3) },
      { severity: "degraded", what: "gw-rotterdam-02 clock is 3.41 s behind", why: "Its receive times are kept but marked as not synchronised.", next: "Its devices", href: "/devices?q=gateway:gw-rotterdam-02", since: iso(now - 40 * 60e3) },
      { severity: "failing", what: "3 messages failed authentication", why: "Dead letters with reason bad-mac: somebody altered them between device and ingest, or a device has the wrong key.", next: "press-014", href: "/devices/press-014", since: iso(now - 12 * 60e3) },
      { severity: "info", what: "2 devices are expected and never came", why: "They were announced by the factory list 3 d ago.", next: "Show them", href: "/devices?q=identity:expected", since: iso(now - 3 * 86400e3) },
    ],
    refusals: isCalm ? [] : [
      { reason: "unknown-issuer", per_min: 9, total: 5121 }, { reason: "expired", per_min: 5.5, total: 2204 }, { reason: "not-yet-valid", per_min: 6, total: 311 },
      { reason: "topic-not-allowed", per_min: 3, total: 47 }, { reason: "packet-too-large", per_min: 0, total: 2 },
    ],
    gateways: fleet.gateways.map((name, i) => ({
      name, state: !isCalm && i === 0 ? "silent" : "connected", sessions: fleet.devices.filter((d) => d.gateway === name && d.connected).length, messages_per_s: 170 + i * 3.4,
      refused_per_min: [0, 9, 14, 6, 2, 3, 4][i], main_reason: ["", "not-yet-valid", "unknown-issuer", "unknown-issuer", "expired", "expired", "unknown-issuer"][i],
      spool_bytes: [512e6, 31e6, 390e6, 21e6, 9e6, 18e6, 12e6][i], spool_budget: 1024 ** 3, drain: !isCalm && i === 0 ? null : ["open", "open", "draining", "open", "drained", "open", "open"][isCalm ? 0 : i], lag_age_s: [1560, 2, 14, 0, 0, 0, 0][i], lag_bytes: [512e6, 41e3, 2.2e6, 12e3, 0, 3e3, 0][i], clock_offset_s: !isCalm && i === 0 ? null : [0, isCalm ? 0.003 : -3.41, 0.011, 0.004, -0.006, -0.002, 0.009][i],
    })),
    history: { t: Array.from({ length: 60 }, (_, i) => now - (59 - i) * 10e3), connected: line(fleet.devices.length * 0.96, 6, 0.72), messages_per_s: line(1180, 90, 0.6), lag_p99_s: line(0.18, 0.05, null) },
  };
}

const measured = [
  ["pressure", "hydraulic/pressure", "bar", 184, 9, 0.9], ["temperature", "motor/temperature", "°C", 63.4, 5, 0.4], ["vibration", "motor/vibration", "mm/s", 2.9, 0.9, 0.5],
  ["load", "host/load", "", 0.42, 0.2, 0.1],
];

/** A smooth, repeatable value. @param {number} k @param {number} at milliseconds */
function value(k, at) {
  const [, , , base, swing, noise] = measured[k];
  const s = at / 1000;
  const wobble = Math.sin(s / 97 + k) * 0.6 + Math.sin(s / 1310 + 2 * k) + Math.sin(s / 31 + 3 * k) * 0.25;
  const grain = Math.sin(Math.floor(s) * 12.9898 + k * 78.233) * 43758.5453;
  return base + (wobble * swing) / 2 + (grain - Math.floor(grain) - 0.5) * noise;
}

function detail(fleet, d) {
  const now = Date.now();
  const born = now - 61 * 86400e3;
  const isDegraded = d.state === "degraded";
  const why = { healthy: "", degraded: `${d.gaps_missing} messages are missing since 17:10 UTC`, unknown: "not heard for three of its usual intervals", quarantined: "an operator set it apart" }[d.state] ?? "";
  const entries = [
    { kind: "expected", at: born, actor: "factory", what: "Announced by the factory list" }, { kind: "enrolled", at: born + 86400e3, actor: `device ${d.id}`, what: "Enrolled with its IDevID; generation 1 issued" },
    { kind: "renewed", at: born + 31 * 86400e3, actor: "device", what: "The certificate was renewed.", detail: { generation: 2, serial: "4be109c7aa01d2f7" } }, { kind: "in-use", at: born + 31.2 * 86400e3, actor: "gateway", what: "Generation 2 seen in use; generation 1 replaced" },
    { kind: "boot", at: now - 6 * 86400e3, actor: "device", what: "Boot 5: new session key" }, { kind: "moved", at: now - 4 * 86400e3, actor: "gateway", what: "Moved to gw-rotterdam-02" },
  ];
  if (d.identity === "expected") {
    return {
      ...summary(fleet, d), now: iso(now), serial: `HP4-2291-${d.name.slice(-3)}7`, manufacturer: "Hydra Works manufacturer CA", state_why: "it was announced and never came", gateway: null, agent: null, last_seen: null, last_seen_age_s: null, linked_at: null,
      boot: 0, boots: 0, next_seq: 1, gaps: [], gaps_missing: 0, lost: 0, duplicates: 0, dead_letters: 0, certificates: [], clock: { offset_s: null, quality: null }, created_at: iso(now - 3 * 86400e3), history: { links: [], boots: [] },
      entries: [{ number: 1099, kind: "expected", at: iso(now - 3 * 86400e3), actor: "factory", object: d.id, what: "Announced by the factory list" }],
    };
  }
  return {
    ...summary(fleet, d), now: iso(now), serial: `HP4-2291-${d.name.slice(-3)}7`, manufacturer: "Hydra Works manufacturer CA", state_why: why, linked_at: d.connected ? iso(now - 4 * 86400e3) : null, boots: d.boot, next_seq: 412881,
    gaps: isDegraded ? [{ from: 402112, to: 402140, count: 29, why: "missing", since: iso(now - 44 * 60e3) }, { from: 388120, to: 388131, count: 12, why: "restart", since: iso(now - 6 * 86400e3) }] : [],
    lost: 0, duplicates: 14,
    certificates: [
      { serial: "4be109c7aa01d2f7", generation: 2, not_before: iso(born + 31 * 86400e3), not_after: iso(born + 122 * 86400e3), state: "in-use", issued_at: iso(born + 31 * 86400e3) },
      { serial: "9c4e61d0a71f0021", generation: 1, not_before: iso(born + 86400e3), not_after: iso(born + 92 * 86400e3), state: "replaced", issued_at: iso(born + 86400e3) },
    ],
    clock: { offset_s: isDegraded ? -3.41 : -0.012, quality: isDegraded ? "holdover" : "synced" }, created_at: iso(born),
    history: {
      links: [
        { gateway: "gw-rotterdam-01", from: iso(born + 86400e3), until: iso(now - 33 * 86400e3) }, { gateway: "gw-rotterdam-02", from: iso(now - 32.2 * 86400e3), until: iso(now - 14 * 86400e3) },
        { gateway: "gw-rotterdam-01", from: iso(now - 14 * 86400e3), until: iso(now - 4.6 * 86400e3) }, { gateway: "gw-rotterdam-02", from: iso(now - 4 * 86400e3), until: d.connected ? null : iso(d.heard) },
      ],
      boots: [born + 86400e3, now - 49 * 86400e3, now - 33 * 86400e3, now - 14 * 86400e3, now - 6 * 86400e3].map((at, i) => ({ boot: i + 1, at: iso(at) })),
    },
    entries: entries.map((e, i) => ({ number: 1100 + i * 37, ...e, at: iso(e.at) })).reverse(),
  };
}

const fields = ["name", "id", "serial", "state", "identity", "gateway", "model", "agent", "connected", "seen", "gaps", "boot"];

/** Enough of the query language for the pictures. @returns {(d: any) => boolean} */
function query(q) {
  const tests = [];
  for (const m of q.matchAll(/(-?)(?:(\w[\w.]*):)?("[^"]*"|\S+)/g)) {
    const [, minus, field, raw] = m;
    const want = raw.replace(/^"|"$/g, "");
    if (field && !fields.includes(field)) {
      const near = fields.find((f) => f.startsWith(field.slice(0, 3)));
      throw { status: 400, code: "HF-3102", title: `unknown field "${field}"`, why: "the query language does not know it, and an unknown field is never an empty result", do: `known fields: ${fields.join(" ")}`, suggestion: near ?? "", at: m.index + minus.length };
    }
    const test = (d) => {
      if (!field) return d.name.includes(want) || d.id.includes(want);
      if (field === "connected") return d.connected === (want === "yes");
      if (field === "gaps") return d.gaps_missing > Number(want.replace(">", ""));
      if (field === "seen") return true;
      return new RegExp(`^${String(want).replace(/[.+^${}()|[\]\\]/g, "\\$&").replace(/\*/g, ".*")}$`).test(String(d[field]));
    };
    tests.push(minus ? (d) => !test(d) : test);
  }
  return (d) => tests.every((t) => t(d));
}

/**
 * @param {{devices?: number, calm?: boolean, signedOut?: boolean}} [shape]
 * @returns {Promise<{url: string, close: () => Promise<void>, cut: () => void, fleet: any, push: (kind: string, data: object) => void, hits: Map<string, number>, fail: {next: object | null}}>}
 */
export async function serve({ devices = 500, calm = false, signedOut = false } = {}) {
  const fleet = makeFleet({ devices, calm });
  /** @type {Set<{res: import("node:http").ServerResponse, device: string}>} */ const streams = new Set();
  const hits = new Map();
  const fail = { next: /** @type {object | null} */ (null) };
  let isIn = !signedOut;
  let eventId = 100;
  const seen = /** @type {string[]} */ ([]);

  function push(kind, data, only) {
    eventId++;
    for (const s of streams) if (!only || s.device === only) s.res.write(`id: ${eventId}\nevent: ${kind}\ndata: ${JSON.stringify(data)}\n\n`);
  }
  const ticking = setInterval(() => {
    if (fleet.devices.length === 0) return;
    const f = overview(fleet);
    push("fleet", { v: 1, now: f.now, ingest: f.ingest, connected: f.connected });
    for (const s of streams) {
      const d = fleet.devices.find((x) => x.name === s.device);
      if (!d?.connected || d.name === "press-005") continue;
      const at = Math.floor(Date.now() / 1000) * 1000;
      push("point", { v: 1, now: iso(Date.now()), items: measured.map((m, k) => ({ series: k + 1, stream: "press", name: m[1], unit: m[2], time: iso(at), value: value(k, at), quality: "synced", provenance: k === 3 ? "gateway" : "device" })) }, d.name);
    }
  }, 1000);

  function json(res, status, body) {
    const type = status >= 400 ? "application/problem+json" : "application/json";
    res.writeHead(status, { ...safe, "Content-Type": type });
    res.end(JSON.stringify(body));
  }

  /** @type {{device: string, until: number, drain: Map<string, string>}} */ const asked = { device: "", until: 0, drain: new Map() };

  function gatewayAnswer(req, res, url, name, what) {
    const now = Date.now();
    const all = overview(fleet).gateways.map((g) => ({ v: 1, ...g, drain: asked.drain.get(g.name) ?? g.drain }));
    if (!name) return json(res, 200, { v: 1, now: iso(now), items: all, next: null, total: all.length });
    const g = all.find((x) => x.name === name);
    if (!g) return json(res, 404, { v: 1, type: "about:blank", status: 404, code: "HF-3701", title: "there is no such gateway", why: "none of this name reports or has reported to control", do: "look at the names: holdfast gateway list" });
    if (g.state !== "connected" && what && what !== "refusals") return json(res, 503, { v: 1, type: "about:blank", status: 503, code: "HF-3702", title: "the gateway does not answer", why: "it does not answer: nothing was done", do: "look at it: holdfast gateway show NAME" });
    const here = fleet.devices.filter((d) => d.gateway === name && d.connected);
    if (what === "drain" || what === "undrain") {
      asked.drain.set(name, what === "drain" ? "draining" : "open");
      return json(res, 200, { v: 1, now: iso(now), drain: asked.drain.get(name), connections: here.length, not_durable_bytes: 0, unread_bytes: 4096 });
    }
    if (what === "refusals") return json(res, 200, { v: 1, now: iso(now), state: g.state, next: null, total: 2, items: [{ at: iso(now - 65e3), reason: "not-authorized", code: "0x87", address: "10.20.4.17:51234", certificate: "9c4e61d0a71f00214be109c7aa01d2f79c4e61d0a71f00214be109c7aa01d2f7", why: "the topic is another device's" }, { at: iso(now - 190e3), reason: "tls", code: null, address: "10.20.4.99:40022", certificate: null, why: "certificate verify failed: unable to get local issuer certificate" }] });
    if (what === "sessions") return json(res, 200, { v: 1, now: iso(now), total: here.length, next: null, items: here.slice(0, Number(url.searchParams.get("limit") ?? 200)).map((d, i) => ({ place: i, owner: d.id, device: d.name, client_id: d.id, version: i % 9 === 0 ? "3.1.1" : "5.0", address: `10.20.4.${i + 2}:51${100 + i}`, since: iso(now - 4 * 86400e3 - i * 7e6), heard_ms: 400, keep_alive_s: 60, messages: 41288 + i * 311, bytes: 9e6, inflight: i % 7 === 0 ? 2 : 0, is_waiting: false })) });
    if (what === "trace") {
      if (req.method === "POST") {
        asked.device = url.searchParams.get("device") ?? "";
        asked.until = now + 1000 * Number(url.searchParams.get("seconds"));
        const d = fleet.devices.find((x) => x.name === asked.device);
        if (!d) return json(res, 404, { v: 1, type: "about:blank", status: 404, code: "HF-3001", title: "there is no such device", why: "no device of this name or id is registered", do: "look at the names: holdfast device list" });
      }
      const d = fleet.devices.find((x) => x.name === asked.device);
      const items = [{ from: "device", what: "PUBLISH", topic: `hf/1/${d?.id}/t/press`, qos: 1, packet_id: 812, bytes: 311, count: 1, reason: null, reason_name: null }, { from: "gateway", what: "PUBACK", topic: "", qos: 0, packet_id: 812, bytes: 0, count: 1, reason: 0, reason_name: "Success" }];
      const after = Number(url.searchParams.get("after") ?? 0);
      return json(res, 200, { v: 1, now: iso(now), left_s: Math.max(0, (asked.until - now) / 1000), last: items.length, missed: 0, items: items.map((e, i) => ({ number: i + 1, at: iso(now - 2000 + i * 4), place: 3, ...e })).filter((e) => e.number > after) });
    }
    json(res, 200, { ...g, now: iso(now), reported_age_s: g.state === "connected" ? 0.4 : 1560, connections: here.length, devices: here.length, messages: 18412877, message_bytes: 5.1e9, commits: 812441, stalls: 3, grants_number: 17, grants_in_force: g.state === "connected" ? true : null, refused: g.main_reason ? [{ reason: g.main_reason, total: 311 }] : [] });
  }

  function api(req, res, url) {
    const path = url.pathname.slice("/api/v1".length);
    hits.set(path, (hits.get(path) ?? 0) + 1);
    if (path === "/login") {
      let text = "";
      req.on("data", (c) => (text += c));
      req.on("end", () => {
        if (JSON.parse(text).token !== "7KQ2-M9XD") return json(res, 401, { v: 1, type: "about:blank", status: 401, code: "HF-3005", title: "this login code does not work", why: "it was used, or is older than ten minutes", do: "make a new one" });
        isIn = true;
        json(res, 200, { v: 1, name: "operator-1" });
      });
      return;
    }
    if (!isIn) return json(res, 401, { v: 1, type: "about:blank", status: 401, code: "HF-3004", title: "nobody is signed in", why: "this request carries no session", do: "sign in" });
    if (fail.next && path === fail.next.path) return json(res, fail.next.status, { v: 1, type: "about:blank", ...fail.next });
    if (path === "/logout") {
      isIn = false;
      return json(res, 200, { v: 1 });
    }
    const now = Date.now();
    if (path === "/whoami") return json(res, 200, { v: 1, name: "mara-keller", rights: ["read", "operate"] });
    if (path === "/status") return json(res, 200, { v: 1, version: "0.1.0", site: "Northsea Pressings", host: "hf-core-1", now: iso(now), up_s: 41 * 86400, invariants: { evaluations: 184812345, violations: 0, traces: 0, names: {} } });
    if (path === "/fleet") return json(res, 200, overview(fleet));
    if (path === "/devices") {
      let match;
      try {
        match = query(url.searchParams.get("q") ?? "");
      } catch (bad) {
        return json(res, 400, { v: 1, type: "about:blank", ...bad });
      }
      const sort = url.searchParams.get("sort") || "name";
      const key = sort.replace(/^-/, "");
      const all = fleet.devices.filter(match).map((d) => summary(fleet, d));
      all.sort((a, b) => (a[key] < b[key] ? -1 : a[key] > b[key] ? 1 : 0) * (sort.startsWith("-") ? -1 : 1));
      const from = Number((url.searchParams.get("cursor") || "0").replace("p:", ""));
      const limit = Number(url.searchParams.get("limit") || 200);
      return json(res, 200, { v: 1, now: iso(now), items: all.slice(from, from + limit), next: from + limit < all.length ? String(from + limit) : null, total: all.length });
    }
    const gw = /^\/gateways(?:\/([^/]+)(?:\/(\w+))?)?$/.exec(path);
    if (gw) return gatewayAnswer(req, res, url, gw[1] && decodeURIComponent(gw[1]), gw[2]);
    const one = /^\/devices\/([^/]+)$/.exec(path);
    if (one) {
      const d = fleet.devices.find((x) => x.name === decodeURIComponent(one[1]));
      return d ? json(res, 200, detail(fleet, d)) : json(res, 404, { v: 1, type: "about:blank", status: 404, code: "HF-3001", title: `no device "${decodeURIComponent(one[1])}"`, why: "the registry has no device of this name or id", do: "holdfast device list" });
    }
    const device = fleet.devices.find((x) => x.name === url.searchParams.get("device"));
    const hasData = device && device.identity !== "expected";
    // press-005 replays a recording of 2020: its values are old, its messages are not.
    const isReplay = device?.name === "press-005";
    const edge = isReplay ? Date.UTC(2020, 2, 9, 12, 34) : device?.connected ? now : (device?.heard ?? now);
    const since = isReplay ? edge - 1800e3 : now - 30 * 86400e3;
    if (path === "/data/series") return json(res, 200, { v: 1, now: iso(now), next: null, items: hasData ? measured.map((m, k) => ({ v: 1, id: k + 1, device: device.name, stream: "press", name: m[1], unit: m[2], provenance: k === 3 ? "gateway" : "device", first: iso(since), last: iso(edge), count: isReplay ? 1800 : 2592000, last_value: value(k, edge) })) : [] });
    if (path === "/data/last") return json(res, 200, { v: 1, now: iso(now), next: null, items: hasData ? measured.map((m, k) => ({ v: 1, series: k + 1, stream: "press", name: m[1], unit: m[2], time: iso(edge), value: value(k, edge), quality: "synced", provenance: k === 3 ? "gateway" : "device" })) : [] });
    if (path === "/data/buckets") {
      const from = Date.parse(url.searchParams.get("from"));
      const to = Date.parse(url.searchParams.get("to"));
      const n = Number(url.searchParams.get("buckets"));
      const k = Number(url.searchParams.get("series")) - 1;
      const step = (to - from) / n;
      const end = from < Date.UTC(2021) ? Date.UTC(2020, 2, 9, 12, 34) : now;
      const gap = [now - 0.44 * 600e3, now - 0.37 * 600e3];
      const out = { v: 1, series: k + 1, from: iso(from), to: iso(to), bucket_s: step / 1000, t: [], min: [], max: [], mean: [], count: [], gaps: [{ from: iso(gap[0]), to: iso(gap[1]), why: "missing" }, { from: iso(now - 0.7 * 600e3), to: iso(now - 0.7 * 600e3), why: "restart", count: 3 }] };
      for (let i = 0; i < n; i++) {
        const at = from + i * step;
        const mid = at + step / 2;
        const isEmpty = mid > end || (mid > gap[0] && mid < gap[1]);
        const v = value(k, mid);
        out.t.push(at);
        const spread = measured[k][5] * Math.min(2, 0.6 + step / 60e3);
        out.mean.push(isEmpty ? null : v);
        out.min.push(isEmpty ? null : v - spread * 0.7);
        out.max.push(isEmpty ? null : v + spread * 0.6);
        out.count.push(isEmpty ? 0 : Math.max(1, Math.round(step / 1000)));
      }
      return json(res, 200, out);
    }
    if (path === "/deadletters") return json(res, 200, { v: 1, now: iso(now), next: null, items: device?.dead_letters ? Array.from({ length: Math.min(3, device.dead_letters) }, (_, i) => ({ v: 1, at: iso(now - (12 + i) * 60e3), gateway: device.gateway, device: device.name, topic: `hf/1/${device.id}/t/press`, reason: i === 2 ? "stale-boot" : "bad-mac", bytes: 311 + i })) : [] });
    if (path === "/events") {
      seen.push(url.searchParams.get("since") ?? "");
      res.writeHead(200, { ...safe, "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
      res.write(`id: ${eventId}\nevent: fleet\ndata: ${JSON.stringify({ v: 1, now: iso(now) })}\n\n`);
      const stream = { res, device: url.searchParams.get("device") ?? "" };
      streams.add(stream);
      res.on("close", () => streams.delete(stream));
      return;
    }
    json(res, 404, { v: 1, type: "about:blank", status: 404, code: "HF-3000", title: `no such path ${path}`, why: "the API has no such path", do: "read docs/protocol/api.md" });
  }

  const server = createServer((req, res) => {
    const url = new URL(req.url ?? "/", "http://x");
    if (url.pathname.startsWith("/api/v1/")) return api(req, res, url);
    const isPage = /^\/(login|(devices|gateways)(\/[^/]+)?)?$/.test(url.pathname);
    const file = join(web, isPage ? "index.html" : normalize(url.pathname));
    if (!file.startsWith(web) || !existsSync(file) || extname(file) === "") {
      res.writeHead(404, { ...safe, "Content-Type": "text/plain" });
      return res.end("not found");
    }
    res.writeHead(200, { ...safe, "Content-Type": types[extname(file)] ?? "application/octet-stream", "Cache-Control": "no-cache" });
    res.end(readFileSync(file));
  });
  await new Promise((done) => server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => done(undefined)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    url: `http://localhost:${port}`,
    fleet, push, hits, fail, seen,
    cut() {
      for (const s of streams) s.res.destroy();
    },
    async close() {
      clearInterval(ticking);
      server.closeAllConnections();
      await new Promise((done) => server.close(() => done(undefined)));
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const fixture = await serve();
  console.log(fixture.url);
}
