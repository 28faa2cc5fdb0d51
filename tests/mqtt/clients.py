#!/usr/bin/env python3
"""Clients that others wrote, each doing a client's real work against one server: mosquitto's tools, Eclipse Paho in C and in
Python, npm's mqtt and sparkplug-client. Usage: clients.py mosquitto | gateway [WORD]...

Over mutual TLS in both cases, so that the clients' own TLS is met, too. What is not installed is skipped aloud.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import case  # noqa: E402
import run  # noqa: E402
import servers  # noqa: E402
from link import Failed, need, need_equal  # noqa: E402

DEADLINE_S = 60
PARTS = []


class Skip(Exception):
    pass


def part(function):
    PARTS.append(function)
    return function


def command(name):
    found = shutil.which(name)
    if found is None:
        raise Skip(f"{name} is not installed")
    return found


def finish(process, what):
    try:
        out, _ = process.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate()
        raise Failed(f"{what} has not ended within {DEADLINE_S} s: {out[-2000:]}") from None
    need_equal(process.returncode, 0, f"{what}: {out[-2000:]}")
    return out


class Tools:
    """mosquitto_pub, mosquitto_sub and mosquitto_rr with what they need to reach the server."""

    def __init__(self, server, version):
        ca, certificate, key = server.tls()
        self.base = ["-h", "localhost", "-p", str(server.port), "--cafile", ca, "--cert", certificate, "--key", key,
                     "-V", {5: "5", 4: "311"}[version]]

    def start(self, name, *args, stdin=None):
        return subprocess.Popen(["stdbuf", "-oL", command(f"mosquitto_{name}"), *self.base, *args], stdin=stdin or subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)

    def run(self, name, *args):
        return finish(self.start(name, *args), f"mosquitto_{name} {' '.join(args)}")

    def subscriber(self, *args):
        """mosquitto_sub that says when it is subscribed; then its lines are messages."""
        process = self.start("sub", "-d", "-F", "message %t %q %r %p", *args)
        watchdog = threading.Timer(DEADLINE_S, process.kill)
        watchdog.start()
        for line in process.stdout:
            if line.startswith("Subscribed"):
                watchdog.cancel()
                return process
        raise Failed(f"mosquitto_sub {args} ended: {process.wait()}")


def messages(out):
    return [line.removeprefix("message ") for line in out.splitlines() if line.startswith("message ")]


@part
def mosquitto_sends_and_receives_each_qos(c):
    tools = Tools(c.server, c.version)
    for qos in "012":
        topic = c.topic(f"q{qos}")
        sub = tools.subscriber("-t", topic, "-q", qos, "-C", "200", "-i", c.client_id(f"s{qos}"))
        pub = tools.start("pub", "-t", topic, "-q", qos, "-l", "-i", c.client_id(f"p{qos}"), stdin=subprocess.PIPE)
        pub.stdin.write("".join(f"{i}\n" for i in range(200)))
        pub.stdin.close()
        pub.stdin = None
        finish(pub, "mosquitto_pub")
        need_equal(messages(finish(sub, "mosquitto_sub")), [f"{topic} {qos} 0 {i}" for i in range(200)])


@part
def mosquitto_finds_retained_messages(c):
    tools, topic = Tools(c.server, c.version), c.topic("r")
    tools.run("pub", "-t", topic, "-q", "1", "-r", "-m", "old")
    tools.run("pub", "-t", topic, "-q", "2", "-r", "-m", "kept")
    need_equal(messages(tools.run("sub", "-t", topic, "-q", "2", "-C", "1", "-F", "message %t %q %r %p")), [f"{topic} 2 1 kept"])
    tools.run("pub", "-t", topic, "-q", "1", "-r", "-n")
    sub = tools.subscriber("-t", topic, "-q", "1", "-C", "1")
    tools.run("pub", "-t", topic, "-q", "1", "-m", "live")
    need_equal(messages(finish(sub, "mosquitto_sub")), [f"{topic} 1 0 live"])


@part
def mosquittos_will_is_published_when_it_is_killed(c):
    tools, topic = Tools(c.server, c.version), c.topic("will")
    watcher = tools.subscriber("-t", topic, "-q", "1", "-C", "1")
    dies = tools.subscriber("-t", c.topic("x"), "--will-topic", topic, "--will-payload", "gone", "--will-qos", "1")
    os.kill(dies.pid, signal.SIGKILL)
    dies.wait()
    dies.stdout.close()
    need_equal(messages(finish(watcher, "mosquitto_sub")), [f"{topic} 1 0 gone"])


@part
def mosquittos_session_waits_for_it(c):
    tools, topic = Tools(c.server, c.version), c.topic("s")
    session = ["-i", c.client_id("keeper"), "-c", "-t", topic, "-q", "2"] + (["-x", "600"] if c.version == 5 else [])
    tools.run("sub", "-E", *session)
    for i in range(10):
        tools.run("pub", "-t", topic, "-q", "2", "-m", f"{i}")
    need_equal(messages(tools.run("sub", "-C", "10", "-F", "message %t %q %r %p", *session)),
               [f"{topic} 2 0 {i}" for i in range(10)])


@part
def mosquitto_shares_a_subscription(c):
    if c.version == 4:
        return
    tools, topic = Tools(c.server, c.version), c.topic("g")
    members = [tools.subscriber("-t", f"$share/g/{topic}", "-q", "1", "-i", c.client_id(f"m{i}")) for i in range(3)]
    came, lock = [], threading.Lock()

    def read(member):
        for line in member.stdout:
            if line.startswith("message "):
                with lock:
                    came.append(line.split()[-1])

    threads = [threading.Thread(target=read, args=(m,), daemon=True) for m in members]
    for t in threads:
        t.start()
    pub = tools.start("pub", "-t", topic, "-q", "1", "-l", stdin=subprocess.PIPE)
    pub.stdin.write("".join(f"{i}\n" for i in range(90)))
    pub.stdin.close()
    pub.stdin = None
    finish(pub, "mosquitto_pub")
    end = time.monotonic() + DEADLINE_S
    while len(came) < 90 and time.monotonic() < end:
        threads[0].join(0.02)
    for m in members:
        m.terminate()
        m.wait(DEADLINE_S)
    need_equal(sorted(map(int, came)), list(range(90)))


@part
def mosquitto_asks_and_is_answered(c):
    """mosquitto_rr sets a response topic and correlation data; the answer comes from a connection of the suite."""
    if c.version == 4:
        return
    tools, answerer = Tools(c.server, c.version), c.connect("answerer")
    answerer.subscribe(c.topic("ask"), qos=1)
    rr = tools.start("rr", "-t", c.topic("ask"), "-e", c.topic("answers"), "-q", "1", "-m", "question")
    p = answerer.message(c.topic("ask"), "question", 1)
    need_equal(p.props.get("response_topic"), c.topic("answers"))
    back = [("correlation_data", p.props["correlation_data"])] if "correlation_data" in p.props else []
    answerer.publish(p.props["response_topic"], "the answer", 1, props=back)
    need_equal(finish(rr, "mosquitto_rr").strip(), "the answer")


@part
def paho_in_c_does_its_work(c):
    program = next((p for p in (pathlib.Path(os.environ.get("HOLDFAST_BUILD", "none")) / "mqtt/paho_client",
                                *(servers.TOP / "build" / b / "mqtt/paho_client" for b in ("release", "sanitize"))) if p.exists()), None)
    if program is None:
        raise Skip("paho_client is not built (libpaho-mqtt-dev)")
    finish(subprocess.Popen([program, f"ssl://localhost:{c.server.port}", str(c.version), c.topic("paho"), *c.server.tls()],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True), "paho_client")


@part
def paho_in_python_does_its_work(c):
    try:
        import paho.mqtt.client as paho
    except ImportError:
        raise Skip("python3-paho-mqtt is not installed") from None
    import paho_work
    paho_work.play(paho, c)


def node(program, *args):
    folder = HERE / "npm"
    made = folder / "node_modules" / ".made-from"
    if not made.exists() or made.read_bytes() != (folder / "package-lock.json").read_bytes():
        subprocess.run([command("npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, check=True, capture_output=True)
        shutil.copy(folder / "package-lock.json", made)
    finish(subprocess.Popen([command("node"), folder / program, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True), program)


@part
def npms_mqtt_does_its_work(c):
    node("mqtt.mjs", str(c.server.port), str(c.version), *c.server.tls())


@part
def a_sparkplug_node_and_its_host_talk(c):
    if c.version == 4:  # sparkplug-client speaks 3.1.1, once is enough
        node("sparkplug.mjs", str(c.server.port), *c.server.tls())


def main():
    name, words = sys.argv[1], sys.argv[2:]
    server = {"mosquitto": servers.MosquittoTls, "gateway": servers.Gateway}[name]()
    known, used = run.known_of(f"{name}-clients"), set()
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    try:
        for function in PARTS:
            if words and not any(w in function.__name__ for w in words):
                continue
            for version in (5, 4):
                one, title = case.Case(server, version), f"{function.__name__} {run.VERSION[version]}"
                key = next((k for k in (title, function.__name__, "*") if k in known), None)
                try:
                    function(one)
                    counts["passed"] += 1
                except Skip as why:
                    print(f"skipped: {title}: {why}")
                    counts["skipped"] += 1
                except Exception as why:
                    used.add(key)
                    counts["skipped" if key else "failed"] += 1
                    print(f"skipped: {title}: {known[key]}" if key else f"FAILED {title}\n  {type(why).__name__}: {why}", flush=True)
                finally:
                    one.close()
    finally:
        server.stop()
    for key in set(known) - used if not words else ():
        print(f"FAILED {key}: is said not to work and does")
        counts["failed"] += 1
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % counts)
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
