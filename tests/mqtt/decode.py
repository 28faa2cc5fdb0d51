#!/usr/bin/env python3
"""Wireshark's decoder on what a server sends: plays tests of the suite that send nothing wrong, records both directions, and
compares each packet of the server as tshark has it with what the suite read: kind, identifier, flags, topic, reasons, payload.
Usage: decode.py mosquitto | gateway"""
import collections
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import link  # noqa: E402
import run  # noqa: E402
import servers  # noqa: E402
import wire  # noqa: E402
import wirefile  # noqa: E402

MODULES = ("case_delivery.", "case_session.", "case_subscribe.", "case_flow.", "case_publish.")
WRONG = ("closes", "refused", "ends_the_connection", "are_checked", "larger_than", "wildcards", "protocol_error", "mapped",
         "that_fails", "too_large", "of_nothing", "65535", "aliases_of_a_client", "after_a_pubrec_that_refuses")


class Recorded(link.Link):
    """Notes what it sends, receives and understands."""
    file, read = None, collections.defaultdict(list)

    def send(self, *packets):
        self.file.note(self, True, b"".join(packets))
        super().send(*packets)

    def took(self, data):
        self.file.note(self, False, data)

    def keep(self, p):
        self.read[self].append((p.kind, p.id, p.qos if p.kind == wire.PUBLISH else 0, p.kind == wire.PUBLISH and p.dup,
                                p.kind == wire.PUBLISH and p.retain, p.payload.hex(), sorted(p.props)))
        super().keep(p)


NUMBERS = {name: number for name, (number, _, _) in wire.PROPERTIES.items()}


def first(value, default="0"):
    return value[0] if isinstance(value, list) else default if value is None else value


def decoded(path):
    """{port: packets of the server as tshark has them}, and what it finds wrong with them."""
    out = subprocess.run(["tshark", "-r", path, "-d", f"tcp.port=={wirefile.SERVER_PORT},mqtt", "-Y", f"tcp.srcport=={wirefile.SERVER_PORT} && mqtt",
                          "-T", "json", "--no-duplicate-keys"], check=True, capture_output=True, text=True).stdout
    packets, wrong = collections.defaultdict(list), []
    for frame in json.loads(out):
        layers = frame["_source"]["layers"]
        port = int(layers["tcp"]["tcp.dstport"])
        if "_ws.malformed" in layers or "_ws.malformed" in json.dumps(layers.get("mqtt", {})):
            wrong.append(f"malformed: {json.dumps(layers)[:600]}")
        remarks = json.dumps(layers.get("mqtt", {})).replace('"_ws.expert": {"_ws.string', "")  # it takes correlation data for text
        if '"_ws.expert"' in remarks:
            wrong.append(f"remarked: {json.dumps(layers['mqtt'])[:600]}")
        all_of = layers["mqtt"] if isinstance(layers["mqtt"], list) else [layers["mqtt"]]
        packets[port] += [packet_of(p) for p in all_of]
    return packets, wrong


def packet_of(p):
    flags = p["mqtt.hdrflags_tree"]
    kind = int(flags["mqtt.msgtype"])
    is_publish = kind == wire.PUBLISH
    properties = [int(n, 0) for n in ids_of(p)]
    return (kind, int(first(p.get("mqtt.msgid"))), int(first(flags.get("mqtt.qos"))) if is_publish else 0,
            is_publish and flags.get("mqtt.dupflag") in ("1", True, "True"), is_publish and flags.get("mqtt.retain") in ("1", True, "True"),
            (p.get("mqtt.msg") or "").replace(":", "") if is_publish else "", sorted(set(properties)))


def ids_of(p):
    """Property numbers wherever they stand in the tree."""
    found = []

    def walk(node):
        for key, value in node.items() if isinstance(node, dict) else ():
            if key == "mqtt.property_id":
                found.extend(as_list(value))
            else:
                for part in as_list(value):
                    walk(part)
    walk(p)
    return found


def as_list(value):
    return value if isinstance(value, list) else [value]


def compare(ours, theirs):
    problems = []
    for port, packets in ours.items():
        mine = [(*p[:6], sorted(NUMBERS[name] for name in p[6])) for p in packets]
        got = [tuple(p) for p in theirs.get(port, [])]
        for n, (a, b) in enumerate(zip(mine, got)):
            if a != b:
                problems.append(f"connection {port}, packet {n}: read as {a}, tshark has {b}")
                break
        if len(mine) != len(got):
            problems.append(f"connection {port}: {len(mine)} packets, tshark has {len(got)}")
    return problems


def main():
    if shutil.which("tshark") is None:
        print("skipped: tshark is not installed\n0 passed, 0 failed, 1 skipped")
        return 0
    folder = tempfile.mkdtemp(prefix="holdfast-decode-")
    server = {"mosquitto": servers.Mosquitto, "gateway": servers.Gateway}[sys.argv[1]]()
    Recorded.file = wirefile.WireFile(f"{folder}/wire.pcap")
    run.case.Link = Recorded
    played = run.Run(server, run.known_of(server.name))
    try:
        for test in run.case.TESTS:
            if test.name.startswith(MODULES) and not any(w in test.name for w in WRONG) and not test.slow and not test.restarts:
                for version in test.versions:
                    played.one(test, version)
    finally:
        server.stop()
        Recorded.file.close()
    theirs, problems = decoded(f"{folder}/wire.pcap")
    ours = {Recorded.file.links[one][0]: packets for one, packets in Recorded.read.items()}
    problems += compare(ours, theirs)
    for problem in problems[:20]:
        print(f"FAILED {problem}")
    count = sum(len(p) for p in ours.values())
    if played.counts["passed"] < played.counts["skipped"]:
        print(f"skipped: {played.counts['skipped']} tests: {run.known_of(server.name).get('*', 'most do not work')}")
    if not problems:
        print(f"figures: {count} packets in {len(ours)} connections, decoded alike")
    failed = len(problems) + played.counts["failed"]
    print(f"{played.counts['passed'] + (not problems)} passed, {failed} failed, {played.counts['skipped']} skipped")
    if not failed:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
