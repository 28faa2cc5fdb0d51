#!/usr/bin/env python3
"""Two real recordings, one through an agent (MAC'd, enrolled), one through mosquitto_pub (plain JSON, a certificate of
`holdfast device bundle`): rows in = points stored, values equal, in order, exactly once. Usage: skab.py"""
import json
import shutil
import subprocess
import sys
import time

import lib
import telemetry
from lib import Failed, Platform, Script, need, wait_for

STREAM = "rig"


def stored(platform, device, names):
    """{plain name: [(unix ms, value), ...]} of all series of a device, once each has as many points as `names` says."""
    found = {}
    for series in platform.series(device):
        name = lib.plain_name(series["name"])
        need(name not in found, f"{device}: two series are called {series['name']!r}")
        found[name] = [(lib.ms_of(t), v) for t, v in platform.points(series["id"])]
    need(set(found) == set(names), f"{device}: series {sorted(found)}, not {sorted(names)}")
    return found


def counts(platform, device):
    return [series["count"] for series in platform.series(device)]


def compare(platform, device, columns, rows):
    """Each column against its series by the strict checker: all attempted, all acknowledged."""
    names = [lib.plain_name(c) for c in columns]
    found = stored(platform, device, names)
    findings = []
    for i, name in enumerate(names):
        attempted = [(at, values[i]) for at, values in rows]
        history = telemetry.History(f"{device} {columns[i]}", attempted, [at for at, _ in rows], found[name])
        findings += telemetry.check(history)
    need(not findings, "; ".join(map(str, findings[:5])))


def by_agent(platform, path):
    columns, rows = lib.read_recording(path)
    gateway = f"localhost:{platform.gateway_port('gw-1')}"
    agent = platform.agent("rig-agent", f"csv:{path},rate=0", gateway, "--stream", STREAM, "--once")
    wait_for(lambda: agent.poll() is not None, 90, "the agent has everything acknowledged")
    need(agent.returncode == 0, f"the agent ended with status {agent.returncode}")
    wait_for(lambda: counts(platform, "rig-agent") == [len(rows)] * len(columns), 30,
             f"{len(rows)} points in each of {len(columns)} series")
    compare(platform, "rig-agent", columns, rows)
    device = platform.api("/devices/rig-agent")
    need(device["gaps_missing"] == 0 and device["lost"] == 0, f"gaps: {device['gaps_missing']}, lost: {device['lost']}")


def json_line(columns, at, values):
    text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at / 1000))
    return json.dumps({"time": text, **dict(zip(columns, values))})


def by_mosquitto(platform, path):
    if shutil.which("mosquitto_pub") is None:
        return "mosquitto_pub is not installed"
    columns, rows = lib.read_recording(path)
    device, folder = platform.bundle("rig-stock")
    options = [w for line in (folder / "rig-stock.mosquitto").read_text().splitlines() if not line.startswith("#")
               for w in line.split()]
    lines = "".join(json_line(columns, at, values) + "\n" for at, values in rows)
    done = subprocess.run(["mosquitto_pub", *options, "-t", f"hf/1/{device}/j/{STREAM}", "-q", "1", "-l"],
                          input=lines, capture_output=True, text=True, timeout=60 * lib.SLOWER)
    need(done.returncode == 0, f"mosquitto_pub: status {done.returncode}: {done.stderr.strip()}")
    wait_for(lambda: counts(platform, "rig-stock") == [len(rows)] * len(columns), 60, "all rows of mosquitto_pub")
    compare(platform, "rig-stock", columns, rows)
    kinds = {series["provenance"] for series in platform.series("rig-stock")}
    need(kinds == {"gateway"}, f"provenance is {kinds}: the session alone vouches for plain JSON")


def provenance(platform):
    kinds = {series["provenance"] for series in platform.series("rig-agent")}
    need(kinds == {"device"}, f"provenance is {kinds}, not the device's own MAC")


def buckets(platform, path):
    """What a chart asks for adds up to the recording."""
    columns, rows = lib.read_recording(path)
    series = {lib.plain_name(s["name"]): s for s in platform.series("rig-agent")}
    for i, column in enumerate(columns):
        answer = platform.api("/data/buckets", series=series[lib.plain_name(column)]["id"],
                              from_=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(rows[0][0] / 1000)),
                              to=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(rows[-1][0] / 1000 + 1)), buckets=100)
        values = [v[i] for _, v in rows]
        need(sum(answer["count"]) == len(rows), f"{column}: buckets hold {sum(answer['count'])} of {len(rows)}")
        least = min(v for v in answer["min"] if v is not None)
        most = max(v for v in answer["max"] if v is not None)
        need((least, most) == (min(values), max(values)), f"{column}: {least} to {most}")


def quiet(platform):
    broken = platform.violations()
    need(not broken, f"invariants violated: {broken}")
    refused = {name: n for name, n in platform.counters().items() if name.startswith("refused.")}
    need(not refused, f"refused: {refused}")


def main():
    script = Script()
    first, is_real = lib.recording("valve1-0.csv")
    second, _ = lib.recording("valve1-6.csv")
    if not is_real:
        print(f"skipped: no SKAB recordings below {lib.SHARED}; rows made up in their shape are used")
        script.skipped += 1
    try:
        with Platform(devices=1, name="skab") as platform:
            script.run("a recording through an agent is complete, equal, in order, once", by_agent, platform, first)
            script.run("a recording through mosquitto_pub is complete, equal, in order, once", by_mosquitto, platform, second)
            script.run("points of an agent are vouched for by the device", provenance, platform)
            script.run("the buckets of a chart add up to the recording", buckets, platform, first)
            script.run("nothing was refused and no invariant was violated", quiet, platform)
            need(platform.stop() == 0, "the platform did not stop cleanly")
    except Failed as error:
        print(f"FAILED {error}")
        script.failed += 1
    script.end()


if __name__ == "__main__":
    main()
