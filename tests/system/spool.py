"""Spools (journals of bus records) as a test sees them: read, acknowledged, written into as a hostile gateway could.

Records are taken apart here, from docs/protocol/bus-record.md, and not by the code under test; only the journal around them
is read by tests/tools/spool.c.
"""
import os
import pathlib
import struct
import subprocess

PUBLISHED, LINKED, UNLINKED, STARTED, LOCAL, KEPT, SESSION, WILL = 1, 2, 3, 4, 5, 6, 7, 8
KINDS = {PUBLISHED: "published", LINKED: "linked", UNLINKED: "unlinked", STARTED: "started", LOCAL: "local", KEPT: "kept",
         SESSION: "session", WILL: "will"}


class Record:
    """src/codec/bus_record.h, taken apart and put together."""

    def __init__(self, raw):
        self.version, self.kind, self.quality = raw[0], raw[1], raw[2]
        self.device, self.received = raw[3:19], raw[19:27]
        self.clock = raw[27:35] if self.version == 2 else b""
        begin = 29 + len(self.clock)
        end = begin + struct.unpack(">H", raw[begin - 2:begin])[0]
        self.topic = raw[begin:end]
        length = struct.unpack(">I", raw[end:end + 4])[0]
        self.payload = raw[end + 4:end + 4 + length]
        self.rest = raw[end + 4 + length:]

    def with_(self, **changed):
        copy = Record(self.bytes())
        copy.__dict__.update(changed)
        return copy

    def bytes(self):
        return (bytes([self.version, self.kind, self.quality]) + self.device + self.received + self.clock
                + struct.pack(">H", len(self.topic)) + self.topic + struct.pack(">I", len(self.payload)) + self.payload + self.rest)

    def is_telemetry(self):
        return self.kind == PUBLISHED and b"/t/" in self.topic

    def is_hello(self):
        return self.kind == PUBLISHED and self.topic.endswith(b"/hello")

    def device_text(self):
        return "hf1:" + self.device.hex()


def tool(*args, build, text=None):
    """build/*/tools/spool with these arguments; what it printed."""
    program = pathlib.Path(build) / "tools" / "spool"
    if not program.exists():
        raise FileNotFoundError(f"{program} is not built")
    done = subprocess.run([str(program), *map(str, args)], input=text, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise OSError(f"spool {' '.join(map(str, args))}: {done.stderr.strip()}")
    return done.stdout


def records(folder, build):
    """All durable records, in order."""
    if not os.path.exists(folder):
        return []
    return [Record(bytes.fromhex(line.split()[1])) for line in tool("dump", folder, build=build).splitlines()]


def acknowledge(folder, build):
    """As ingest does with all that is durable; the position."""
    return int(tool("ack", folder, build=build))


def inject(folder, build, bad):
    """Appends records while the gateway does not run; the position behind the last. A gateway's lifetime clock never goes back: a
    spool where it did would be none of its own to the gateway that starts on it."""
    clock = max([r.clock for r in records(folder, build)] + [bytes(8)])
    bad = [record.with_(clock=clock) if record.version == 2 else record for record in bad]
    return int(tool("inject", folder, build=build, text="".join(record.bytes().hex() + "\n" for record in bad)))
