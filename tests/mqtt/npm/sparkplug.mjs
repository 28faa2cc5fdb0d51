// Sparkplug B with sparkplug-client as the edge node and npm's mqtt as the host: births, data, commands and the death of a node
// whose connection breaks. Usage: node sparkplug.mjs PORT [CA CERTIFICATE KEY]
import { readFileSync } from "node:fs";
import { once } from "node:events";
import { createRequire } from "node:module";
import mqtt from "mqtt";

const require = createRequire(import.meta.url);
const sparkplug = require("sparkplug-client");
const payloads = createRequire(require.resolve("sparkplug-client"))("sparkplug-payload").get("spBv1.0");

const [port, ca, cert, key] = process.argv.slice(2);
const group = `G${process.pid}`;
const secure = ca ? { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key), servername: "localhost" } : {};
const url = `${ca ? "mqtts" : "mqtt"}://127.0.0.1:${port}`;
const inbox = [];
const waiting = [];

function within(promise, what) {
  return Promise.race([promise, new Promise((_, no) => setTimeout(() => no(new Error(`not within 20 s: ${what}`)), 20000).unref())]);
}

function next(what) {
  if (inbox.length) return Promise.resolve(inbox.shift());
  return within(new Promise((yes) => waiting.push(yes)), what);
}

function need(condition, ...words) {
  if (!condition) throw new Error(words.join(" "));
}

async function play() {
  const host = mqtt.connect(url, { ...secure, clientId: `${group}host`, reconnectPeriod: 0 });
  host.on("message", (topic, bytes) => {
    const message = { topic, payload: payloads.decodePayload(bytes) };
    const first = waiting.shift();
    first ? first(message) : inbox.push(message);
  });
  await within(once(host, "connect"), "the host connects");
  await host.subscribeAsync(`spBv1.0/${group}/#`, { qos: 1 });

  const node = sparkplug.newClient({ serverUrl: url, username: "u", password: "p", groupId: group, edgeNode: "N1", clientId: `${group}node`,
    version: "spBv1.0", mqttOptions: { ...secure, reconnectPeriod: 0 } });
  await within(once(node, "birth"), "the node is asked for its birth");
  const metrics = () => [{ name: "pressure", type: "Double", value: 4.25 }, { name: "open", type: "Boolean", value: true },
    { name: "count", type: "Int32", value: -7 }, { name: "state", type: "String", value: "läuft" }];
  node.publishNodeBirth({ timestamp: Date.now(), metrics: metrics() });
  node.publishDeviceBirth("D1", { timestamp: Date.now(), metrics: metrics() });
  for (let i = 0; i < 50; i++) node.publishDeviceData("D1", { timestamp: Date.now(), metrics: [{ name: "count", type: "Int32", value: i }] });
  node.publishDeviceDeath("D1", { timestamp: Date.now() });

  let m = await next("NBIRTH");
  need(m.topic === `spBv1.0/${group}/NBIRTH/N1` && m.payload.metrics.length === 5, JSON.stringify(m.topic));
  m = await next("DBIRTH");
  need(m.topic === `spBv1.0/${group}/DBIRTH/N1/D1`, m.topic);
  need(m.payload.metrics.find((x) => x.name === "state").value === "läuft", "a string metric");
  for (let i = 0; i < 50; i++) {
    m = await next("DDATA");
    need(m.topic === `spBv1.0/${group}/DDATA/N1/D1` && m.payload.metrics[0].value === i, `DDATA ${i}`, m.topic);
    need(Number(m.payload.seq) === i + 2, `seq ${m.payload.seq}`);
  }
  need((await next("DDEATH")).topic === `spBv1.0/${group}/DDEATH/N1/D1`, "DDEATH");

  const commanded = within(once(node, "ncmd"), "the node hears a command");
  await host.publishAsync(`spBv1.0/${group}/NCMD/N1`, Buffer.from(payloads.encodePayload({ timestamp: Date.now(),
    metrics: [{ name: "Node Control/Rebirth", type: "Boolean", value: true }] })), { qos: 0 });
  const [command] = await commanded;
  need(command.metrics[0].name === "Node Control/Rebirth", "the command");
  need((await next("the command, at the host")).topic.includes("NCMD"), "NCMD");

  node.client.stream.destroy(); // the node dies: its will is NDEATH
  m = await next("NDEATH");
  need(m.topic === `spBv1.0/${group}/NDEATH/N1` && m.payload.metrics[0].name === "bdSeq", m.topic);
  host.end(true);
}

try {
  await play();
  console.log("1 passed, 0 failed, 0 skipped");
  process.exit(0);
} catch (why) {
  console.log(`FAILED sparkplug-client: ${why.stack}`);
  console.log("0 passed, 1 failed, 0 skipped");
  process.exit(1);
}
