#!/usr/bin/env python3
"""Does a breach in the field become a trace that is replayed? The checker of the mutants gateway-trace-*.patch.

Usage: field_trace.py BUILD [INVARIANT]

A real gateway gets real traffic over TLS. Where nothing is broken it writes no trace, and holdfast-sim is kept beside
BUILD as the sound one. Where something is broken the whole chain must work: the role writes one trace (mode 0600) into
its own folder, holdfast-sim of the same build breaks at the same place in the same state, the sound one does not, and
no secret that the client sent is in the file. Only then this exits with 1, as a checker that has caught a mutant does;
a chain with a broken link is silence.
"""
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile
import threading

BUILD = pathlib.Path(sys.argv[1])
SOUND = BUILD.parent / "holdfast-sim-sound"
os.environ["HOLDFAST_BUILD"] = str(BUILD)
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import gateway as gw  # noqa: E402

SECRET = "correct-horse-battery-staple"


def need(condition, *words):
    if not condition:
        print("the chain is broken:", *words)
        sys.exit(0)


def talk(g, name, messages):
    """Publishes without waiting, as quickly as it goes: some messages are staged while others are being synced."""
    client = gw.Client(g, name)
    flags = 0x02 | 0x80 | 0x40
    client.connect(flags=flags, client_id=f"me-{name}", rest=gw.string("operator") + gw.string(SECRET))
    client.send(gw.packet(0x82, b"\0\1\0" + gw.string(client.own("c")) + b"\1"))
    for first in range(1, messages, 50):
        for i in range(first, first + 50):
            client.publish(f"m{i}", i)
        answered = 0
        while answered < 50:
            answer = client.receive()
            if answer is None:
                return
            answered += answer[0] == 4
    client.close()


def traffic(d):
    env = {"LD_PRELOAD": gw.SHIM, "HOLDFAST_FAIL": "fdatasync@spool:1:3ms:forever", "ASAN_OPTIONS": "verify_asan_link_order=0"}
    g = gw.Gateway(d, env=env)
    talkers = [threading.Thread(target=quietly, args=(g, name, 2000)) for name in ("alpha", "beta")]
    for t in talkers:
        t.start()
    for t in talkers:
        t.join()
    code = g.stop()
    return code, g.words()


def quietly(*args):
    try:
        talk(*args)
    except (OSError, AssertionError):
        pass  # the gateway ended: that is what is looked at


def replay(program, trace):
    done = subprocess.run([program, "--replay", trace], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def main():
    with tempfile.TemporaryDirectory(prefix="holdfast-trace-") as d:
        gw.make_pki(d)
        code, words = traffic(d)
        folder = pathlib.Path(d) / "traces"
        traces = sorted(folder.glob("*.trace")) if folder.is_dir() else []
        if not traces:
            need(code == 0, "the gateway ended with", code, "and left no trace:", words)
            shutil.copy(BUILD / "bin/holdfast-sim", SOUND)
            print("no trace, and nothing is broken")
            return 0
        return look(traces)


def look(traces):
    """1: the chain holds. Whatever keeps it from its end is silence."""
    try:
        need(len(traces) == 1, "one breach, and", [t.name for t in traces])
        trace = traces[0]
        need(trace.name.startswith("gateway-"), trace.name)
        need(stat.S_IMODE(trace.stat().st_mode) == 0o600, oct(trace.stat().st_mode))
        need(SECRET.encode() not in trace.read_bytes(), "the password is in the trace")
        status, told = replay(BUILD / "bin/holdfast-sim", trace)
        print(told)
        need(status == 0 and "reproduced: the same breach, in the same state" in told, "the same build says", status)
        status, told = replay(SOUND, trace)
        need(status == 1 and "not reproduced: nothing breaks in this build" in told, "the sound build says", status, told)
        print(f"{trace.name} ({trace.stat().st_size} bytes): reproduced by the build that broke, not by the sound one")
        return 1
    except (OSError, subprocess.SubprocessError) as why:
        print("the chain is broken:", why)
        return 0


if __name__ == "__main__":
    sys.exit(main())
