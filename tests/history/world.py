"""What a history is played in: the real platform, relays before each of its doors, devices that say what they attempt, and a
log on the true time of one observer. A scene (scene_*.py) brings the trouble; everything here is the same for all.

    seed -> Random(seed): the only source of choices. What the machine's own scheduling adds is not in our hands; the log
    holds what really happened, in order, and is kept where a check fails.
"""
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests" / "system"), str(TOP / "tests" / "check")]
import finding  # noqa: E402
import invariants  # noqa: E402
import lib  # noqa: E402
import liveness  # noqa: E402
import spool  # noqa: E402
import telemetry  # noqa: E402
import unique  # noqa: E402
from faults import Faults  # noqa: E402
from lib import Failed, Platform, need, wait_for  # noqa: E402,F401
from relay import Relay  # noqa: E402

COLUMNS = ["pressure", "flow"]
FIRST_MS = 1_700_000_000_000  # of made-up rows; one a second
WATCHED_S = 1.0  # between two looks at metrics and memory
GATEWAYS = ("gw-1", "gw-2", "gw-3")
ROLES = (*GATEWAYS, "ingest", "control", "keeper")


blamed = set()  # the checkers that found something in this process


class Log:
    """A line of JSON for all that happens: t in seconds of CLOCK_MONOTONIC since the beginning, who, what."""

    def __init__(self, path):
        self.path = path
        self.began = time.monotonic()
        self._file = open(path, "w")
        self._lock = threading.Lock()

    def now(self):
        return time.monotonic() - self.began

    def note(self, who, what, **more):
        with self._lock:
            if not self._file.closed:
                self._file.write(json.dumps({"t": round(self.now(), 4), "who": who, "what": what, **more}) + "\n")

    def close(self):
        with self._lock:
            self._file.close()

    def read(self):
        with self._lock:
            self._file.flush()
        with open(self.path) as file:
            return [json.loads(line) for line in file]


def made_rows(count, salt):
    """[(unix ms, [values])]: no value twice, so that a row stored in a wrong place shows."""
    return [(FIRST_MS + 1000 * i, [salt + i / 8, -salt - i / 16]) for i in range(count)]


def write_recording(path, rows):
    with open(path, "w") as out:
        out.write("datetime;" + ";".join(COLUMNS) + "\n")
        for at, values in rows:
            out.write(time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at / 1000)) + ";" + ";".join(map(repr, values)) + "\n")


class Agent:
    """A holdfast-agent that replays a recording; killed and started again as a scene likes. Its folder survives."""

    def __init__(self, world, name, rows, rate, ports, devices_url, *options, env=None, source=None):
        self.world, self.name, self.rows, self.options, self.env = world, name, rows, options, env
        path = world.platform.dir / f"{name}.csv"
        write_recording(path, rows)
        self.source = source or f"csv:{path},rate={rate}"
        self.gateways = ",".join(f"localhost:{port}" for port in ports)
        self.devices_url = devices_url
        self.process = None
        self.starts = 0

    def start(self):
        self.starts += 1
        once = () if self.source.startswith("host") else ("--once",)
        self.process = self.world.platform.agent(self.name, self.source, self.gateways, "--stream", "rig", *once, *self.options,
                                                 env=self.env, devices_url=self.devices_url, prefix=self.world.far)
        self.world.log.note(self.name, "start", pid=self.process.pid)
        return self

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            self.world.log.note(self.name, "killed")

    def signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def is_over(self):
        return self.process.poll() is not None

    def ended_well(self):
        return self.process.poll() == 0

    def log_text(self):
        return (self.world.platform.dir / f"{self.name}.log").read_text(errors="replace")


class Stock:
    """mosquitto's protocol, spoken here: it knows of every message when it was attempted and when acknowledged."""

    def __init__(self, world, name, rows, rate, ports, ballast=0, **how):
        self.world, self.name, self.rows, self.ballast = world, name, rows, " " * ballast
        self.device, folder = world.platform.bundle(name)
        messages = [(at, f"hf/1/{self.device}/j/rig", self.line(at, values)) for at, values in rows]
        self.sender = lib.Sender(0, folder, name, messages, pace_s=1 / rate, ports=ports, patience_s=5,
                                 tell=lambda what, key: world.log.note(name, what, key=key), **how)

    def line(self, at, values):
        """Ballast is blanks behind the object: it makes spools fill faster, and changes no point."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at / 1000))
        return (json.dumps({"time": stamp, **dict(zip(COLUMNS, values))}) + self.ballast).encode()

    def start(self):
        self.sender.start()
        return self

    def is_over(self):
        return not self.sender.is_alive()

    def ended_well(self):
        return self.is_over() and len(set(self.sender.acked)) == len(self.rows)


class World:
    """Use as a context manager. A failed check keeps the folder's log and prints where it is."""

    def __init__(self, name, seed, relays=True, faults=False, devices=1, begins=None):
        self.name, self.seed = name, seed
        self.random = random.Random(f"{name}/{seed}")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"holdfast-history-{name}-"))
        self.log = Log(self.folder / "history.jsonl")
        self.machine = Faults(self.folder) if faults else None
        self.platform = Platform(devices=devices, name=f"history-{name}", env=self.machine.env() if faults else None)
        self.wants_relays = relays
        self.wire = None
        self.far = ()  # what the command of a device begins with
        self.site = begins(self) if begins else None  # what must be there before the platform is
        self.relays, self.agents, self.stocks = {}, [], []
        self.samples, self.memory, self.drains, self.outages = [], [], [], []
        self.agents_memory = []
        self._over = threading.Event()

    def __enter__(self):
        self.log.note("history", "begin", scene=self.name, seed=self.seed)
        self.platform.__enter__()
        up = self.platform.up()
        if self.wants_relays:
            for i, gateway in enumerate(GATEWAYS):
                self.relays[gateway] = Relay("127.0.0.1", self.platform.gateway_port(gateway), seed=self.seed + i)
            self.relays["devices"] = Relay("127.0.0.1", int(up["devices_url"].rpartition(":")[2]), seed=self.seed + 9)
        self.look()  # before anything is killed
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def __exit__(self, kind, error, trace):
        self._over.set()
        self._watcher.join(10)
        for stock in self.stocks:
            stock.sender.stopped = True
        for relay in self.relays.values():
            relay.close()
        if self.wire:
            self.wire.close()
        self.log.note("history", "end", trouble=None if kind is None else str(error))
        self.platform.__exit__(kind, error, trace)
        self.log.close()
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print(f"kept: {self.log.path}")

    # ---- actors ----

    def ports(self, *gateways):
        return [self.relays[g].port if self.relays else self.platform.gateway_port(g) for g in gateways or GATEWAYS]

    def devices_url(self):
        return f"https://localhost:{self.relays['devices'].port}" if self.relays else self.platform.up()["devices_url"]

    def agent(self, name, rows, rate, gateways=(), *options, **how):
        agent = Agent(self, name, rows, rate, self.ports(*gateways), self.devices_url(), *options, **how)
        self.agents.append(agent)
        return agent.start()

    def stock(self, name, rows, rate, gateways=(), **how):
        stock = Stock(self, name, rows, rate, self.ports(*gateways), **how)
        self.stocks.append(stock)
        return stock.start()

    # ---- faults on processes; each leaves its line in the log ----

    def signal(self, role, number):
        pid = self.platform.pid(role)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                self.log.note(role, signal.Signals(number).name, pid=pid)
        return pid

    @contextlib.contextmanager
    def paused(self, role):
        pid = self.signal(role, signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
                self.log.note(role, "SIGCONT", pid=pid)

    def works_again(self, role, bound_s=30):
        began = self.log.now()
        wait_for(lambda: self.platform.pid(role) and self.platform.answers(role), bound_s, f"{role} works")
        self.drains.append((role, "works again", began, self.log.now(), bound_s))

    def wait(self, seconds):
        """Time that the schedule asks for: the fault lasts so long. Nothing is concluded from it."""
        self._over.wait(seconds)

    # ---- watching ----

    def _watch(self):
        while not self._over.wait(WATCHED_S):
            self.look()

    def look(self):
        """Takes the metrics of every role as it wrote them, and the memory of its process."""
        for path in (self.platform.data / "run").glob("*.metrics"):
            with contextlib.suppress(OSError):
                self.samples.append((path.stem, path.read_text()))
        with contextlib.suppress(OSError):
            self.samples.append(("sum", self.metrics_text(2)))  # control's own counters are in its sum alone
        with contextlib.suppress(OSError, KeyError, ValueError):
            up = self.platform.up()
            for role, pid in [*up["pids"].items(), *((g["name"], g["pid"]) for g in up["gateways"])]:
                with contextlib.suppress(OSError):
                    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
                    self.memory.append((f"{role} {pid}", self.log.now(), pages * 4))
        for agent in [] if lib.SLOWER > 1 else [a for a in self.agents if a.process]:  # sanitizers have memory of their own
            with contextlib.suppress(OSError, IndexError):  # one that is gone has none
                status = pathlib.Path(f"/proc/{agent.process.pid}/status").read_text()
                self.agents_memory.append((agent.name, self.log.now(), int(status.split("RssAnon:")[1].split()[0])))

    # ---- after the healing ----

    def heal(self):
        for relay in self.relays.values():
            relay.heal()
        if self.machine:
            self.machine.rules()
            self.machine.clock()
        self.log.note("history", "healed")
        return self.log.now()

    def drain(self, bound_s=60):
        """Heals, and waits until everything that was attempted is acknowledged, and what is durable is in the store."""
        healed = self.heal()
        for actor in [*self.agents, *self.stocks]:
            end = None
            with contextlib.suppress(Failed):
                wait_for(actor.is_over, bound_s, f"{actor.name} is done")
                end = self.log.now()
            self.drains.append((actor.name, "everything is acknowledged", healed, end, bound_s * lib.SLOWER))
        self.platform.catch_up()
        self.drains.append(("ingest", "what is durable is stored", healed, self.log.now(), 2 * bound_s * lib.SLOWER))

    def stored(self, device):
        """{plain name: [(ms, value)]} as the API tells it."""
        found = {}
        for series in self.platform.series(device):
            found.setdefault(lib.plain_name(series["name"]), []).extend(
                (lib.ms_of(t), v) for t, v in self.platform.points(series["id"]))
        return found

    # ---- judging ----

    def telemetry_findings(self):
        findings = []
        for actor in [*self.agents, *self.stocks]:
            if not actor.rows:
                continue
            is_stock = isinstance(actor, Stock)
            if is_stock:
                attempted, acked = actor.rows[:actor.sender.attempted], set(actor.sender.acked)
            else:
                attempted, acked = actor.rows, {at for at, _ in actor.rows} if actor.ended_well() else set()
            found = self.stored(actor.name)
            for i, column in enumerate(COLUMNS):
                history = telemetry.History(f"{actor.name} {column}", [(at, v[i]) for at, v in attempted],
                                            [at for at, _ in attempted if at in acked], found.get(column, []))
                findings += telemetry.check(history)
        return findings

    def numbers(self):
        """All that the gateways hold, as a history of numbers."""
        import cbor2
        history = unique.History()
        for gateway in GATEWAYS:
            for record in spool.records(self.platform.data / "gateway" / gateway / "spool", self.build()):
                if record.kind != spool.PUBLISHED or b"/j/" in record.topic:
                    continue
                device = record.device_text()
                message = cbor2.loads(record.payload).value
                if record.is_hello():
                    claims = cbor2.loads(message[2])
                    history.names.append(("boot", device, claims[1], claims[3].hex()))
                elif record.is_telemetry():
                    header = cbor2.loads(message[0])
                    boot, seq = header[-70001], header[-70002]
                    history.names.append(("seq", device, seq, record.payload.hex()))
                    history.sealed.append((device, boot, seq))
        for serial, der in self.registry("SELECT hex(serial), hex(der) FROM certificates"):
            history.names.append(("serial", "", serial, der))
        for identity, key in self.registry("SELECT hex(id), hex(hardware_key) FROM devices"):
            history.names += [("id", "", identity, key), ("hardware", "", key, identity)]
        return history

    def registry(self, query, *args):
        import sqlite3
        path = self.platform.data / "control" / "registry.db"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
            return db.execute(query, args).fetchall()

    def build(self):
        return os.path.dirname(self.platform.up()["bin"].rstrip("/"))

    def judge(self, must=("OnceApplied", "AckedIsKept", "OnlyAuthentic", "BoundedCost"), refusals=(), more=(), judge_numbers=True):
        """Every checker on this history; raises Failed with what they found. `refusals`: reasons that the scene explains."""
        self.look()
        said = {
            "scene": list(more),
            "telemetry": self.telemetry_findings(),
            "unique": unique.check(self.numbers()) if judge_numbers else [],
            "liveness": liveness.check(liveness.History(self.drains, self.outages, self.memory, self.agents_memory)),
            "invariants": invariants.check(invariants.History(self.samples, must)),
        }
        blamed.update(name for name, found in said.items() if found)
        findings = [found for each in said.values() for found in each]
        refused = {n: v for n, v in self.platform.counters().items() if n.startswith("refused.") and n[8:] not in refusals}
        if refused:
            findings.append(finding.Finding("ingest", "refused although nobody was hostile", example=refused))
        for found in findings:
            self.log.note("checker", str(found))
        need(not findings, "; ".join(map(str, findings[:6])))

    def metrics_text(self, timeout_s=20):
        with urllib.request.urlopen(self.platform.up()["metrics"], timeout=timeout_s * lib.SLOWER) as answer:
            return answer.read().decode()
