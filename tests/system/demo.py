#!/usr/bin/env python3
"""The demo as a new user meets it: every line of the README's transcript, the command line's words and exit statuses,
no port beyond loopback, a clean stop, and a second start that goes on where the first was."""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import lib
from lib import need

DEVICES = 6


def transcript():
    block = re.search(r"<!-- transcript:.*?-->\n```\n(.*?)```", (lib.TOP / "README.md").read_text(), re.S)
    return [line[2:] for line in block.group(1).splitlines() if line.startswith("$ ")]


def readme_runs(platform):
    lines = transcript()
    need(len(lines) >= 5, "the README has a transcript")
    for line in lines:
        done = subprocess.run(["bash", "-c", f"set -e; . '{platform.data}/env'; {line}"], capture_output=True, text=True, timeout=60)
        need(done.returncode == 0, f"{line}: status {done.returncode}: {done.stderr.strip()}")
        need(done.stdout.strip() != "", f"{line}: says something on stdout")


def up_json(platform):
    up = platform.up()
    for key in ("v", "version", "dir", "bin", "console", "api", "metrics", "devices_url", "gateways", "pids", "root", "manufacturer",
                "env", "devices"):
        need(key in up, f"up.json has {key}")
    need(up["console"] == f"http://localhost:{platform.base}", up["console"])
    need(up["devices_url"] == f"https://localhost:{platform.base + 1}", up["devices_url"])
    need(up["metrics"] == f"http://localhost:{platform.base + 4}/metrics", up["metrics"])
    need(up["gateways"][0]["mqtts"] == f"localhost:{platform.base + 10}", str(up["gateways"]))
    need(len(up["devices"]) == DEVICES and up["devices"][0] == "press-001", str(up["devices"]))
    for pid in [*up["pids"].values(), *(g["pid"] for g in up["gateways"])]:
        os.kill(pid, 0)
    need(pathlib.Path(up["root"]).read_text().startswith("-----BEGIN"), "the root is there")


def loopback_only(platform):
    pids = set(map(str, [*platform.up()["pids"].values(), *(g["pid"] for g in platform.up()["gateways"])]))
    found = subprocess.run(["ss", "-Htlnp"], capture_output=True, text=True).stdout
    ours = [line for line in found.splitlines() if any(f"pid={pid}," in line for pid in pids)]
    need(ours, "the demo listens somewhere")
    for line in ours:
        address = line.split()[3]
        need(address.startswith(("127.0.0.1:", "[::1]:")), f"listens on {address}")


def rights_given_up(platform):
    """Where the kernel has the means and the build keeps nothing for its sanitizers: no new privileges, a filter, no call refused."""
    up = platform.up()
    pids = {**{name: up["pids"][name] for name in ("keeper", "control", "ingest")}, **{g["name"]: g["pid"] for g in up["gateways"]}}
    if "sanitize" in platform.program():
        return "a build with sanitizers keeps its rights"
    for name, pid in pids.items():
        status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
        need(status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", f"{name}: {status['NoNewPrivs']} {status['Seccomp']}")
    for report in (platform.data / "run").glob("*.metrics"):
        refused = re.findall(r"^holdfast_refused_calls_total (\d+)", report.read_text(), re.M)
        need(all(count == "0" for count in refused), f"{report.name}: {refused} calls were refused")


def exit_statuses(platform):
    for args, status, code in (
            (("device", "show", "no-such-device"), 5, "HF-"),
            (("device", "lst"), 2, "HF-1100"),
            (("status", "--colour"), 2, "HF-1102"),
            (("device", "list", "--query", "stat:unknown"), 2, "HF-3102"),
            (("status", "--url", "http://localhost:1"), 7, "HF-1106"),
            (("check", "--config", "/nonexistent"), 9, "HF-1001"),
    ):
        done = platform.cli(*args, check=False)
        need(done.returncode == status, f"{args}: status {done.returncode}, not {status}: {done.stderr}")
        need(code in done.stderr and "why:" in done.stderr and "do:" in done.stderr, f"{args}: {done.stderr}")
        spoken = platform.cli(*args, "--json", check=False)
        need(json.loads(spoken.stdout)["code"].startswith("HF-"), f"{args} --json: {spoken.stdout}")


def bad_token(platform):
    env = dict(platform.env(), HOLDFAST_TOKEN="hft_wrong")
    done = subprocess.run([platform.program(), "status"], capture_output=True, text=True, env=env, timeout=60)
    need(done.returncode == 4, f"status {done.returncode}: {done.stderr}")


def json_lines(platform):
    listed = [json.loads(line) for line in platform.cli("device", "list", "--json").stdout.splitlines()]
    need(len(listed) >= DEVICES, f"{len(listed)} devices")
    need(all(row["v"] == 1 for row in listed), "every object has v")
    status = json.loads(platform.cli("status", "--json").stdout)
    need(status["invariants"]["violations"] == 0, str(status["invariants"]))
    exported = platform.cli("device", "export", "--format", "csv").stdout.splitlines()
    need(len(exported) >= DEVICES + 1 and exported[0].startswith("name,"), exported[0])


def points_flow(platform):
    def newest():
        return {item["id"]: item["count"] for item in platform.series("press-001")}

    before = lib.wait_for(newest, 30, "press-001 has series")
    lib.wait_for(lambda: sum(newest().values()) > sum(before.values()), 30, "new points of press-001")


def stops_and_goes_on(platform):
    ids = {row["name"]: row["id"] for row in platform.items("/devices")}
    total = sum(item["count"] for item in platform.series("press-001"))
    pids = [*platform.up()["pids"].values(), *(g["pid"] for g in platform.up()["gateways"])]
    status = platform.stop()
    need(status == 0, f"Ctrl-C ends it with status {status}")
    for pid in pids:
        need(not pathlib.Path(f"/proc/{pid}").exists(), f"process {pid} is left over")
    platform.start()
    again = {row["name"]: row["id"] for row in platform.items("/devices")}
    need(ids == again, "the same devices with the same ids")
    need(sum(item["count"] for item in platform.series("press-001")) >= total, "nothing stored was lost")
    gaps = platform.api("/devices/press-001")["gaps"]
    need(not gaps, f"a clean stop leaves no gap: {gaps}")


def second_refused(platform):
    done = subprocess.run([platform.program(), "demo", "--dir", str(platform.data), "--yes"], capture_output=True, text=True, timeout=60)
    need(done.returncode == 6 and "HF-1118" in done.stderr, f"{done.returncode}: {done.stderr}")


def main():
    script = lib.Script()
    platform = lib.Platform(devices=DEVICES, name="demo")
    if not script.run("the demo comes up", lambda: platform.start() and None):
        platform.tell_logs()
        platform.stop()
        script.end()
    try:
        for function in (up_json, loopback_only, readme_runs, exit_statuses, bad_token, json_lines, points_flow, second_refused,
                         rights_given_up, stops_and_goes_on):
            script.run(function.__name__.replace("_", " "), function, platform)
    finally:
        if script.failed:
            platform.tell_logs()
        platform.stop()
    script.end()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
