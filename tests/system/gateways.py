#!/usr/bin/env python3
"""Gateways as an operator sees them, on a site of real processes: list, show, refusals, sessions, the messages of one device, drain
and undrain, and a gateway that does not report. Every answer of the API is held against docs/openapi.json."""
import importlib.util
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import api as described  # noqa: E402: hold() and the description
import lib  # noqa: E402
from grants import SITE, Refused, api  # noqa: E402
from lib import need, wait_for  # noqa: E402


def held(site, path, template, method="GET"):
    value = api(site, path, method)
    content = described.OPENAPI["paths"][template][method.lower()]["responses"]["200"]["content"]["application/json"]
    described.hold(value, content["schema"], path)
    return value


def refused(site, path, method="GET"):
    try:
        api(site, path, method)
    except Refused as why:
        return why.status, why.code
    return None


def begin(site):
    site.holdfast("init", "--dir", "site", "--port-base", str(site.base), "--plain-console", "--gateways", "2")
    site.start(str(lib.BIN / "holdfast"), "run", "--config", str(site.data / "holdfast.toml"))
    wait_for(lambda: (site.data / "run/control.ready").exists(), 30, "control")
    site.holdfast("device", "bundle", "plc-7", "--for", "mosquitto", "--gateway", f"localhost:{site.base + 10}", "--out", "plc")
    wait_for(lambda: [g["state"] for g in api(site, "/gateways")["items"]] == ["connected"] * 2, 30, "both gateways")


def client(site, gateway, connect=True):
    return lib.Mqtt(site.base + 10 + gateway, site.dir / "plc", "plc-7", connect=connect)


def lists_and_shows(site):
    """Both gateways are in the list with what they say, and one that is not there is said to be none."""
    said = site.holdfast("gateway", "list")
    need("gw-1" in said and "gw-2" in said and "open" in said and "connected" in said, said)
    one = held(site, "/gateways/gw-1", "/gateways/{NAME}")
    need(one["drain"] == "open" and one["grants_in_force"] is True and one["reported_age_s"] < 10, one)
    need("drain      open" in site.holdfast("gateway", "show", "gw-1"), "show")
    site.holdfast("gateway", "show", "gw-9", status=5)
    for path in ("", "/refusals", "/sessions", "/trace"):
        need(refused(site, "/gateways/gw-9" + path) == (404, "HF-3701"), path)
    for path, method in (("/sessions?limit=501", "GET"), ("/sessions?cursor=-1", "GET"), ("/trace?after=x", "GET"),
                         ("/trace?device=plc-7&seconds=601", "POST"), ("/trace", "POST")):
        need(refused(site, "/gateways/gw-1" + path, method) == (400, "HF-3101"), path)
    need(refused(site, "/gateways/gw-1/trace?device=nobody", "POST") == (404, "HF-3001"), "no such device")


def tells_sessions(site):
    """A live session is listed with the name of its device, in the API and on the command line."""
    link = client(site, 0)
    page = held(site, "/gateways/gw-1/sessions", "/gateways/{NAME}/sessions")
    need([s["device"] for s in page["items"]] == ["plc-7"] and page["total"] == 1, page)
    need("plc-7" in site.holdfast("gateway", "sessions", "gw-1"), "sessions")
    need(held(site, "/gateways/gw-2/sessions", "/gateways/{NAME}/sessions")["items"] == [], "nobody is at gw-2")
    link.close()
    wait_for(lambda: api(site, "/gateways/gw-1/sessions")["total"] == 0, 20, "the end of the session")


def tells_refusals(site):
    """What was refused is told in words, with where it came from."""
    subprocess.run(["openssl", "s_client", "-connect", f"localhost:{site.base + 10}"], input=b"", capture_output=True, timeout=30)
    wait_for(lambda: held(site, "/gateways/gw-1/refusals", "/gateways/{NAME}/refusals")["items"], 20, "a refusal")
    first = api(site, "/gateways/gw-1/refusals")["items"][0]
    need(first["reason"] == "tls" and first["certificate"] is None and re.match(r"127\.0\.0\.1:|\[::1\]:", first["address"]), first)
    need("tls" in site.holdfast("gateway", "refusals", "gw-1"), "refusals")


def traces_one_device(site):
    """What a device says and hears is told while somebody looks."""
    watch = subprocess.Popen([str(lib.BIN / "holdfast"), "gateway", "trace", "gw-1", "plc-7", "--seconds", "600"], cwd=site.dir,
                             env=site.env(), stdout=subprocess.PIPE, text=True)
    wait_for(lambda: held(site, "/gateways/gw-1/trace", "/gateways/{NAME}/trace")["left_s"] > 0, 20, "the watch")
    link = client(site, 0)
    lines = [watch.stdout.readline() for _ in range(2)]
    need("-> CONNECT" in lines[0] and "<- CONNACK" in lines[1] and "Success" in lines[1], lines)
    link.close()
    watch.send_signal(signal.SIGINT)
    need(watch.wait(20) == 0, "it ends with Ctrl-C")
    watch.stdout.close()
    held(site, "/gateways/gw-1/trace", "/gateways/{NAME}/trace")
    api(site, "/gateways/gw-1/trace?device=plc-7&seconds=0", "POST")


def drains_and_opens(site):
    """A drained gateway takes nobody while the other one does; it is drained over a kill -9, and opens again by command alone."""
    link = client(site, 0)
    need("drained" in site.holdfast("gateway", "drain", "gw-1", "--yes", "--wait"), "drain")
    need(held(site, "/gateways/gw-1", "/gateways/{NAME}")["drain"] == "drained", "it says so")
    need("drained" in site.holdfast("gateway", "list"), "the list says so")
    link.close()
    client(site, 1).close()

    def code_at(gateway):
        other = client(site, gateway, connect=False)
        try:
            return connack_of(other)
        finally:
            other.close()
    need(code_at(0) == 0x9C and code_at(1) == 0, "one is closed, the other is not")
    pid = int(re.findall(r"gw-1 runs as process (\d+)", (site.dir / "run.log").read_text())[-1])
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: int(re.findall(r"gw-1 runs as process (\d+)", (site.dir / "run.log").read_text())[-1]) != pid, 20, "its restart")
    wait_for(lambda: code_at(0) == 0x9C, 20, "still drained")
    need("open" in site.holdfast("gateway", "drain", "gw-1", "--undo"), "undo")
    need(code_at(0) == 0, "it takes sessions again")
    db = sqlite3.connect(f"file:{site.data}/control/registry.db?mode=ro", uri=True)
    kinds = [row[0] for row in db.execute("SELECT kind FROM entries WHERE object = 'gw-1' ORDER BY idx")]
    db.close()
    need(kinds == ["gateway-drained", "gateway-opened"], kinds)


def connack_of(link):
    body = b"\x00\x04MQTT\x05\x02\x00\x3c\x00" + len(b"x").to_bytes(2, "big") + b"x"
    link.send(bytes([0x10, len(body)]) + body)
    return link.receive()[2][1]


def tells_who_does_not_report(site):
    """A gateway that stopped is silent and its drain unknown; what was asked of it was not done, and is said so."""
    pid = int(re.findall(r"gw-2 runs as process (\d+)", (site.dir / "run.log").read_text())[-1])
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: api(site, "/gateways/gw-2")["state"] == "silent", 40, "its silence")
        value = held(site, "/gateways/gw-2", "/gateways/{NAME}")
        need(value["drain"] is None and value["grants_in_force"] is None and value["reported_age_s"] > 5, value)
        said = site.holdfast("gateway", "list")
        need("silent" in said and "unknown" in said, said)
        need(refused(site, "/gateways/gw-2/drain", "POST") == (504, "HF-3702"), "whether it will be done is not known")
        said = site.holdfast("gateway", "drain", "gw-2", "--yes", status=3)
        need("may have done it" in said, said)
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: api(site, "/gateways/gw-2")["state"] == "connected", 40, "it reports again")


def stops(site):
    need(site.stop() == [0], "a clean stop")


def main():
    if lib.BIN is None:
        print("skipped: HOLDFAST_BIN names no build\n0 passed, 0 failed, 1 skipped")
        return
    script = lib.Script()
    site = SITE.Site()
    try:
        for step in (begin, lists_and_shows, tells_sessions, tells_refusals, traces_one_device, drains_and_opens,
                     tells_who_does_not_report, stops):
            if not script.run(step.__name__.replace("_", " "), step, site):
                for log in sorted(site.data.glob("log/*.log")):
                    print(f"--- {log.name}\n{log.read_text()[-800:]}")
    finally:
        site.stop()
        shutil.rmtree(site.dir, ignore_errors=True)
    script.end()


if __name__ == "__main__":
    main()
