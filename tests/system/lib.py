"""What the system tests share: the platform as real processes, its API, its store, stock MQTT in plain sockets.

Nothing here waits for time to pass: wait_for asks a condition until it holds or its deadline has come. Processes are
ended by their ids. HOLDFAST_BIN names the build (without it ./demo builds one), HOLDFAST_SHARED the folder of recordings.
"""
import contextlib
import csv
import json
import math
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "check"))
BIN = pathlib.Path(os.environ["HOLDFAST_BIN"]) if os.environ.get("HOLDFAST_BIN") else None
SHARED = pathlib.Path(os.environ.get("HOLDFAST_SHARED", TOP.parent / "shared"))
SLOWER = float(os.environ.get("HOLDFAST_TEST_SLOWER", "1"))  # multiplies deadlines, for instrumented builds


class Failed(Exception):
    pass


def wait_for(condition, deadline_s, what):
    """The condition's first true value. Exceptions of a platform that is just restarting count as not yet."""
    end = time.monotonic() + deadline_s * SLOWER
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except (OSError, urllib.error.URLError, KeyError, ValueError, sqlite3.Error) as error:
            last = error
        if time.monotonic() > end:
            raise Failed(f"not within {deadline_s:g} s: {what} (last: {last!r})")
        time.sleep(0.05)


PORT_RANGES = range(12000, 32000, 40)  # below those the kernel hands out to connections
held_ports = []


def is_port_free(port):
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port_base():
    """The first of 40 neighbouring ports that nobody listens on. They are ours as long as this process lives: it listens
    on the last of them, and whoever else looks for a range (tests/browser/demo.mjs too) asks for that one first."""
    start = os.getpid() % len(PORT_RANGES)
    for base in [*PORT_RANGES[start:], *PORT_RANGES[:start]]:
        try:
            guard = socket.create_server(("127.0.0.1", base + 39))
        except OSError:
            continue
        if all(is_port_free(port) for port in range(base, base + 16)):
            held_ports.append(guard)
            return base
        guard.close()
    raise Failed("no free ports")


def is_gone(pid):
    """Has the process ended, though nobody may have asked for its status yet? Its first thread can be a zombie while another
    one is still in a sync and holds the files."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state in "ZX" and len(os.listdir(f"/proc/{pid}/task")) <= 1
    except FileNotFoundError:
        return True


class Platform:
    """`holdfast demo` in a folder of its own. Use as a context manager."""

    def __init__(self, devices=3, name="system", env=None):
        self.more_env = env or {}  # of all its roles
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"holdfast-{name}-"))
        self.data = self.dir / "data"
        self.base = free_port_base()
        self.devices = devices
        self.process = None
        self.others = []

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.tell_logs()
            self.stop()
            raise
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None:
            self.tell_logs()
        self.stop()
        if kind is None or not os.environ.get("HOLDFAST_TEST_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)
        else:
            print(f"kept: {self.dir}")

    def start(self):
        command = [str(BIN / "holdfast"), "demo"] if BIN else [str(TOP / "demo")]
        command += ["--dir", str(self.data), "--port-base", str(self.base), "--devices", str(self.devices), "--yes"]
        self.log = open(self.dir / "demo.log", "ab")
        env = dict(os.environ, **self.more_env)
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, env=env)
        wait_for(lambda: self.ended() or (self.data / "up.json").exists(), 240 if BIN else 900, "up.json")
        if self.ended():
            raise Failed(f"the platform ended with status {self.process.returncode}")
        return self

    def ended(self):
        return self.process.poll() is not None

    def stop(self):
        for other in self.others:
            if other.poll() is None:
                other.kill()
                other.wait()
        self.others = []
        if self.process is None:
            return None
        if not self.ended():
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30 * SLOWER)
            except subprocess.TimeoutExpired:
                self.kill_children()
                self.process.kill()
                self.process.wait()
        status = self.process.returncode
        self.process = None
        return status

    def kill_children(self):
        up = self.up()
        for pid in [*up["pids"].values(), *(g["pid"] for g in up["gateways"])]:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def tell_logs(self):
        for path in [self.dir / "demo.log", *sorted((self.data / "log").glob("*.log"))]:
            with contextlib.suppress(OSError):
                lines = path.read_text(errors="replace").splitlines()[-12:]
                if lines:
                    print(f"--- {path.name}")
                    print("\n".join(f"    {line[:300]}" for line in lines))

    # ---- what it says of itself ----

    def up(self):
        return json.loads((self.data / "up.json").read_text())

    def env(self):
        """The variables that `source DIR/env` would set."""
        done = subprocess.run(["bash", "-c", f"set -a; . '{self.data}/env' >/dev/null; env -0"], capture_output=True, check=True)
        return dict(item.split("=", 1) for item in done.stdout.decode().split("\0") if "=" in item)

    def token(self):
        env = self.env()
        return env.get("HOLDFAST_TOKEN") or pathlib.Path(env["HOLDFAST_TOKEN_FILE"]).read_text().strip()

    def program(self, name="holdfast"):
        return str(pathlib.Path(self.up()["bin"]) / name)

    def cli(self, *args, check=True):
        done = subprocess.run([self.program(), *args], capture_output=True, text=True, env=self.env(), timeout=60 * SLOWER)
        if check and done.returncode != 0:
            raise Failed(f"holdfast {' '.join(args)}: status {done.returncode}: {done.stderr.strip()}")
        return done

    def http(self, path, method="GET", body=None, headers=None, token=True):
        request = urllib.request.Request(self.up()["api"] + path, data=body, method=method, headers=headers or {})
        if token:
            request.add_header("Authorization", f"Bearer {self.token_kept()}")
        with urllib.request.urlopen(request, timeout=20 * SLOWER) as answer:
            return json.loads(answer.read())

    def token_kept(self):
        if not hasattr(self, "_token"):
            self._token = self.token()
        return self._token

    def api(self, path, **query):
        text = urllib.parse.urlencode({key.rstrip("_"): value for key, value in query.items() if value is not None})
        return self.http(path + ("?" + text if text else ""))

    def items(self, path, **query):
        """All pages of a list."""
        found, cursor = [], None
        while True:
            page = self.api(path, cursor=cursor, **query)
            found += page["items"]
            cursor = page.get("next")
            if not cursor:
                return found

    def series(self, device):
        return self.items("/data/series", device=device)

    def points(self, series_id):
        return [(p["time"], p["value"]) for p in self.items("/data/points", series=series_id, limit=1000)]

    def metrics(self):
        """{name{labels}: number} of /metrics."""
        with urllib.request.urlopen(self.up()["metrics"], timeout=20 * SLOWER) as answer:
            text = answer.read().decode()
        found = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
        return found

    # ---- its store, as another process sees it ----

    def sql(self, query, *args):
        path = self.data / "store" / "store.db"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
            return db.execute(query, args).fetchall()

    def counters(self):
        return dict(self.sql("SELECT name, value FROM counter"))

    def applied(self, gateway):
        """The position behind the last record of the gateway's spool that is in the store."""
        rows = self.sql("SELECT position FROM source WHERE name = ?", gateway)
        return rows[0][0] if rows else 0

    def catch_up(self):
        """Returns when all that is durable in the spools now is in the store."""
        for gateway in self.up()["gateways"]:
            mark = (self.data / "gateway" / gateway["name"] / "spool" / "mark").read_bytes()
            end = struct.unpack(">Q", mark[4:12])[0]
            wait_for(lambda: self.applied(gateway["name"]) >= end, 30, f"ingest is at {end} of {gateway['name']}")

    def violations(self):
        return {name: value for name, value in self.metrics().items() if "violations_total" in name and value > 0}

    # ---- its processes ----

    def pid(self, role):
        up = self.up()
        for gateway in up["gateways"]:
            if gateway["name"] == role:
                return gateway["pid"]
        return up["pids"][role]

    def gateway_port(self, name=None):
        for gateway in self.up()["gateways"]:
            if name is None or gateway["name"] == name:
                return int(gateway["mqtts"].rpartition(":")[2])
        raise KeyError(name)

    def answers(self, role):
        """Does the role do its work again?"""
        if role == "control":
            return self.api("/status")["v"] == 1
        if role.startswith("gw-"):
            socket.create_connection(("127.0.0.1", self.gateway_port(role)), timeout=2).close()
        return True

    def kill9(self, role):
        """Kills the role and waits until the supervisor has put another in its place."""
        old = wait_for(lambda: self.pid(role), 60, f"{role} runs")
        os.kill(old, signal.SIGKILL)
        wait_for(lambda: self.pid(role) not in (0, old) and self.answers(role), 60, f"{role} is started again")

    # ---- devices ----

    def bundle(self, name, gateway="gw-1"):
        """Key and certificate of a stock client; (id, folder)."""
        out = self.dir / name
        gateway = f"localhost:{self.gateway_port(gateway)}"
        text = self.cli("device", "bundle", name, "--for", "mosquitto", "--out", str(out), "--gateway", gateway, "--json").stdout
        return json.loads(text)["id"], out

    def agent(self, name, source, gateways, *more, env=None, devices_url=None, state=None, prefix=(), **how):
        """A holdfast-agent with an IDevID of the demo's factory, in a folder of its own."""
        state = state or self.dir / name
        if not (state / "idevid.pem").exists():
            self.cli("factory", "idevid", name, "--dir", str(self.data / "factory"), "--out", str(state))
        up = self.up()
        command = [*prefix, self.program("holdfast-agent"), "--state", str(state), "--idevid", str(state / "idevid.pem"),
                   "--idevid-key", str(state / "idevid.key"), "--root", up["root"], "--devices-url", devices_url or up["devices_url"],
                   "--gateway", gateways, "--source", source, "--outbox", "journal", *more]
        log = open(self.dir / f"{name}.log", "ab")
        how.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ, **(env or {})), **how)
        self.others.append(process)
        return process


# ---- MQTT 5, as little of it as a test needs ----

CONNECT, CONNACK, PUBLISH, PUBACK, DISCONNECT = 1, 2, 3, 4, 14


def mqtt_text(text):
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack(">H", len(raw)) + raw


def mqtt_varint(value):
    out = b""
    while True:
        value, low = divmod(value, 128)
        out += bytes([low | (128 if value else 0)])
        if not value:
            return out


def mqtt_packet(kind, flags, body):
    return bytes([kind << 4 | flags]) + mqtt_varint(len(body)) + body


def mqtt_connect(client_id, keep_alive=60):
    return mqtt_packet(CONNECT, 0, mqtt_text("MQTT") + bytes([5, 2]) + struct.pack(">H", keep_alive) + b"\0" + mqtt_text(client_id))


def mqtt_publish(topic, payload, packet_id, dup=False):
    return mqtt_packet(PUBLISH, 2 | (8 if dup else 0), mqtt_text(topic) + struct.pack(">H", packet_id) + b"\0" + payload)


class Mqtt:
    """One connection. Its methods raise OSError when the link is gone."""

    def __init__(self, port, folder, name, connect=True, keep_alive=60, timeout=10):
        context = ssl.create_default_context(cafile=str(folder / "root.pem"))
        context.load_cert_chain(str(folder / f"{name}.pem"), str(folder / f"{name}.key"))
        raw = socket.create_connection(("localhost", port), timeout=timeout * SLOWER)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = context.wrap_socket(raw, server_hostname="localhost")
        self.bytes = b""
        self.receive_maximum = 16
        if connect:
            self.send(mqtt_connect(name, keep_alive))
            kind, _, body = self.receive()
            if kind != CONNACK or body[1] != 0:
                raise OSError(f"refused: packet {kind}, {body.hex()}")
            self.receive_maximum = self.maximum_of(body)

    @staticmethod
    def maximum_of(connack):
        """Receive Maximum of a CONNACK; where another property comes first, a window that is surely allowed."""
        at = connack.find(b"\x21", 2)
        return struct.unpack(">H", connack[at + 1:at + 3])[0] if at == 3 else 16

    def send(self, data):
        self.sock.settimeout(20 * SLOWER)
        self.sock.sendall(data)

    def receive(self, timeout=None):
        """(type, flags, body) of the next packet; None after `timeout` seconds."""
        self.sock.settimeout(timeout if timeout is not None else 20 * SLOWER)
        while True:
            packet = self.take()
            if packet:
                return packet
            try:
                more = self.sock.recv(65536)
            except (socket.timeout, ssl.SSLWantReadError):
                if timeout is None:
                    raise
                return None
            if not more:
                raise OSError("closed by the peer")
            self.bytes += more

    def take(self):
        length = shift = 0
        for i in range(1, min(len(self.bytes), 5)):
            length |= (self.bytes[i] & 127) << shift
            shift += 7
            if not self.bytes[i] & 128:
                if len(self.bytes) < 1 + i + length:
                    return None
                head, body = self.bytes[0], self.bytes[1 + i:1 + i + length]
                self.bytes = self.bytes[1 + i + length:]
                return head >> 4, head & 15, body
        return None

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.close()


class Sender(threading.Thread):
    """Publishes (key, topic, payload) in order with QoS 1, through every loss of the link, until all are acknowledged.
    `acked` holds the keys whose PUBACK came, in the order in which it came; `ports` are taken in turn, `tell` hears of
    each attempt and acknowledgement; a link that gives no answer for `patience_s` is given up."""

    def __init__(self, port, folder, name, messages, pace_s=0.0, ports=(), tell=None, keep_alive=60, patience_s=20,
                 begin=None):
        super().__init__(daemon=True)
        self.ports, self.folder, self.client = list(ports) or [port], folder, name
        self.tell = tell or (lambda what, key: None)
        self.keep_alive, self.patience_s, self.begin = keep_alive, patience_s, begin
        self.messages = messages
        self.pace_s = pace_s
        self.attempted = 0
        self.acked = []
        self.refused = []
        self.done = set()  # numbers of the messages that were answered
        self.connections = 0
        self.stopped = False
        self.trouble = None

    def run(self):
        if self.begin:
            self.begin()  # in the sender's own thread
        waiting = list(range(len(self.messages)))
        tries = 0
        while waiting and not self.stopped:
            link = None
            try:
                port = self.ports[tries % len(self.ports)]
                tries += 1
                link = Mqtt(port, self.folder, self.client, keep_alive=self.keep_alive, timeout=min(10, self.patience_s))
                self.connections += 1
                waiting = self.over(link, waiting)
            except (OSError, ssl.SSLError) as error:
                self.trouble = error
                waiting = [i for i in waiting if i not in self.done]
                time.sleep(0.02)
            finally:
                if link:
                    link.close()

    def over(self, link, waiting):
        ids = {}
        queue = [i for i in waiting if i not in self.done]
        next_id = 1
        while (queue or ids) and not self.stopped:
            if queue and len(ids) < link.receive_maximum:
                i = queue.pop(0)
                self.attempted = max(self.attempted, i + 1)
                ids[next_id] = i
                self.tell("attempt", self.messages[i][0])
                link.send(mqtt_publish(self.messages[i][1], self.messages[i][2], next_id))
                next_id = next_id % 65535 + 1
                if self.pace_s:
                    time.sleep(self.pace_s)
            is_full = not queue or len(ids) >= link.receive_maximum
            packet = link.receive(timeout=self.patience_s * SLOWER if is_full else 0.001)
            if packet is None and is_full:
                raise OSError("no answer")
            if packet and packet[0] == PUBACK:
                self.note(ids, packet[2])
            elif packet and packet[0] == DISCONNECT:
                raise OSError(f"disconnected: {packet[2].hex()}")
        return queue

    def note(self, ids, body):
        i = ids.pop(struct.unpack(">H", body[:2])[0], None)
        reason = body[2] if len(body) > 2 else 0
        if i is None:
            return
        self.done.add(i)
        self.tell("ack" if reason < 0x80 else "refused", self.messages[i][0])
        (self.acked if reason < 0x80 else self.refused).append(self.messages[i][0])


# ---- recordings ----

def recording(name, rows=None):
    """(path, is_real): a recording of SKAB, or one made up in its shape where the folder is absent."""
    path = SHARED / "data" / "skab" / name
    if path.exists():
        return path, True
    made = pathlib.Path(tempfile.gettempdir()) / f"holdfast-made-{os.getpid()}-{name}"
    if not made.exists():
        with open(made, "w", newline="") as out:
            out.write("datetime;Accelerometer1RMS;Current;Pressure;Temperature;Volume Flow RateRMS\n")
            for i in range(rows or 1100):
                at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(1583748873 + i))
                out.write(f"{at};{math.sin(i / 7) / 31:.7f};{1 + math.cos(i / 11):.5f};{(i % 9) * 0.327927:.6f};"
                          f"{79 + i / 600:.4f};{32 + i % 3}\n")
    return made, False


def read_recording(path):
    """(names, [(unix ms, [value, ...]), ...]) of a semicolon-separated file with a time column."""
    with open(path, newline="") as file:
        reader = csv.reader(file, delimiter=";")
        names = next(reader)[1:]
        rows = []
        for row in reader:
            at = time.strptime(row[0], "%Y-%m-%d %H:%M:%S")
            rows.append((calendar_ms(at), [float(v) for v in row[1:]]))
    return names, rows


def calendar_ms(at):
    import calendar
    return calendar.timegm(at) * 1000


def ms_of(rfc3339):
    """Milliseconds of 2026-11-23T14:03:41.322Z, or a number as it is."""
    if isinstance(rfc3339, (int, float)):
        return int(rfc3339)
    whole, _, fraction = rfc3339.rstrip("Z").partition(".")
    return calendar_ms(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + int((fraction + "000")[:3])


def plain_name(name):
    """Letters and digits alone: names of columns lose their blanks on the way into SenML."""
    return "".join(c for c in name.lower() if c.isalnum())


# ---- a script of checks ----

class Script:
    """Runs the functions given to it, each a test named by its doc string; prints the counts last."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def run(self, name, function, *args):
        began = time.monotonic()
        try:
            skip = function(*args)
        except Exception as error:
            self.failed += 1
            print(f"FAILED {name}: {error}")
            if not isinstance(error, Failed):
                traceback.print_exc()
            return False
        if skip:
            self.skipped += 1
            print(f"skipped: {name}: {skip}")
        else:
            self.passed += 1
            print(f"ok {name} ({time.monotonic() - began:.1f} s)", flush=True)
        return True

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        sys.exit(1 if self.failed else 0)


def need(holds, what):
    if not holds:
        raise Failed(what)
