#!/usr/bin/env python3
"""What connections cost the gateway: full and resumed connects for each second of its processor time, user memory and
processor time of connections that do nothing, and what a storm of 3,000 clients does to the PUBACKs of devices that
are connected. Each device has a certificate of its own. The gateway runs on one core, the clients on the other.

Usage: connects.py [rates|memory|storm|many]...; needs a release build (cmake --preset release). `many` holds 50,000
connections, spread over three gateways and several source addresses, and needs 8 GiB.
"""
import os, re, shutil, statistics, subprocess, sys, tempfile, time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.environ.setdefault("HOLDFAST_BUILD", os.path.join(TOP, "build/release"))
sys.path.insert(0, os.path.join(TOP, "tests/system"))
import gateway as lab

LOAD = f"{lab.BUILD}/bench/connect_load"
PIN = shutil.which("taskset") is not None and os.cpu_count() > 1
OPEN = ("address_connects", 1000000, "address_burst", 1000000, "connections", 19000, "device_connects", 1000000)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def user_kib(pid):
    """Memory of the process itself: what it has written to."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("Anonymous:"))


def gateway(d, *options):
    g = lab.Gateway(d, *OPEN, *options, wrap=["taskset", "-c", "0"] if PIN else [])
    g.wrapped = False  # taskset becomes the gateway
    return g


def load(d, port, *arguments):
    command = (["taskset", "-c", "1"] if PIN else []) + [LOAD, str(port), d, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def figures(line):
    words = line.split()
    return {k: float(v) for k, v in zip(words[::2], words[1::2])}


def rates(d):
    print(f"{'connects: TCP, TLS, CONNECT, CONNACK':44} {'a second':>10} {'a CPU second':>14} {'CPU each':>10}")
    for mode in ("full", "resumed"):
        rows = []
        for _ in range(3):
            g = gateway(d)
            try:
                p = load(d, g.port, mode, 4, 96)
                before = cpu_seconds(g.pid())
                out = figures(p.stdout.readlines()[-1])
                used = cpu_seconds(g.pid()) - before
                lab.check(p.wait() == 0 and out["refused"] == 0, out)
                lab.check(out["resumed"] >= (0.95 * out["done"] if mode == "resumed" else 0), out)
                rows.append((out["done"] / out["seconds"], (out["done"] + 96) / used))
            finally:
                g.stop()
                shutil.rmtree(f"{d}/spool", ignore_errors=True)
        rate, core = statistics.median(r[0] for r in rows), statistics.median(r[1] for r in rows)
        print(f"{mode:44} {rate:10,.0f} {core:14,.0f} {1e6 / core:7.0f} us", flush=True)


def memory(d, count=5000):
    for mode in ("full", "resumed"):
        g = gateway(d)
        try:
            empty = user_kib(g.pid())
            p = load(d, g.port, "hold", count, *(["resumed"] if mode == "resumed" else []))
            if mode == "resumed":
                lab.check(p.stdout.readline().startswith("again"))
                end = time.monotonic() + 30
                while metric(d, "holdfast_gateway_connections") > 0:
                    lab.check(time.monotonic() < end, "the first connections do not go")
                    time.sleep(0.1)
                p.stdin.write("x")
                p.stdin.flush()
            line = p.stdout.readline()
            lab.check(line.startswith(f"held {count} "), line)
            lab.check(mode == "full" or int(line.split()[-1]) >= 0.99 * count, line)
            held = user_kib(g.pid())
            before = cpu_seconds(g.pid())
            time.sleep(5)  # the measurement itself
            idle = (cpu_seconds(g.pid()) - before) / 5
            print(f"{count:,} idle, {mode:30} {(held - empty) / count:6.1f} KiB each, CPU {100 * idle:.2f} %", flush=True)
            p.stdin.close()
            p.wait()
        finally:
            g.stop()
            shutil.rmtree(f"{d}/spool", ignore_errors=True)


def metric(d, name):
    try:
        with open(f"{d}/gateway.metrics") as f:
            return next(float(line.split()[-1]) for line in f if line.startswith(name + " "))
    except (OSError, StopIteration):
        return 1


def storm(d, count=3000):
    g = gateway(d)
    try:
        for what in ("calm", "storm"):
            steady = load(d, g.port, "steady", 6, 200, 2000)
            lab.check(steady.stdout.readline() == "ready\n")
            flood = None
            if what == "storm":
                flood = load(d, g.port, "storm", count)
                lab.check(flood.stdout.readline() == "ready\n")
                flood.stdin.write("x")
                flood.stdin.flush()
            out = figures(steady.stdout.readlines()[-1])
            steady.wait()
            print(f"{what}: 200 devices, {out['acked'] / out['seconds']:,.0f} messages/s, PUBACK p50 {out['p50'] / 1e3:.2f}, p99 "
                  f"{out['p99'] / 1e3:.2f}, max {out['max'] / 1e3:.2f} ms, lost {out['lost']:.0f}", flush=True)
            if flood:
                out = figures(flood.stdout.readlines()[-1])
                flood.wait()
                print(f"       {count:,} clients at once: all in after {out['seconds']:.2f} s, p50 {out['p50'] / 1e3:.0f}, p99 "
                      f"{out['p99'] / 1e3:.0f} ms, refused on the way {out['refused']:.0f}", flush=True)
    finally:
        g.stop()
        shutil.rmtree(f"{d}/spool", ignore_errors=True)


def many(d, each=16700, gateways=3):
    held = []
    try:
        for i in range(gateways):
            own = f"{d}/many{i}"
            shutil.copytree(d, own, ignore=shutil.ignore_patterns("many*", "spool"))
            g = gateway(own)
            empty = user_kib(g.pid())
            p = load(own, g.port, "hold", each)
            held.append((g, p, empty))
        for g, p, empty in held:
            line = p.stdout.readline()
            lab.check(line.startswith(f"held {each} "), line)
        kib = sum(user_kib(g.pid()) - empty for g, _, empty in held)
        before = [cpu_seconds(g.pid()) for g, _, _ in held]
        time.sleep(10)  # the measurement itself
        idle = sum(cpu_seconds(g.pid()) - b for (g, _, _), b in zip(held, before)) / 10
        print(f"{each * gateways:,} idle, full, {gateways} gateways {kib / each / gateways:6.1f} KiB each, CPU {100 * idle:.2f} % "
              f"together", flush=True)
    finally:
        for g, p, _ in held:
            p.stdin.close()
            p.wait()
            g.stop()


def main():
    d = tempfile.mkdtemp(prefix="holdfast-bench-connects-")
    lab.make_pki(d)
    try:
        for name in sys.argv[1:] or ("rates", "memory", "storm"):
            {"rates": rates, "memory": memory, "storm": storm, "many": many}[name](d)
    finally:
        shutil.rmtree(d, ignore_errors=True)


if __name__ == "__main__":
    main()
