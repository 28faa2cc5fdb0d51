#!/usr/bin/env python3
"""Does a breach in any role of the platform become a trace that is replayed? The checker of trace-every-role.patch.

Usage: field_traces_of_all.py BUILD

`holdfast demo` of BUILD with three devices. Where nothing is broken no role writes a trace, holdfast check says so, and the
programs that replay are kept beside BUILD as the sound ones. Where something is broken in each of ingest, control, keeper and
agent, each must leave a trace that holdfast-sim of the same build breaks with at the same place in the same state, and the sound
one does not; check and status must tell of them. Only then this exits with 1; a chain with a broken link is silence.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import traceback

BUILD = pathlib.Path(sys.argv[1])
SOUND = BUILD.parent / "replay-sound"
os.environ["HOLDFAST_BIN"] = str(BUILD / "bin")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import lib  # noqa: E402

ROLES = ("agent", "control", "ingest", "keeper")
PREFIX = {"agent": "device-", "control": "control-", "ingest": "ingest-", "keeper": "keeper-"}
ENOUGH_S = 75


class Broken(Exception):
    pass


def need(condition, *words):
    if not condition:
        raise Broken(" ".join(str(w) for w in words))


def traces(platform):
    found = sorted(platform.data.rglob("*.trace"))
    return {role: [t for t in found if t.name.startswith(PREFIX[role])] for role in ROLES}


def replay(folder, trace):
    done = subprocess.run([folder / "holdfast-sim", "--replay", trace], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def check_of(platform):
    command = [BUILD / "bin/holdfast", "check", "--config", platform.data / "holdfast.toml"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout


def look(platform):
    """What a broken platform must have left; the number of traces."""
    lib.wait_for(lambda: all(traces(platform).values()), ENOUGH_S, "a trace of each role")
    lib.wait_for(lambda: "traces " in platform.cli("status", check=False).stdout, ENOUGH_S, "status tells of traces")
    told = check_of(platform)
    count = 0
    for role, files in traces(platform).items():
        for trace in files:
            status, words = replay(BUILD / "bin", trace)
            need(status == 0 and "reproduced: the same breach, in the same state" in words, trace.name, "here:", words)
            status, words = replay(SOUND, trace)
            need(status == 1 and "nothing breaks in this build" in words, trace.name, "in the sound build:", words)
            need(role == "agent" or str(trace) in told, "check says nothing of", trace)
            count += 1
    return count


def main():
    with lib.Platform(devices=3, name="traces") as platform:
        if not any(traces(platform).values()):
            lib.wait_for(lambda: any(traces(platform).values()) or platform.api("/status")["fleet"]["total"] == 3, ENOUGH_S,
                         "three devices")
        if not any(traces(platform).values()):
            assert "none: no role has written" in check_of(platform), check_of(platform)
            SOUND.mkdir(exist_ok=True)
            for name in ("holdfast-sim", "holdfast-replay"):
                shutil.copy(BUILD / "bin" / name, SOUND / name)
            print("no trace, and nothing is broken")
            return 0
        try:
            print(f"{look(platform)} traces of four roles: reproduced by the build that broke, not by the sound one")
            return 1
        except Exception:  # whatever kept the chain from its end
            print("the chain is broken:")
            traceback.print_exc(file=sys.stdout)
            return 0


if __name__ == "__main__":
    sys.exit(main())
