#!/usr/bin/env python3
"""The gateway beside Mosquitto in the same run: QoS 1 over mutual TLS, 100 connections x window 20 x 128 bytes,
the server on one core, the publisher on the other. The gateway stores durably before each PUBACK, Mosquitto
stores nothing; NATS (where nats-server is installed) writes each message to its stream, for a session that is away, and does not
sync it. Then the gateway with syncs that do nothing, with syncs 5 ms longer, and one connection with a window of one.
Medians of three runs of three seconds. Prints the ratios that the goals are about.

Usage: gateway.py [SECONDS [RUNS]]; needs a release build (cmake --preset release) and mosquitto.
"""
import os, re, shutil, statistics, subprocess, sys, tempfile

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.environ.setdefault("HOLDFAST_BUILD", os.path.join(TOP, "build/release"))
sys.path.insert(0, os.path.join(TOP, "tests/system"))
sys.path.insert(0, os.path.join(TOP, "tests/mqtt"))
import gateway as lab
import link, servers, wire

SECONDS = sys.argv[1] if len(sys.argv) > 1 else "3"
RUNS = int(sys.argv[2]) if len(sys.argv) > 2 else 3
LOAD = f"{lab.BUILD}/bench/gateway_load"
PIN = shutil.which("taskset") is not None and os.cpu_count() > 1


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(d, port, pid, connections, window, topic, *version):
    command = (["taskset", "-c", "1"] if PIN else []) + [
        LOAD, str(port), f"{d}/root.pem", f"{d}/alpha.pem", f"{d}/alpha.key", topic, str(connections), str(window),
        "128", SECONDS, *version]
    rows = []
    for _ in range(RUNS):
        before = cpu_seconds(pid)
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        used = cpu_seconds(pid) - before
        acked, seconds, p50, p99, p999, refused = int(out[0]), float(out[1]), *map(int, out[2:])
        lab.check(refused == 0, "refused", refused)
        total = acked * (seconds + 0.5) / seconds  # the warming-up used the processor, too
        rows.append({"rate": acked / seconds, "cpu": used / total * 1e6, "p50": p50, "p99": p99, "p999": p999})
    return {k: statistics.median(r[k] for r in rows) for k in rows[0]}


def gateway(d, connections, window, env=None):
    g = lab.Gateway(d, "per_device", 1000, "segment", 64 << 20, "budget", 64 << 30, env=env,
                    wrap=["taskset", "-c", "0"] if PIN else [])
    g.wrapped = False  # taskset becomes the gateway
    try:
        return load(d, g.port, g.pid(), connections, window, f"hf/1/{lab.device_id('alpha')}/t/bench")
    finally:
        g.stop()
        shutil.rmtree(f"{d}/spool", ignore_errors=True)


def mosquitto(d, connections, window):
    with lab.socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with open(f"{d}/mosquitto.conf", "w") as f:
        f.write(f"listener {port} 127.0.0.1\ncafile {d}/issuer-chain.pem\ncertfile {d}/gateway.pem\n"
                f"keyfile {d}/gateway.key\nrequire_certificate true\nallow_anonymous true\npersistence false\n"
                f"set_tcp_nodelay true\nuser root\nlog_type none\n")
    with open(f"{d}/issuer-chain.pem", "w") as f:
        f.write(open(f"{d}/issuer.pem").read() + open(f"{d}/root.pem").read())
    p = subprocess.Popen((["taskset", "-c", "0"] if PIN else []) + ["mosquitto", "-c", f"{d}/mosquitto.conf"],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = lab.time.monotonic() + 10
        while True:
            try:
                lab.socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if lab.time.monotonic() > end or p.poll() is not None:
                    raise
                lab.time.sleep(0.02)
        return load(d, port, p.pid, connections, window, f"hf/1/{lab.device_id('alpha')}/t/bench")
    finally:
        p.terminate()
        p.wait(10)


def nats(d, connections, window):
    """Speaks 3.1.1 alone. A topic's / is a dot there, and a session with QoS 1 makes it store."""
    port, inner = servers.free_port(), servers.free_port()
    with open(f"{d}/nats.conf", "w") as f:
        f.write(f"server_name: bench\nlisten: 127.0.0.1:{inner}\njetstream {{ store_dir: \"{d}/nats\" }}\n"
                f"mqtt {{ listen: 127.0.0.1:{port}\n max_ack_pending: 1000\n"
                f"  tls {{ cert_file: \"{d}/gateway.pem\", key_file: \"{d}/gateway.key\", ca_file: \"{d}/issuer-chain.pem\", verify: true }} }}\n")
    with open(f"{d}/issuer-chain.pem", "w") as f:
        f.write(open(f"{d}/issuer.pem").read() + open(f"{d}/root.pem").read())
    p = subprocess.Popen((["taskset", "-c", "0"] if PIN else []) + ["nats-server", "-c", f"{d}/nats.conf"],
                         stdout=subprocess.DEVNULL, stderr=open(f"{d}/nats.err", "w"))
    try:
        servers.wait_for_port(port, p, lambda: open(f"{d}/nats.err").read()[-2000:])
        away = link.Link(servers.client_context(d, "beta").wrap_socket(servers.plain(port), server_hostname="localhost"), 4)
        away.send(wire.connect(4, "away", clean=False))
        away.take(wire.CONNACK)
        away.subscribe("bench/#", qos=1)
        away.drop()
        return load(d, port, p.pid, connections, window, "bench/t", "3.1.1")
    finally:
        p.terminate()
        p.wait(10)


def show(name, r):
    print(f"{name:44} {r['rate']:10,.0f}/s {r['cpu']:7.2f} us   {r['p50'] / 1e3:8.3f} {r['p99'] / 1e3:8.3f} "
          f"{r['p999'] / 1e3:8.3f} ms", flush=True)


def main():
    d = tempfile.mkdtemp(prefix="holdfast-bench-gateway-")
    lab.make_pki(d)
    slow = {"LD_PRELOAD": lab.SHIM, "HOLDFAST_FAIL": "fdatasync@spool:1:5ms:forever"}
    unsynced = {"LD_PRELOAD": lab.SHIM, "HOLDFAST_FAIL": "fdatasync@spool:1:lies:forever"}
    try:
        print(f"{'100 connections x 20 x 128 B, QoS 1, mTLS':44} {'acked':>12} {'CPU':>10}   {'p50':>8} {'p99':>8} "
              f"{'p99.9':>8}")
        ours = gateway(d, 100, 20)
        show("holdfast, durable before PUBACK", ours)
        off = gateway(d, 100, 20, env=unsynced)
        show("holdfast, syncs that do nothing", off)
        flush = gateway(d, 100, 20, env=slow)
        show("holdfast, each flush takes 5 ms longer", flush)
        peer = mosquitto(d, 100, 20) if shutil.which("mosquitto") else None
        if peer:
            show("mosquitto, nothing stored", peer)
        stored = nats(d, 100, 20) if shutil.which("nats-server") else None
        if stored:
            show("nats, written and not synced", stored)
        print("1 connection x 1 x 128 B")
        show("holdfast, durable before PUBACK", gateway(d, 1, 1))
        if peer:
            show("mosquitto, nothing stored", mosquitto(d, 1, 1))
            print(f"rate, durable : mosquitto storing nothing = {ours['rate'] / peer['rate']:.2f} (goal 2)")
        if stored:
            print(f"rate, durable : nats written = {ours['rate'] / stored['rate']:.2f} (goal 4)")
        print(f"rate, durable : syncing off = {ours['rate'] / off['rate']:.2f} (goal 0.9)")
        print(f"p99 with flushes 5 ms longer = {flush['p99'] / 5e3:.2f} flushes (goal 2.5)")
        print(f"CPU a message = {ours['cpu']:.2f} us (goal 2.5), p99 = {ours['p99'] / 1e3:.1f} ms (goal 15)")
    finally:
        shutil.rmtree(d, ignore_errors=True)


if __name__ == "__main__":
    main()
