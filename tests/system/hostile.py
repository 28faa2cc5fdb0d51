#!/usr/bin/env python3
"""A hostile gateway: the spool is its own, so it can write what it likes into it. Altered, replayed, reordered and forged
messages, each in a valid record of a valid journal, must all be refused, counted by reason, and change nothing.
Usage: hostile.py"""
import json
import os
import random
import signal
import struct
import sys

import lib
import skab
import spool
from lib import Failed, Platform, Script, need, wait_for

AGENT = "rig-agent"
def spool_of(platform, gateway="gw-1"):
    return str(platform.data / "gateway" / gateway / "spool")


def build_of(platform):
    return os.path.dirname(platform.up()["bin"].rstrip("/"))


def records(platform):
    return spool.records(spool_of(platform), build_of(platform))


def inject(platform, bad):
    """Stops the gateway, writes into its spool, lets it start again; returns when ingest has read all of it."""
    keeper = platform.up()["pids"]["demo"]
    os.kill(keeper, signal.SIGSTOP)  # it would start the gateway again at once
    try:
        gateway = platform.pid("gw-1")
        os.kill(gateway, signal.SIGKILL)
        wait_for(lambda: lib.is_gone(gateway), 20, "the gateway is gone")
        end = spool.inject(spool_of(platform), build_of(platform), bad)
    finally:
        os.kill(keeper, signal.SIGCONT)
    wait_for(lambda: platform.applied("gw-1") >= end, 60, "ingest has read what was injected")
    wait_for(lambda: platform.answers("gw-1"), 60, "the gateway works again")


UNTOUCHED = {
    "series": "SELECT id, device, stream, name, unit FROM series ORDER BY id",
    "points": "SELECT series, points, first_ms, last_ms, last_bits, last_quality, last_provenance, fresh FROM head ORDER BY series",
    "chunks": "SELECT id, series, from_ms, to_ms, points, block FROM chunk ORDER BY id",
    # without bytes 18 to 25: how many authentic messages came again, which a replay may raise
    "received sets": "SELECT device, boot, boots, messages, points, substr(received, 1, 17), substr(received, 26) FROM device WHERE messages > 0 ORDER BY device",
    "hellos": "SELECT device, boot, first, ephemeral, key_id FROM hello ORDER BY device, boot",
    "declared lost": "SELECT device, first, last FROM lost ORDER BY id",
    "waiting": "SELECT device, boot, gateway FROM waiting ORDER BY id",
}


def state(platform, device):
    """All that telemetry of this device could change."""
    found = {}
    for name, query in UNTOUCHED.items():
        found[name] = platform.sql(query)
    return found


def counted(platform):
    return {name: value for name, value in platform.counters().items() if name.startswith("refused.") or name == "duplicate"}


def refused_as(platform, what, bad, expected, replays=0):
    """Injects and says what changed besides counters and dead letters: nothing may. `expected`: {reason: count}."""
    before, counts = state(platform, AGENT), counted(platform)
    letters = dict(platform.sql("SELECT reason, count(*) FROM dead_letter GROUP BY reason"))
    inject(platform, bad)
    after, now = state(platform, AGENT), counted(platform)
    changed = [name for name in before if before[name] != after[name]]
    need(not changed, f"{what}: changed {', '.join(changed)}")
    grown = {n: v - counts.get(n, 0) for n, v in now.items() if v != counts.get(n, 0)}
    wanted = {f"refused.{reason}": count for reason, count in expected.items()}
    if replays:
        wanted["duplicate"] = replays
    need(grown == wanted, f"{what}: counted {grown}, not {wanted}")
    filed = dict(platform.sql("SELECT reason, count(*) FROM dead_letter GROUP BY reason"))
    new = {r: n - letters.get(r, 0) for r, n in filed.items() if n != letters.get(r, 0)}
    need(new == expected, f"{what}: dead letters {new}, not {expected}")


def flip(data, at, bit=1):
    data = bytearray(data)
    data[at] ^= bit
    return bytes(data)


def altered(platform, good):
    """One bit anywhere in a message; the stream; the order of its bytes."""
    rng = random.Random(7)
    bad = []
    for record in good[:40]:
        at = rng.randrange(len(record.payload) - 32, len(record.payload))  # the tag
        bad.append(record.with_(payload=flip(record.payload, at, 1 << rng.randrange(8))))
    for record in good[:40]:
        need(b"Pressure" in record.payload, "a message holds no series called Pressure")
        bad.append(record.with_(payload=record.payload.replace(b"Pressure", b"Pleasure")))  # as well formed as before
    for record in good[:20]:
        bad.append(record.with_(topic=record.topic + b"x"))  # the topic is external data of the MAC
    refused_as(platform, "altered", bad, {"bad-mac": len(bad)})


def replayed(platform, good):
    refused_as(platform, "replayed", good, {}, replays=len(good))


def reordered(platform, good):
    mixed = list(good)
    random.Random(11).shuffle(mixed)
    refused_as(platform, "reordered", mixed + mixed[::-1], {}, replays=2 * len(mixed))


def cbor_uint(value, major=0):
    for limit, code, form in ((24, None, None), (1 << 8, 24, ">B"), (1 << 16, 25, ">H"), (1 << 32, 26, ">I"), (1 << 64, 27, ">Q")):
        if value < limit:
            return bytes([major << 5 | value]) if code is None else bytes([major << 5 | code]) + struct.pack(form, value)
    raise ValueError(value)


def cbor_bytes(data):
    return cbor_uint(len(data), 2) + data


def mac0(boot, seq, tag):
    """A COSE_Mac0 as docs/protocol/messages.cddl has it, over one temperature."""
    protected = b"\xa3\x01\x05" + cbor_uint(70000, 1) + cbor_uint(boot) + cbor_uint(70001, 1) + cbor_uint(seq)
    pack = b"\x81\xa3\x00\x64temp\x06\x00\x02\xfb" + struct.pack(">d", 99.5)
    return b"\xd1\x84" + cbor_bytes(protected) + b"\xa0" + cbor_bytes(pack) + cbor_bytes(tag)


def forged(platform, good):
    """Messages that nobody with the key has made: new numbers, old ones, far ones; any tag."""
    rng = random.Random(13)
    boot = platform.sql("SELECT max(boot) FROM hello WHERE device = ?", good[0].device)[0][0]
    bad = []
    for i in range(60):
        seq = [1, len(good) + 1 + i, 1 << 40, (1 << 63) + i][i % 4]
        bad.append(good[0].with_(payload=mac0(boot, seq, rng.randbytes(32))))
    refused_as(platform, "forged", bad, {"bad-mac": len(bad)})


def other_name(platform, good):
    """A device's message under the topic of another one, and a record that says it came from another one."""
    other = bytes(range(16))
    stream = good[0].topic.rpartition(b"/")[2]
    topic = b"hf/1/hf1:" + other.hex().encode() + b"/t/" + stream
    bad = [record.with_(topic=topic) for record in good[:20]] + [record.with_(device=other) for record in good[:20]]
    refused_as(platform, "under another name", bad, {"topic-mismatch": 20, "not-enrolled": 20})


def invented(platform, links):
    """Devices that do not exist: links of theirs with a true certificate of another, with any bytes, and plain JSON."""
    bad = []
    for i in range(50):
        device = b"invented" + i.to_bytes(8, "big")
        topic = b"hf/1/hf1:" + device.hex().encode() + b"/j/line"
        bad += [links[0].with_(device=device), links[0].with_(device=device, payload=bytes(range(200))),
                links[0].with_(device=device, payload=b""), links[0].with_(kind=spool.PUBLISHED, device=device, topic=topic, payload=b'{"pressure": 3}', rest=b"\0")]
    before = platform.sql("SELECT device FROM device ORDER BY device")
    refused_as(platform, "invented devices", bad, {"not-enrolled": len(bad)})
    need(platform.sql("SELECT device FROM device ORDER BY device") == before, "a row was made for an invented device")


def malformed(platform, good):
    rng = random.Random(17)
    bad = [good[0].with_(payload=good[0].payload[:n]) for n in (0, 1, 2, 10, len(good[0].payload) - 1)]
    bad += [good[0].with_(payload=good[0].payload + b"\0")]
    bad += [good[0].with_(payload=b"\xff" * n) for n in (1, 64, 4096)]
    bad += [good[0].with_(payload=bytes([0x9f]) + rng.randbytes(200)) for _ in range(10)]
    refused_as(platform, "malformed", bad, {"malformed": len(bad)})


def hellos(platform, hello):
    """A hello altered in its signature or its claims."""
    bad = [hello.with_(payload=flip(hello.payload, -1 - i)) for i in range(10)]
    refused_as(platform, "hello with another signature", bad, {"bad-signature": len(bad)})


def still_open(platform, rows):
    """After all that the agent goes on, and what it says is taken."""
    before = sum(skab.counts(platform, AGENT))
    agent = platform.agent(AGENT, "host", f"localhost:{platform.gateway_port('gw-1')}", "--stream", "after")
    wait_for(lambda: sum(skab.counts(platform, AGENT)) > before, 60, "new points of the same device")
    agent.terminate()
    agent.wait(30)
    need(not platform.violations(), f"invariants violated: {platform.violations()}")


def main():
    script = Script()
    path, _ = lib.recording("other-1.csv")
    columns, rows = lib.read_recording(path)
    try:
        with Platform(devices=1, name="hostile") as platform:
            agent = platform.agent(AGENT, f"csv:{path},rate=0", f"localhost:{platform.gateway_port('gw-1')}", "--stream", "rig", "--once")
            wait_for(lambda: skab.counts(platform, AGENT) == [len(rows)] * len(columns), 90, "the recording is stored")
            for name in ("press-001",):  # the demo's own device would change rows meanwhile
                os.kill(wait_for(lambda: platform.pid(name), 30, name), signal.SIGSTOP)
            wait_for(lambda: agent.poll() is not None, 30, "the agent has everything acknowledged")
            wait_for(lambda: not platform.api(f"/devices/{AGENT}")["connected"], 30, "the agent has gone")
            all_records = records(platform)
            device = bytes.fromhex(platform.api(f"/devices/{AGENT}")["id"].removeprefix("hf1:"))
            good = [r for r in all_records if r.is_telemetry() and r.device == device]
            hello = [r for r in all_records if r.is_hello() and r.device == device][-1]
            need(len(good) > 40, f"only {len(good)} messages in the spool")
            script.run("altered messages are refused as bad-mac and change nothing", altered, platform, good)
            script.run("replayed messages are duplicates and change nothing", replayed, platform, good)
            script.run("reordered copies are duplicates and change nothing", reordered, platform, good)
            script.run("forged messages are refused as bad-mac and change nothing", forged, platform, good)
            script.run("messages under another name are refused and change nothing", other_name, platform, good)
            script.run("records of invented devices are refused and make no row", invented, platform, [r for r in all_records if r.kind == spool.LINKED])
            script.run("malformed messages are refused and change nothing", malformed, platform, good)
            script.run("hellos with another signature are refused and change nothing", hellos, platform, hello)
            script.run("the device itself goes on after all that", still_open, platform, rows)
    except Failed as error:
        print(f"FAILED {error}")
        script.failed += 1
    script.end()


if __name__ == "__main__":
    main()
