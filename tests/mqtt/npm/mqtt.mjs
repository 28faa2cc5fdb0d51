// npm's mqtt, in the version of the protocol that is named: does a client's work against a server and says how each part went.
// Usage: node mqtt.mjs PORT 5|4 [CA CERTIFICATE KEY]
import { readFileSync } from "node:fs";
import { once } from "node:events";
import mqtt from "mqtt";

const [port, version, ca, cert, key] = process.argv.slice(2);
const protocolVersion = Number(version);
const mark = `npm${process.pid}v${version}`;
const clients = [];
let failed = 0;
let count = 0;

async function connect(name, options = {}) {
  const secure = ca ? { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key), servername: "localhost" } : {};
  const client = mqtt.connect(`${ca ? "mqtts" : "mqtt"}://127.0.0.1:${port}`, {
    ...secure, protocolVersion, clientId: `${mark}${name}`, clean: true, reconnectPeriod: 0, connectTimeout: 15000, ...options });
  clients.push(client);
  client.inbox = [];
  client.waiting = [];
  client.on("message", (topic, payload, packet) => {
    const message = { topic, text: payload.toString(), packet };
    const next = client.waiting.shift();
    next ? next(message) : client.inbox.push(message);
  });
  const [connack] = await within(once(client, "connect"), `${name} connects`);
  client.connack = connack;
  return client;
}

function within(promise, what, ms = 20000) {
  return Promise.race([promise, new Promise((_, no) => setTimeout(() => no(new Error(`not within ${ms} ms: ${what}`)), ms).unref())]);
}

function next(client) {
  if (client.inbox.length) return Promise.resolve(client.inbox.shift());
  return within(new Promise((yes) => client.waiting.push(yes)), "a message");
}

function need(condition, ...words) {
  if (!condition) throw new Error(words.join(" "));
}

async function part(what, work) {
  count += 1;
  try {
    await within(work(), "the whole of it", 60000);
  } catch (why) {
    failed += 1;
    console.log(`FAILED npm mqtt ${version}: ${what}: ${why.stack}`);
  }
}

await part("QoS 0, 1 and 2 there and back, in order", async () => {
  const a = await connect("a");
  const b = await connect("b");
  await b.subscribeAsync(`${mark}/q/#`, { qos: 2 });
  for (const qos of [0, 1, 2]) {
    for (let i = 0; i < 100; i += 10) { // this client does not heed the server's Receive Maximum, so we do
      await Promise.all(Array.from({ length: 10 }, (_, n) => a.publishAsync(`${mark}/q/${qos}`, `${i + n}`, { qos })));
    }
    for (let i = 0; i < 100; i++) {
      const m = await next(b);
      need(m.text === `${i}` && m.packet.qos === qos, `message ${i}:`, JSON.stringify(m));
    }
  }
});

await part("retained messages come, are replaced and cleared", async () => {
  const a = await connect("a2");
  await a.publishAsync(`${mark}/r`, "old", { qos: 1, retain: true });
  await a.publishAsync(`${mark}/r`, "new", { qos: 2, retain: true });
  const b = await connect("b2");
  await b.subscribeAsync(`${mark}/r`, { qos: 1 });
  const m = await next(b);
  need(m.text === "new" && m.packet.retain, JSON.stringify(m));
  await a.publishAsync(`${mark}/r`, "", { qos: 1, retain: true });
  need((await next(b)).text === "", "the clearing message is passed on");
  const c = await connect("c2");
  await c.subscribeAsync(`${mark}/r`, { qos: 1 });
  await a.publishAsync(`${mark}/r`, "live", { qos: 1 });
  need((await next(c)).text === "live", "a retained message that was cleared");
});

await part("a will is published when the connection breaks, and not after a DISCONNECT", async () => {
  const watcher = await connect("w");
  await watcher.subscribeAsync(`${mark}/will`, { qos: 1 });
  const will = { topic: `${mark}/will`, payload: Buffer.from("gone"), qos: 1, retain: false };
  const polite = await connect("polite", { will });
  await polite.endAsync();
  const dies = await connect("dies", { will: { ...will, payload: Buffer.from("dead") } });
  dies.stream.destroy();
  need((await next(watcher)).text === "dead", "the will of the one that left with a DISCONNECT");
});

await part("a session keeps its subscriptions and messages, and QoS 2 survives connections that break", async () => {
  const options = { clean: false, properties: protocolVersion === 5 ? { sessionExpiryInterval: 600 } : undefined };
  let keeper = await connect("keeper", options);
  need(!keeper.connack.sessionPresent, "a session that was there before");
  await keeper.subscribeAsync(`${mark}/k`, { qos: 2 });
  const a = await connect("a3");
  keeper.stream.destroy();
  for (let i = 0; i < 50; i++) await a.publishAsync(`${mark}/k`, `${i}`, { qos: 2 });
  keeper = await connect("keeper", options);
  need(keeper.connack.sessionPresent, "the session is gone");
  for (let i = 0; i < 50; i++) need((await next(keeper)).text === `${i}`, `message ${i}`);
});

await part("unsubscribing ends it", async () => {
  const a = await connect("a4");
  await a.subscribeAsync([`${mark}/u`, `${mark}/v`], { qos: 1 });
  await a.unsubscribeAsync(`${mark}/u`);
  await a.publishAsync(`${mark}/u`, "no", { qos: 1 });
  await a.publishAsync(`${mark}/v`, "yes", { qos: 1 });
  need((await next(a)).text === "yes", "a message after unsubscribing");
});

if (protocolVersion === 5) {
  await part("properties, subscription identifiers, aliases and request with response", async () => {
    const a = await connect("a5", { properties: { topicAliasMaximum: 5 }, autoAssignTopicAlias: true });
    const b = await connect("b5", { properties: { topicAliasMaximum: 5, receiveMaximum: 3 } });
    await b.subscribeAsync(`${mark}/p`, { qos: 1, properties: { subscriptionIdentifier: 77 } });
    await a.subscribeAsync(`${mark}/answer`, { qos: 1 });
    for (let i = 0; i < 20; i++) {
      await a.publishAsync(`${mark}/p`, `${i}`, { qos: 1, properties: {
        payloadFormatIndicator: true, messageExpiryInterval: 60, contentType: "text/plain", responseTopic: `${mark}/answer`,
        correlationData: Buffer.from([1, 2, i]), userProperties: { k: ["1", "2"] } } });
    }
    for (let i = 0; i < 20; i++) {
      const m = await next(b);
      const p = m.packet.properties;
      need(m.text === `${i}` && p.contentType === "text/plain" && p.responseTopic === `${mark}/answer`, JSON.stringify(m));
      need(p.correlationData[2] === i && p.userProperties.k.length === 2 && p.subscriptionIdentifier === 77, JSON.stringify(p));
      await b.publishAsync(p.responseTopic, `answer ${i}`, { qos: 1, properties: { correlationData: p.correlationData } });
      need((await next(a)).text === `answer ${i}`, "the response");
    }
  });

  await part("a shared subscription gives each message to one", async () => {
    const members = [await connect("s1"), await connect("s2"), await connect("s3")];
    for (const m of members) await m.subscribeAsync(`$share/g/${mark}/s`, { qos: 1 });
    const a = await connect("a6");
    for (let i = 0; i < 60; i++) await a.publishAsync(`${mark}/s`, `${i}`, { qos: 1 });
    const seen = new Set();
    const end = Date.now() + 20000;
    while (seen.size < 60 && Date.now() < end) {
      for (const m of members) for (const one of m.inbox.splice(0)) {
        need(!seen.has(one.text), "twice:", one.text);
        seen.add(one.text);
      }
      await new Promise((yes) => setImmediate(yes));
    }
    need(seen.size === 60, `${seen.size} of 60`);
  });
}

for (const client of clients) client.end(true);
console.log(`${count - failed} passed, ${failed} failed, 0 skipped`);
process.exit(failed ? 1 : 0);
