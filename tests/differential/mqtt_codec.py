#!/usr/bin/env python3
"""Our MQTT beside paho and tshark. What real clients send: mqtt_clients.py.

    made       random packets whose properties and reason codes paho packs: ours reads every field as it was meant, and what ours
               writes of it tshark reads the same
    damaged    of made packets with bytes changed: whatever ours takes tshark takes too, with the same fields

Usage: mqtt_codec.py [SEED] [COUNT]"""
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import mqtt_wireshark  # noqa: E402

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILDS = [pathlib.Path(os.environ["HOLDFAST_BUILD"])] if os.environ.get("HOLDFAST_BUILD") else [TOP / "build" / p for p in ("sanitize", "release", "debug")]
NAMES = ["", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK",
         "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH"]
LETTERS = "abcxyzABC019 -_.:'éß日😀"
FROM_CLIENT, FROM_SERVER = "c", "s"

passed = failed = skipped = 0


def tell(troubles, what):
    global passed, failed
    passed += not troubles
    failed += bool(troubles)
    print(f"{'FAIL' if troubles else 'ok  '} {what}" + "".join(f"\n     {t}" for t in troubles[:5]), flush=True)


def skip(what):
    global skipped
    skipped += 1
    print(f"skipped: {what}", flush=True)


# ---- ours ----

def ours(program, streams):
    """Of each (version, who sent, bytes): ([(type number, [(name, value)], written again)], last word)"""
    text = "".join(f"{version} {who} {data.hex()}\n" for version, who, data in streams)
    done = subprocess.run([program], input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"mqtt_tool ended with {done.returncode}: {done.stderr[-500:]}")
    found, packets = [], []
    for line in done.stdout.splitlines():
        if not line.startswith("ok "):
            found.append((packets, line))
            packets = []
            continue
        said, _, again = line[3:].partition(" | ")
        words = said.split(" ")
        packets.append((NAMES.index(words[0]), [tuple(w.split("=", 1)) for w in words[1:]], bytes.fromhex(again)))
    return found


# ---- packets, packed by paho ----

def frame(kind, flags, body):
    length, rest = b"", len(body)
    while True:
        rest, low = divmod(rest, 128)
        length += bytes([low | (128 if rest else 0)])
        if not rest:
            return bytes([kind << 4 | flags]) + length + body


def field(data):
    raw = data.encode() if isinstance(data, str) else data
    return struct.pack(">H", len(raw)) + raw


class Maker:
    """Random packets of one version; `expected` are the fields that mqtt_tool has to say."""

    def __init__(self, rng, version):
        from paho.mqtt import properties
        self.rng, self.version, self.paho = rng, version, properties
        self.names = {number: name for name, number in properties.Properties(1).names.items()}

    def word(self, least=0, most=12):
        return "".join(self.rng.choices(LETTERS, k=self.rng.randint(least, most)))

    def topic(self):
        return "/".join(self.word(1, 6) for _ in range(self.rng.randint(1, 4)))

    def value(self, which):
        rng = self.rng
        if which in (1, 23, 25, 36, 37, 40, 41, 42):
            return rng.randint(0, 1)
        if which == 11:
            return rng.choice((1, 127, 128, 16384, 268435455))
        if which in (2, 17, 24):
            return rng.choice((0, 1, 65536, 4294967295))
        if which in (33, 35, 39):
            return rng.choice((1, 255, 65535))
        if which in (19, 34):
            return rng.choice((0, 9, 65535))
        if which in (9, 22):
            return self.word().encode()
        return self.topic() if which == 8 else self.word(1)

    def properties(self, kind, who, letter="p"):
        """(bytes as paho packs them, expected pairs); kind 99: of a will"""
        if self.version == 4:
            return b"", []
        made, expected = self.paho.Properties(kind), []
        allowed = [n for n, (_, kinds) in made.properties.items() if kind in kinds and not self.is_forbidden(n, kind, who)]
        chosen = self.rng.sample(allowed, min(len(allowed), self.rng.choice((0, 0, 1, 2, 4, 99))))
        if 22 in chosen and 21 not in chosen:
            chosen.append(21)  # data without a method is a protocol error
        for which in chosen:
            name = self.names[which].replace(" ", "")
            if which == 38:
                pairs = [(self.word(), self.word()) for _ in range(self.rng.randint(1, 3))]
                made.UserProperty = pairs
                expected += [(f"{letter}38", f"{a.encode().hex()}:{b.encode().hex()}") for a, b in pairs]
                continue
            value = self.value(which)
            setattr(made, name, [value] if which == 11 else value)
            raw = value.encode() if isinstance(value, str) else value
            expected.append((f"{letter}{which}", raw.hex() if isinstance(raw, bytes) else str(raw)))
        return bytes(made.pack()), expected

    def is_forbidden(self, which, kind, who):
        """What the table of properties does not say, but the text of each (3.14.2.2.2, 3.3.2.3.8, 3.14.2.2.4)."""
        return (which == 17 and kind == 14 and who == FROM_SERVER) or (which == 11 and kind == 3 and who == FROM_CLIENT) \
            or (which == 28 and kind == 14 and who == FROM_CLIENT)

    def reason(self, kind, who):
        from paho.mqtt.reasoncodes import ReasonCodes
        codes = sorted(code for code, names in ReasonCodes(2).names.items() if any(kind in k for k in names.values()))
        if kind == 14:  # the table of 3.14.2.1 says who may send which
            client = {0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99}
            codes = [c for c in codes if (c in client) == (who == FROM_CLIENT) or (c in client and c != 0x04)]
        if kind == 15:
            codes = [c for c in codes if who == FROM_SERVER or c != 0]
            codes = [c for c in codes if who == FROM_CLIENT or c != 0x19]
        return self.rng.choice(codes)

    def connect(self):
        rng = self.rng
        has_will, has_user, has_password = (rng.random() < 0.5 for _ in range(3))
        has_password = has_password and (has_user or self.version == 5)
        clean, keep_alive, client = rng.randint(0, 1), rng.randint(0, 65535), self.word(1, 20)
        packed, expected = self.properties(1, FROM_CLIENT)
        body = packed + field(client)
        said = [("version", str(self.version)), ("clean", str(clean)), ("keepalive", str(keep_alive)), ("client", client.encode().hex())]
        flags = clean << 1 | has_user << 7 | has_password << 6
        if has_will:
            qos, retain, topic, payload = rng.randint(0, 2), rng.randint(0, 1), self.topic(), self.word()
            will, will_said = self.properties(99, FROM_CLIENT, "w")
            body += will + field(topic) + field(payload)
            flags |= 4 | qos << 3 | retain << 5
            said += [("willtopic", topic.encode().hex()), ("willpayload", payload.encode().hex()), ("willqos", str(qos)), ("willretain", str(retain)), *will_said]
        for is_there, name in ((has_user, "user"), (has_password, "password")):
            text = self.word()
            body += field(text) if is_there else b""
            said += [(name, text.encode().hex())] if is_there else []
        return frame(1, 0, field("MQTT") + bytes([self.version, flags]) + struct.pack(">H", keep_alive) + body), said + expected

    def publish(self, who):
        rng = self.rng
        qos, retain, topic, payload = rng.randint(0, 2), rng.randint(0, 1), self.topic(), self.word(0, 60).encode()
        dup, number = (rng.randint(0, 1), rng.randint(1, 65535)) if qos else (0, 0)
        packed, expected = self.properties(3, who)
        body = field(topic) + (struct.pack(">H", number) if qos else b"") + packed + payload
        return frame(3, dup << 3 | qos << 1 | retain, body), [("dup", str(dup)), ("qos", str(qos)), ("retain", str(retain)), ("id", str(number)),
                                                              ("topic", topic.encode().hex()), ("payload", payload.hex()), *expected]

    def ack(self, kind, who):
        number = self.rng.randint(1, 65535)
        flags, body = 2 if kind == 6 else 0, struct.pack(">H", number)
        if self.version == 4:
            return frame(kind, flags, body), [("id", str(number)), ("reason", "0")]
        reason = self.reason(kind, who)
        packed, expected = self.properties(kind, who)
        if not expected and self.rng.random() < 0.5:  # the short forms
            body += bytes([reason]) if reason or self.rng.random() < 0.5 else b""
        else:
            body += bytes([reason]) + packed
        return frame(kind, flags, body), [("id", str(number)), ("reason", str(reason)), *expected]

    def subscribe(self):
        number = self.rng.randint(1, 65535)
        packed, expected = self.properties(8, FROM_CLIENT)
        body, said = struct.pack(">H", number) + packed, [("id", str(number))]
        for _ in range(self.rng.randint(1, 4)):
            topic = self.rng.choice((self.topic(), self.topic() + "/#", "+/" + self.topic(), "#"))
            qos, no_local, as_published, handling = self.rng.randint(0, 2), 0, 0, 0
            if self.version == 5:
                no_local, as_published, handling = self.rng.randint(0, 1), self.rng.randint(0, 1), self.rng.randint(0, 2)
            body += field(topic) + bytes([qos | no_local << 2 | as_published << 3 | handling << 4])
            said.append(("filter", f"{topic.encode().hex()}:{qos}:{no_local}:{as_published}:{handling}"))
        return frame(8, 2, body), said + expected

    def unsubscribe(self):
        number, topics = self.rng.randint(1, 65535), [self.topic() for _ in range(self.rng.randint(1, 4))]
        packed, expected = self.properties(10, FROM_CLIENT)
        return (frame(10, 2, struct.pack(">H", number) + packed + b"".join(map(field, topics))),
                [("id", str(number)), *(("filter", t.encode().hex()) for t in topics), *expected])

    def suback(self, kind):
        number = self.rng.randint(1, 65535)
        packed, expected = self.properties(kind, FROM_SERVER)
        if self.version == 4:
            codes = bytes(self.rng.choices((0, 1, 2, 0x80), k=self.rng.randint(1, 4))) if kind == 9 else b""
        else:
            codes = bytes(self.reason(kind, FROM_SERVER) for _ in range(self.rng.randint(1, 4)))
        return frame(kind, 0, struct.pack(">H", number) + packed + codes), [("id", str(number)), ("codes", codes.hex()), *expected]

    def connack(self):
        packed, expected = self.properties(2, FROM_SERVER)
        reason = self.reason(2, FROM_SERVER) if self.version == 5 else self.rng.randint(0, 5)
        present = self.rng.randint(0, 1) if reason == 0 else 0
        return frame(2, 0, bytes([present, reason]) + packed), [("present", str(present)), ("reason", str(reason)), *expected]

    def goodbye(self, kind, who):
        if self.version == 4:
            return frame(kind, 0, b""), [("reason", "0")]
        reason = self.reason(kind, who)
        packed, expected = self.properties(kind, who)
        if kind == 15 and not any(name == "p21" for name, _ in expected):
            return self.goodbye(14, who)  # an AUTH without its method is a protocol error
        body = b"" if reason == 0 and not expected and self.rng.random() < 0.5 else bytes([reason]) + packed
        return frame(kind, 0, body), [("reason", str(reason)), *expected]

    def packet(self, who):
        """(bytes, type, expected fields)"""
        both = [lambda: self.publish(who), *(lambda k=k: self.ack(k, who) for k in (4, 5, 6, 7)), lambda: self.goodbye(15, who)]
        if self.version == 4:
            both.pop()
        mine = [self.subscribe, self.unsubscribe, lambda: (frame(12, 0, b""), []), lambda: self.goodbye(14, who)] if who == FROM_CLIENT else \
               [self.connack, lambda: self.suback(9), lambda: self.suback(11), lambda: (frame(13, 0, b""), []),
                *([lambda: self.goodbye(14, who)] if self.version == 5 else [])]
        data, expected = self.rng.choice(both + mine)()
        return data, data[0] >> 4, expected


def made(rng, count):
    """[(version, who, CONNECT, [(bytes, type, expected)])]: of each conversation only one side speaks after the CONNECT."""
    found = []
    for _ in range(count):
        version, who = rng.choice((4, 5, 5)), rng.choice((FROM_CLIENT, FROM_SERVER))
        maker = Maker(rng, version)
        connect = maker.connect()
        packets = [(connect[0], 1, connect[1])] if who == FROM_CLIENT else []
        packets += [maker.packet(who) for _ in range(rng.randint(1, 12))]
        found.append((version, who, connect[0], packets))
    return found


def sorted_fields(fields):
    """By name: between different properties there is no order that counts, among user properties and filters there is."""
    return sorted(fields, key=lambda f: f[0])


def beside_tshark(conversations, what):
    """conversations: [[(to_server, bytes, type, our fields)]]; each packet by tshark has to say what we say."""
    rows = mqtt_wireshark.read([[(to_server, data) for to_server, data, _, _ in packets] for packets in conversations])
    troubles = []
    for number, packets in enumerate(conversations):
        at = {True: 0, False: 0}
        for to_server, data, kind, fields in packets:
            row = rows.get((number, to_server, at[to_server]))
            at[to_server] += len(data)
            if row is None or not row["mqtt.msgtype"] or row["_ws.malformed"]:
                troubles.append(f"{what} {NAMES[kind]} {data.hex()}: tshark does not take it: {row and row['_ws.expert.message']}")
                continue
            theirs, mine = mqtt_wireshark.summary_of_row(row), mqtt_wireshark.summary_of_ours(kind, fields)
            if theirs != mine:
                other = {k: (mine.get(k), theirs.get(k)) for k in {*mine, *theirs} if mine.get(k) != theirs.get(k)}
                troubles.append(f"{what} {NAMES[kind]} {data.hex()}: ours and tshark's: {other}")
    return troubles


def compare_made(program, rng, count):
    conversations = made(rng, count)
    answers = ours(program, [(v, who, b"".join(p[0] for p in packets)) for v, who, _, packets in conversations])
    troubles, again = [], []
    for (version, who, connect, packets), (found, last) in zip(conversations, answers):
        if last != "end" or len(found) != len(packets):
            data = packets[len(found)][0] if len(found) < len(packets) else b""
            troubles.append(f"version {version}, {who}: {last}: {data.hex()}")
            continue
        rewritten = [] if who == FROM_CLIENT else [(True, connect, 1, None)]
        for (data, kind, expected), (found_kind, fields, written) in zip(packets, found):
            if kind != found_kind or sorted_fields(fields) != sorted_fields(expected):
                troubles.append(f"{NAMES[kind]} {data.hex()}: {sorted_fields(fields)} and not {sorted_fields(expected)}")
            rewritten.append((who == FROM_CLIENT, written, kind, fields))
        again.append(rewritten)
    tell(troubles, f"made: {sum(len(p) for _, _, _, p in conversations)} packets of paho's properties and reasons say what was meant")
    firsts = ours(program, [(5, FROM_CLIENT, packets[0][1]) for packets in again])
    for packets, (found, _) in zip(again, firsts):
        if packets[0][3] is None:
            packets[0] = (True, packets[0][1], 1, found[0][1])
    tell(beside_tshark(again, "written"), "made: tshark reads in what we write what we read")


def compare_damaged(program, rng, count):
    """One packet each, after a CONNECT of its version."""
    tried = []
    for version, who, connect, packets in made(rng, count):
        broken = bytearray(packets[-1][0])
        for _ in range(rng.randint(1, 2)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        tried.append((version, who, connect, bytes(broken)))
    answers = ours(program, [(v, who, data) for v, who, _, data in tried])
    taken = []
    for (version, who, connect, data), (found, last) in zip(tried, answers):
        if last == "end" and len(found) == 1 and found[0][0] != 1:
            taken.append((who, connect, data, found[0]))
    firsts = ours(program, [(5, FROM_CLIENT, connect) for _, connect, _, _ in taken])
    conversations = [[(True, connect, 1, first[0][0][1]), (who == FROM_CLIENT, data, found[0], found[1])]
                     for (who, connect, data, found), first in zip(taken, firsts)]
    conversations = [c for c in conversations if is_plain(c[1][3])]
    tell(beside_tshark(conversations, "damaged"), f"damaged: of {len(tried)} ours takes {len(taken)}, and tshark reads the same in {len(conversations)}")


def is_plain(fields):
    """Texts that tshark's own output can tell: no control characters, and not what stands between values."""
    for name, value in fields:
        for part in value.split(":") if name in ("filter", "p38", "w38") else [value]:
            if name in ("topic", "filter", "client", "user", "password", "willtopic") or name[1:].isdigit() and int(name[1:]) in mqtt_wireshark.TEXTS | {38}:
                try:
                    text = bytes.fromhex(part).decode()
                except ValueError:
                    if name == "filter":
                        continue
                    return False
                if not text.isprintable() or "," in text or "\\" in text:
                    return False
    return True


def what_is_needed():
    """mqtt_tool of a build; ends the program where it cannot say anything."""
    program = next((b / "tools" / "mqtt_tool" for b in BUILDS if (b / "tools" / "mqtt_tool").exists()), None)
    if program is None:
        sys.exit("mqtt_tool is not built\n0 passed, 1 failed, 0 skipped")
    try:
        import paho.mqtt.properties  # noqa: F401
    except ImportError:
        if sys.executable != "/usr/bin/python3":
            os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])
        print("skipped: python3-paho-mqtt is not there\n0 passed, 0 failed, 1 skipped")
        sys.exit(0)
    if not shutil.which("tshark"):
        print("skipped: tshark is not there\n0 passed, 0 failed, 1 skipped")
        sys.exit(0)
    return program


def end():
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


def main():
    program = what_is_needed()
    rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 400
    compare_made(program, rng, count)
    compare_damaged(program, rng, 4 * count)
    return end()


if __name__ == "__main__":
    sys.exit(main())
