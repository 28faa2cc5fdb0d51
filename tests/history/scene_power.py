"""Power cuts of the whole site and of devices, as real processes: all of them are stopped, killed, and of what they had not
synced a part is gone. What was acknowledged is stored once; who has a certificate is known; numbers are used once."""
import hashlib
import os
import pathlib
import random
import signal
import ssl
import subprocess

import lib
import power
import registry
import scene_identity
from world import Failed, World, blamed, made_rows, need, wait_for

CALLS = "import os,sys; p=sys.argv[1]+'/a'; f=os.open(p,os.O_CREAT|os.O_RDWR); os.write(f,b'x'*2000); os.fsync(f);" \
        " d=os.open(sys.argv[1],os.O_RDONLY); os.fsync(d); os.pwrite(f,b'y'*3000,1000); os.rename(p,p+'2'); os._exit(0)"

SLOW = ((), (("spool", 30),), (("spool", 10), ("store", 60)), (("control", 50), ("/outbox/", 40)))


def calls_are_noted(world):
    """The library on a process of its own, where what a cut has to leave is known: a test of the test."""
    for seed in range(40):
        root = world.folder / f"calls-{seed}"
        root.mkdir()
        machine = power.Machine(world.folder / f"notes-{seed}", root)
        env = dict(os.environ, **world.machine.env(), **machine.env())
        subprocess.run(["/usr/bin/python3", "-S", "-c", CALLS, str(root)], check=True, env=env)
        machine.cut(random.Random(seed))
        left = os.listdir(root)
        need(left in (["a"], ["a2"]), f"the cut left {left}")
        data = (root / left[0]).read_bytes()
        need(data[:1000] == b"x" * 1000 and 2000 <= len(data) <= 4000, "the cut took what was synced")
        need(set(data[1000:2000]) <= set(b"xy") and set(data[2000:]) <= set(b"\0y"), "the cut left what was never written")
        yield left[0], data.count(b"y")


def children_of(pid):
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *children_of(child)]
    return found


def all_at_once(pids):
    """The supervisor first, so that nobody is started again or hears of an end."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass


class Site:
    """The platform as one machine."""

    name = "site"

    def __init__(self, world):
        self.world = world
        self.machine = power.Machine(world.platform.dir / "power-site", world.platform.data)
        world.platform.more_env.update(self.machine.env())

    def cut(self):
        platform = self.world.platform
        pids = [platform.process.pid, *children_of(platform.process.pid)]
        all_at_once(pids)
        platform.process.wait()
        for pid in pids:
            wait_for(lambda p=pid: lib.is_gone(p), 20, "the machine is off")
        said = self.machine.cut(self.world.random)
        self.world.log.note("site", "power cut", said=said)
        (platform.data / "up.json").unlink(missing_ok=True)
        platform.process = None
        agents, platform.others = platform.others, []  # devices have power of their own
        platform.start()
        platform.others = agents
        return said


class Device:
    """An agent on a machine of its own."""

    def __init__(self, world, name, rows, rate, gateways):
        self.world, self.name = world, name
        root = world.platform.dir / name
        self.machine = power.Machine(world.platform.dir / f"power-{name}", root)
        self.agent = world.agent(name, rows, rate, gateways, env={**world.machine.env(), **self.machine.env()})

    def cut(self):
        self.agent.kill()
        said = self.machine.cut(self.world.random)
        self.world.log.note(self.name, "power cut", said=said)
        self.agent.start()
        return said


def answers_held(world, devices):
    """What each device has stored, as the answer that it was given."""
    ops = []
    for device in devices:
        pem = (world.platform.dir / device.name / "identity.pem").read_text()
        certificate = pem[pem.index("-----BEGIN CERTIFICATE"):pem.index("-----END CERTIFICATE-----") + 25]
        shown = subprocess.run(["openssl", "x509", "-pubkey", "-serial", "-ext", "subjectAltName", "-noout"], input=certificate, text=True,
                               capture_output=True, check=True).stdout
        public = shown[shown.index("-----BEGIN"):shown.index("-----END PUBLIC KEY-----") + 24]
        key = hashlib.sha256(ssl.PEM_cert_to_DER_cert(public.replace("PUBLIC KEY", "CERTIFICATE"))).hexdigest().upper()
        op = registry.Op(device.name, "enrol", 0.0, world.log.now(), key, shown.partition("serial=")[2].split()[0])
        op.raw = ssl.PEM_cert_to_DER_cert(certificate)
        op.identity = shown.partition("/device/")[2].split()[0].rstrip(",").rpartition(":")[2]
        ops.append(op)
    return ops


def held_certificates(world, devices):
    """The registry has to hold what they hold, and no other for such a device."""
    return scene_identity.judge_registry(world, answers_held(world, devices))


def serves(stock, count):
    """After a cut the site works again by itself."""
    try:
        wait_for(lambda: len(stock.sender.acked) > count or stock.is_over(), 30, f"messages of {stock.name} are acknowledged again")
    except Failed:
        blamed.add("liveness")
        raise


def has_certificate(agent):
    return "has a certificate" in agent.log_text() or "is live" in agent.log_text()


def play(seed, long=False):
    rounds = 24 if long else 4
    with World("power", seed, relays=False, faults=True, begins=Site) as world:
        seen = set(calls_are_noted(world))
        need(len(seen) > 6, f"the cuts of 40 seeds were all alike: {seen}")
        site = world.site
        stocks = [world.stock(f"stock-{i}", made_rows(900 * rounds, 1e5 * i), 150, (f"gw-{i}", f"gw-{i % 3 + 1}")) for i in (1, 2)]
        devices = [Device(world, f"device-{i}", made_rows(60 * rounds, 1e6 * i), 10, (f"gw-{i}", "gw-3")) for i in (1, 2)]
        for device in devices:
            wait_for(lambda d=device: "is live" in d.agent.log_text(), 30, f"{device.name} is live")
        for i in range(rounds):
            acked = [len(s.sender.acked) for s in stocks]
            late = Device(world, f"late-{i}", made_rows(40, 1e7 * (i + 1)), 15, ("gw-1", "gw-2"))
            for number, stock in enumerate(stocks):
                serves(stock, acked[number] + 60)
            if world.random.random() < 0.5:  # one that just got its certificate, or is amid asking
                wait_for(lambda: has_certificate(late.agent), 60, f"{late.name} has a certificate")
            devices.append(late)
            # Where syncs take their time, more is in doubt.
            world.machine.rules(*(f"fdatasync@{part}:1:{ms}ms:forever" for part, ms in world.random.choice(SLOW)))
            world.wait(world.random.uniform(0.05, 0.4))
            running = [d for d in devices if not d.agent.is_over()]
            for one in [*world.random.sample(running, min(2, len(running))), site]:
                print(f"  {world.log.now():5.1f} s {one.name}: {one.cut()}", flush=True)
        for stock in stocks:
            stock.sender.pace_s = 0
        world.drain(bound_s=90)
        for agent in world.agents:
            need(agent.ended_well(), f"{agent.name} ended with {agent.process.poll()}: {agent.log_text()[-300:]}")
        for stock in stocks:
            need(stock.ended_well(), f"{stock.name}: {len(set(stock.sender.acked))} of {len(stock.rows)}: {stock.sender.trouble!r}")
        findings = held_certificates(world, devices)
        if findings:
            blamed.add("registry")
        world.judge(more=findings, must=("OnceApplied", "AckedIsKept", "OnlyAuthentic", "FloorMonotone", "OneIdentity", "KnownTransition",
                          "BoundedCost"), refusals=("stale-boot",))
        machines = [site.machine, *(d.machine for d in devices)]
        lost = sum(m.writes_lost for m in machines)
        need(lost > 0, "no cut took anything: nothing was shown")
        return (f"{sum(m.cuts for m in machines)} power cuts took {lost} writes and {sum(m.names_lost for m in machines)} names; "
                f"{sum(len(s.rows) for s in stocks)} messages of stock clients, {len(devices)} devices")
