#!/usr/bin/env python3
"""kill -9 of a gateway in mid-stream, and how long it takes to be back. Sessions that are away collect what an application
publishes with QoS 1, each a part of it (one queue holds 16,384 messages); when so many PUBACKs have come the gateway is killed
and started again, and the sessions must get each acknowledged message, none of them twice. Then a million messages are stored and it is killed once more: time to the first
CONNACK, and its memory. The check is what counts here; the times are figures.

Usage: gateway_kill.py [ROUNDS [ACKS [STORED]]] (20 20000 1000000): ROUNDS at full speed, as many at 500 a second.
"""
import os
import pathlib
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
os.environ.setdefault("HOLDFAST_BUILD", str(TOP / "build" / "release"))
sys.path[:0] = [str(TOP / "tests" / "mqtt")]
import case
import servers
import wire
from link import need

WINDOW, SESSIONS = 50, 4


def publish_until(link, topic, acks, per_second):
    """Keeps a window in flight until so many are acknowledged; returns the numbers of those that are."""
    acked, sent, began = [], 0, time.monotonic()
    while len(acked) < acks:
        batch = []
        while sent - len(acked) < WINDOW and (not per_second or sent < (time.monotonic() - began) * per_second):
            sent += 1
            batch.append(wire.publish(5, f"{topic}{sent % SESSIONS}", f"{sent}", 1, (sent - 1) % 65535 + 1))
        if batch:
            link.send(*batch)
        elif sent == len(acked):
            case.until(began + sent / per_second)
            continue
        acked.append(link.take(wire.PUBACK).id)
    need(acked == [n % 65535 + 1 for n in range(len(acked))], "PUBACKs out of order")
    return len(acked), sent


def collect(link):
    """Numbers of all messages that the session has, up to the one that ends it."""
    came = []
    while True:
        p = link.receive()
        if p.payload == b"end":
            return came
        came.append(int(p.payload))


def one_round(server, name, acks, per_second):
    c = case.Case(server, 5)
    for i in range(SESSIONS):
        keeper = c.keep(f"keeper{i}")
        keeper.subscribe(c.topic(f"{i}"), qos=1)
        keeper.drop()
    acked, sent = publish_until(c.connect("publisher"), c.topic(""), acks, per_second)
    server.kill()
    began = time.monotonic()
    server.start()
    last = c.connect("last")
    back = time.monotonic() - began
    came = []
    for i in range(SESSIONS):
        keeper = c.keep(f"keeper{i}")
        need(keeper.connack.session_present, f"session {i} is gone")
        last.publish(c.topic(f"{i}"), "end", 1)
        part = collect(keeper)
        need(part == sorted(part), f"{name}: out of order")
        came += part
        keeper.leave(0, [("session_expiry", 0)])
    lost = set(range(1, acked + 1)) - set(came)
    twice = len(came) - len(set(came))
    need(not lost and not twice and max(came) <= sent, f"{name}: {len(lost)} lost, {twice} twice, of {acked} acknowledged")
    c.close()
    return back


def series(rounds, acks, per_second):
    name = f"at {per_second} a second" if per_second else "at full speed"
    server = servers.Gateway("segment", 64 << 20, "budget", 8 << 30)
    try:
        times = [one_round(server, name, acks, per_second) for _ in range(rounds)]
    finally:
        server.stop()
    print(f"{rounds} x kill -9 {name} after {acks:,} PUBACKs: 0 lost, 0 twice; back in {min(times):.2f} to {max(times):.2f} s", flush=True)


def memory(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024


def restart(stored):
    """A backlog that ingest has not read."""
    server = servers.Gateway("segment", 64 << 20, "budget", 8 << 30)
    lab, count = server.lab, 0
    try:
        empty = memory(server.process.pid())
        while count < stored:
            out = subprocess.run([f"{lab.BUILD}/bench/gateway_load", str(server.port), f"{server.dir}/root.pem", f"{server.dir}/alpha.pem",
                                  f"{server.dir}/alpha.key", f"hf/1/{lab.device_id('alpha')}/t/bench", "50", "20", "128", "5"],
                                 check=True, capture_output=True, text=True).stdout.split()
            count += int(out[0])
        full = memory(server.process.pid())
        server.kill()
        began = time.monotonic()
        server.start()
        case.Case(server, 5).connect()
        took = time.monotonic() - began
        print(f"restart with {count:,} stored messages: ready in {took:.2f} s; memory {empty:.0f} MiB empty, {full:.0f} before, "
              f"{memory(server.process.pid()):.0f} after", flush=True)
    finally:
        server.stop()


def main():
    rounds, acks, stored = (int(a) for a in [*sys.argv[1:], *("20", "20000", "1000000")[len(sys.argv) - 1:]])
    series(rounds, acks, 0)
    series(rounds, acks, 500)
    restart(stored)


if __name__ == "__main__":
    main()
