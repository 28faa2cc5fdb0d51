"""Identities: many clients ask for certificates at once, answers are lost, control and keeper are killed; then a device is
cloned and another one's flash is rolled back. The registry is what one client after another would have seen, nothing has two
identities, and a copy of a device does not pass unseen."""
import base64
import hashlib
import http.client
import shutil
import ssl
import subprocess
import threading
import urllib.error

import registry
from world import World, finding, made_rows, need, unique, wait_for

BUDGET_S = 40
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Key:
    """A key pair and a request for it, made by openssl before anything begins."""

    def __init__(self, folder, name):
        self.path = folder / f"{name}.key"
        self.csr_pem = subprocess.run(["openssl", "req", "-new", *CURVE, "-keyout", str(self.path), "-subj", f"/CN={name}"],
                                      check=True, capture_output=True).stdout
        public = subprocess.run(["openssl", "pkey", "-in", str(self.path), "-pubout", "-outform", "DER"], check=True,
                                capture_output=True).stdout
        self.id = hashlib.sha256(public).hexdigest().upper()
        self.csr = b"".join(self.csr_pem.splitlines()[1:-1])


class Client:
    """A device's hardware certificate; asks with whatever key it is told to."""

    def __init__(self, world, serial):
        self.world, self.serial, self.folder = world, serial, world.platform.dir / serial
        world.platform.cli("factory", "idevid", serial, "--dir", str(world.platform.data / "factory"), "--out", str(self.folder))
        self.context = ssl.create_default_context(cafile=world.platform.up()["root"])
        self.context.load_cert_chain(str(self.folder / "idevid.pem"), str(self.folder / "idevid.key"))
        self.keys = [Key(self.folder, f"key-{i}") for i in range(4)]

    def enrol(self, key, port):
        """(outcome, what was answered)"""
        link = http.client.HTTPSConnection("localhost", port, context=self.context, timeout=3)
        try:
            link.request("POST", "/.well-known/est/simpleenroll", key.csr, {"Content-Type": "application/pkcs10"})
            answer = link.getresponse()
            body = answer.read()
            if answer.status == 200:
                return "ok", base64.b64decode(body)
            return ("refused" if answer.status < 500 else "unknown"), b""
        except (OSError, http.client.HTTPException):
            return "unknown", b""
        finally:
            link.close()


class Asking(threading.Thread):
    """One client among many, with choices of its own from the seed."""

    def __init__(self, world, number, clients, bundles, ops, until):
        super().__init__(daemon=True)
        import random
        self.random = random.Random(f"{world.seed}/{number}")
        self.world, self.clients, self.bundles, self.ops, self.until = world, clients, bundles, ops, until

    def run(self):
        while not self.until.is_set():
            client = self.random.choice(self.clients)
            kind = self.random.choice(("enrol", "enrol", "enrol", "read", "bundle"))
            op = registry.Op(client.serial, kind, self.world.log.now())
            raw = b""
            if kind == "enrol":
                key = self.random.choice(client.keys)
                op.key = key.id
                op.outcome, raw = client.enrol(key, self.world.relays["devices"].port)
            elif kind == "bundle":
                name, key = self.random.choice(self.bundles)
                op.device, op.key = name, key.id
                op.outcome, raw = self.bundle(name, key)
            else:
                op.outcome, op.generations = self.read(client.serial)
            if op.outcome != "unknown":
                op.returned = self.world.log.now()
            op.raw = raw
            self.world.log.note(op.device, kind, key=op.key[:12], outcome=op.outcome, began=round(op.invoked, 4))
            self.ops.append(op)
            self.until.wait(self.random.random() * 0.05)

    def bundle(self, name, key):
        import json
        body = json.dumps({"name": name, "csr": key.csr_pem.decode()}).encode()
        try:
            answer = self.world.platform.http("/bundles", "POST", body, {"Content-Type": "application/json"})
            pem = answer["certificate"].splitlines()
            return "ok", base64.b64decode("".join(pem[1:-1]))
        except urllib.error.HTTPError as refused:
            return ("refused" if refused.code < 500 else "unknown"), b""
        except (OSError, ValueError, http.client.HTTPException):
            return "unknown", b""

    def read(self, serial):
        try:
            return "ok", len(self.world.platform.api(f"/devices/{serial}")["certificates"])
        except urllib.error.HTTPError as refused:
            return ("ok", 0) if refused.code == 404 else ("unknown", None)
        except (OSError, ValueError, http.client.HTTPException):
            return "unknown", None


def trouble(world, seconds):
    """Answers are lost, and the two processes behind them die."""
    end = world.log.now() + seconds
    while world.log.now() < end:
        treatment = world.random.choice(("tear", "cut down", "reset", "calm", "kill control", "kill keeper"))
        relay = world.relays["devices"]
        world.log.note("devices", treatment)
        if treatment == "tear":
            relay.tear(world.random.choice((200, 2000)))
        elif treatment == "cut down":
            relay.cut("down")
        elif treatment == "reset":
            relay.reset()
        elif treatment.startswith("kill"):
            world.signal(treatment.split()[1], 9)
        world.wait(world.random.uniform(0.1, 0.5))
        relay.heal()
    for role in ("control", "keeper"):
        world.works_again(role)


def judge_registry(world, ops):
    devices = [(i, name, key) for i, name, key in world.registry("SELECT 'hf1:' || lower(hex(id)), name, hex(hardware_key) FROM devices")]
    name_of = {i: name for i, name, _ in devices}
    ders, rows = {}, []
    entries = {}
    for index, about in world.registry("SELECT idx, object FROM entries WHERE kind = 'certificate-issued' ORDER BY idx"):
        entries.setdefault(about, []).append(index)
    for device, serial, key, generation, der in world.registry(
            "SELECT 'hf1:' || lower(hex(device)), hex(serial), hex(key), generation, der FROM certificates ORDER BY device, generation"):
        ders[serial] = der
        mine = entries.get(device, [])
        need(len(mine) >= generation, f"{device} has no entry for generation {generation}")
        rows.append(registry.Row(serial, name_of[device], key, generation, mine[generation - 1]))
    for op in ops:
        if op.raw:
            op.answer = next((serial for serial, der in ders.items() if der in op.raw), "of nobody")
    asked = {op.device for op in ops}
    listed = [(d["id"], d["name"]) for d in world.platform.items("/devices")]
    history = registry.History(ops, [row for row in rows if row.device in asked], devices, listed)
    return registry.check(history)


def copies(world):
    """Two devices that run twice: one is cloned while it lives, one gets an old image back. What the platform promises today:
    a boot has one key, so the copy's hello is refused as boot-reused, and counted, as soon as both have spoken."""
    reused = lambda: world.platform.counters().get("refused.boot-reused", 0)  # noqa: E731
    state = world.platform.dir / "twin"
    twin = world.agent("twin", [], 0, source="host,period=100ms")
    wait_for(lambda: "is live" in twin.log_text(), 20, "the twin is live")
    twin.kill()
    shutil.copytree(state, world.platform.dir / "twin-copy")
    twin.start()
    wait_for(lambda: twin.log_text().count("is live") > 1, 20, "the twin is live again")
    before = reused()
    copy = world.platform.agent("twin", "host,period=100ms", twin.gateways, "--stream", "rig", devices_url=twin.devices_url,
                                state=world.platform.dir / "twin-copy")
    wait_for(lambda: reused() > before, 30, "the clone is refused as boot-reused")
    copy.kill()
    twin.kill()
    old = world.platform.dir / "rolled-image"
    rolled = world.agent("rolled", [], 0, source="host,period=100ms")
    wait_for(lambda: "is live" in rolled.log_text(), 20, "the device is live")
    rolled.kill()
    shutil.copytree(world.platform.dir / "rolled", old)
    rolled.start()
    wait_for(lambda: rolled.log_text().count("is live") > 1, 20, "the device is live again")
    rolled.kill()
    world.platform.catch_up()
    shutil.rmtree(world.platform.dir / "rolled")
    shutil.copytree(old, world.platform.dir / "rolled")
    before = reused()
    rolled.start()
    wait_for(lambda: reused() > before, 30, "the rolled-back device is refused as boot-reused")
    rolled.kill()


def play(seed, long=False):
    with World("identity", seed) as world:
        clients = [Client(world, f"many-{i}") for i in range(3)]
        bundles = [(f"bundle-{i}", Key(world.platform.dir, f"bundle-{i}-{k}")) for i in range(2) for k in range(2)]
        ops, until = [], threading.Event()
        asking = [Asking(world, i, clients, bundles, ops, until) for i in range(6)]
        for thread in asking:
            thread.start()
        trouble(world, 60 if long else 8)
        until.set()
        for thread in asking:
            thread.join(20)
        findings = judge_registry(world, ops)
        world.agents, live = [], world.agents
        need(not live, "no agents yet")
        copies(world)
        world.agents = []
        numbers = world.numbers()
        # What was refused is no use: of a boot with two keys the first that was applied is the one.
        kept = {(f"hf1:{d.hex()}", boot): key.hex() for d, boot, key in world.platform.sql("SELECT device, boot, ephemeral FROM hello")}
        numbers.refused = {use for use in numbers.names if use[0] == "boot" and kept.get((use[1], use[2])) != use[3]}
        numbers.names = [use for use in numbers.names if use[0] != "seq" or use[1] not in twins(world)]
        numbers.sealed = [use for use in numbers.sealed if use[0] not in twins(world)]
        findings += unique.check(numbers)
        if not numbers.refused:
            findings.append(finding.Finding("twin", "copy that nobody saw"))
        world.judge(must=("OneIdentity", "KnownTransition", "OnlyAuthentic", "BoundedCost"), more=findings, judge_numbers=False,
                    refusals=("stale-boot", "boot-reused", "bad-mac", "unknown-key", "no-hello"))
        outcomes = {o: sum(op.outcome == o for op in ops) for o in ("ok", "refused", "unknown")}
        return f"{len(ops)} operations {outcomes}; a clone and a rolled-back image were refused"


def twins(world):
    """The devices that ran twice: under one number there are two messages, of which at most one could be applied."""
    return {world.platform.api(f"/devices/{name}")["id"] for name in ("twin", "rolled")}
