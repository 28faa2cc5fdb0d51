#!/usr/bin/env python3
"""The whole platform on this machine: how long a fleet takes from its first handshake to active, how many rows a
second go from agents' CSV sources (sealed under their MAC, durable in the outbox, acknowledged by the gateway when
durable there) through ingest into the store, and what an agent and the roles weigh. The limits of the machine are
measured by build/release/bench/calibrate in the same run.

Usage: platform.py [DEVICES [AGENTS [ROWS]]]; needs a release build (cmake --preset release).
"""
import json
import os
import pathlib
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[1]
os.environ.setdefault("HOLDFAST_BIN", str(TOP / "build" / "release" / "bin"))
sys.path.insert(0, str(TOP / "tests" / "system"))
import lib

ENROLMENTS = 3000
DEVICES = int(sys.argv[1]) if len(sys.argv) > 1 else 500
AGENTS = int(sys.argv[2]) if len(sys.argv) > 2 else 2
ROWS = int(sys.argv[3]) if len(sys.argv) > 3 else 100000


def rss_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def stripped_kib(program, folder):
    out = folder / "stripped"
    subprocess.run(["strip", "-o", str(out), program], check=True)
    return out.stat().st_size // 1024


def calibrate():
    path = TOP / "build" / "release" / "bench" / "calibrate"
    done = subprocess.run([str(path)], capture_output=True, text=True) if path.exists() else None
    return json.loads(done.stdout) if done and done.returncode == 0 else {}


def make_rows(path):
    with open(path, "w") as out:
        out.write("time;pressure;temperature;flow;current\n")
        for i in range(ROWS):
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1750000000 + i))
            out.write(f"{at};{180 + i % 37 * 0.1:.1f};{60 + i % 11 * 0.01:.2f};{32 + i % 5};{1.2 + i % 7 * 0.003:.3f}\n")


def end_to_end(platform):
    path = platform.dir / "rows.csv"
    make_rows(path)
    for i in range(AGENTS):
        platform.cli("factory", "idevid", f"bench-{i}", "--dir", str(platform.data / "factory"), "--out", str(platform.dir / f"bench-{i}"))
    began = time.monotonic()
    gateways = [g["mqtts"] for g in platform.up()["gateways"]]
    agents = [platform.agent(f"bench-{i}", f"csv:{path},rate=0", gateways[i % len(gateways)], "--stream", "rig", "--once")
              for i in range(AGENTS)]
    first = lib.wait_for(lambda: sum(s["count"] for s in platform.series("bench-0")), 60, "first points")
    moving = time.monotonic()
    peak = 0
    while any(agent.poll() is None for agent in agents):
        peak = max([peak, *(rss_kib(a.pid) for a in agents if a.poll() is None)])
        time.sleep(0.1)  # between looks at their memory
    acknowledged = time.monotonic()
    lib.wait_for(lambda: all([s["count"] for s in platform.series(f"bench-{i}")] == [ROWS] * 4 for i in range(AGENTS)), 300, "all points")
    stored = time.monotonic()
    rows = AGENTS * ROWS - first // 4
    return {"rows_per_s": round(rows / (stored - moving)), "acknowledged_s": round(acknowledged - began, 2),
            "stored_s": round(stored - began, 2), "rows": AGENTS * ROWS, "points": 4 * AGENTS * ROWS, "agent_peak_rss_kib": peak}


def enrolments(platform):
    """Each over a connection of its own, its entry durable before the answer; the load shares the machine."""
    up = platform.up()
    done = subprocess.run([str(TOP / "build" / "release" / "bench" / "enroll_load"), up["devices_url"].rsplit(":", 1)[1], up["root"],
                           str(platform.data / "factory"), str(ENROLMENTS), "16"], capture_output=True, text=True, check=True)
    count, _, seconds, p50, p99 = done.stdout.split()
    return {"per_s": round(int(count) / float(seconds)), "p50_ms": float(p50), "p99_ms": float(p99)}


def main():
    result = {"devices": DEVICES}
    result["calibrate"] = calibrate()
    with lib.Platform(devices=DEVICES, name="bench") as platform:
        text = (platform.dir / "demo.log").read_text()
        result["fleet_up_s"] = float(text.split("connected, ")[1].split(" s")[0])
        entries = platform.sql("SELECT 1") and platform.items("/devices")
        result["active"] = sum(row["identity"] == "active" for row in entries)
        up = platform.up()
        result["rss_kib"] = {name: rss_kib(pid) for name, pid in up["pids"].items() if pid}
        result["rss_kib"].update({g["name"]: rss_kib(g["pid"]) for g in up["gateways"]})
        result["agent_stripped_kib"] = stripped_kib(platform.program("holdfast-agent"), platform.dir)
        result["holdfast_stripped_kib"] = stripped_kib(platform.program(), platform.dir)
        result["enrolments"] = enrolments(platform)
        result["end_to_end"] = end_to_end(platform)
        result["violations"] = platform.violations()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
