#!/usr/bin/env python3
"""The whole of MQTT through the gateway's process: applications with grants, both versions, every QoS, sessions that
outlive kill -9. Clients that can say anything, and stock ones."""
import hashlib
import os
import struct
import subprocess
import sys
import time

import gateway
from gateway import (Client, DEADLINE, Gateway, Skip, check, connect_packet, device_id, make_leaf, openssl, packet, publish_packet,
                     string)


def key_digest(d, name):
    der = subprocess.run(["openssl", "x509", "-in", f"{d}/{name}.pem", "-noout", "-pubkey"], capture_output=True, check=True).stdout
    return hashlib.sha256(subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=der, capture_output=True,
                                         check=True).stdout).hexdigest()


def grant(d, number=1, **applications):
    """Writes the file of grants: NAME=(publish, subscribe, client_ids)."""
    os.makedirs(f"{d}/grants", exist_ok=True)
    lines = [f"number = {number}"]
    for name, (publish, subscribe, ids) in applications.items():
        if not os.path.exists(f"{d}/{name}.pem"):
            make_leaf(d, name, "issuer", f"subjectAltName=URI:spiffe://holdfast.local/app/{name}\n"
                      "extendedKeyUsage=clientAuth\nkeyUsage=digitalSignature")
        quote = lambda items: "[" + ", ".join(f'"{i}"' for i in items) + "]"  # noqa: E731
        lines += ["[[application]]", f'name = "{name}"', f"publish = {quote(publish)}", f"subscribe = {quote(subscribe)}",
                  f"client_ids = {quote(ids)}", f'keys = ["{key_digest(d, name)}"]']
    with open(f"{d}/grants/new", "w") as f:
        f.write("\n".join(lines) + "\n")
    os.rename(f"{d}/grants/new", f"{d}/grants/applications.toml")


ALL = (["#"], ["#"], ["*"])


class App(Client):
    """An application's connection that answers as MQTT asks, and keeps what it got."""

    def __init__(self, gateway, name="app", version=5, **options):
        super().__init__(gateway, name)
        self.version = version
        self.got = []
        self.ids = 0
        self.connack = self.connect(version=version, **options)

    def present(self):
        return self.connack[0] == 1

    def subscribe(self, filters, qos=2, options=0, subscription_id=0):
        self.ids += 1
        properties = b"\x0b" + bytes([subscription_id]) if subscription_id else b""
        body = struct.pack(">H", self.ids) + (bytes([len(properties)]) + properties if self.version == 5 else b"")
        for f in [filters] if isinstance(filters, str) else filters:
            body += string(f) + bytes([qos | options])
        self.send(packet(0x82, body))
        answer = self.expect(9)
        return list(answer[3 if self.version == 5 else 2:])

    def unsubscribe(self, name):
        self.ids += 1
        self.send(packet(0xa2, struct.pack(">H", self.ids) + (b"\x00" if self.version == 5 else b"") + string(name)))
        return list(self.expect(11)[3 if self.version == 5 else 2:])

    def pub(self, topic, payload, qos=1, packet_id=None, flags=0, properties=b""):
        """Publishes and goes the whole way; the reason of PUBACK or PUBREC."""
        if packet_id is None:
            self.ids += 1
            packet_id = self.ids
        self.send(publish_packet(topic, payload, packet_id, self.version, qos, flags, properties))
        if qos == 0:
            return 0
        answer = self.expect(4 if qos == 1 else 5)
        check(struct.unpack(">H", answer[:2])[0] == packet_id, answer)
        reason = answer[2] if len(answer) > 2 else 0
        if qos == 2 and reason < 0x80:
            self.send(packet(0x62, struct.pack(">H", packet_id)))
            self.expect(7)
        return reason

    def expect(self, kind):
        while True:
            answer = self.receive()
            check(answer is not None, "closed, while waiting for packet type", kind)
            if answer[0] == kind:
                return answer[2]
            self.note(answer)

    def note(self, answer):
        """Keeps a PUBLISH, and answers it and a PUBREL."""
        kind, flags, body = answer
        if kind == 3:
            qos, at = flags >> 1 & 3, 2 + struct.unpack(">H", body[:2])[0]
            message = {"topic": body[2:at].decode(), "qos": qos, "dup": bool(flags & 8), "retain": bool(flags & 1)}
            if qos:
                message["id"] = struct.unpack(">H", body[at:at + 2])[0]
                at += 2
            if self.version == 5:
                message["properties"] = body[at + 1:at + 1 + body[at]]
                at += 1 + body[at]
            message["payload"] = body[at:].decode()
            self.got.append(message)
            if qos:
                self.send(packet(0x40 if qos == 1 else 0x50, struct.pack(">H", message["id"])))
        elif kind == 6:
            self.send(packet(0x70, body[:2]))
        else:
            check(False, "not expected:", answer)

    def ping(self):
        """After this all that was due has come: answers are in order."""
        self.send(b"\xc0\x00")
        self.expect(13)

    def next(self, count=1):
        while len(self.got) < count:
            answer = self.receive()
            check(answer is not None, "closed, with", len(self.got), "of", count)
            self.note(answer)
        taken, self.got = self.got[:count], self.got[count:]
        return taken

    def payloads(self, count):
        return [m["payload"] for m in self.next(count)]


def expiry(seconds):
    return b"\x11" + struct.pack(">I", seconds)


# ---- rights ----

def test_rights(d):
    """an application without a grant is no client; with one it may what it lists, and 0x87 says what it may not"""
    grant(d, app=(["plant/#"], ["plant/#", "hf/1/+/j/+"], ["app-*"]), other=ALL)
    g = Gateway(d)
    make_leaf(d, "nobody", "issuer", "subjectAltName=URI:spiffe://holdfast.local/app/nobody\n"
              "extendedKeyUsage=clientAuth\nkeyUsage=digitalSignature")
    check(gateway.refused(g, "nobody"))
    check(Client(g, "app").connect(client_id="elsewhere")[1] == 0x85)
    app = App(g, client_id="app-1")
    check(app.connack[1] == 0)
    check(app.subscribe(["plant/+/x", "#", "hf/1/+/j/s", "hf/1/+/t/s", "$share/g/plant/y"]) == [2, 0x87, 2, 0x87, 2])
    check(app.pub("plant/a", "x") in (0, 0x10) and app.pub("elsewhere", "x") == 0x87 and app.pub("$SYS/x", "x", 2) == 0x87)
    device = Client(g, "alpha")
    device.connect()
    device.publish("from a device", 1)
    check(device.puback() == 1)
    check(app.payloads(1) == ["from a device"])
    check(g.stop() == 0)
    check(gateway.payloads(d) == ["from a device"], "what applications say is not for ingest")


def test_right_taken_away(d):
    """a grant that is withdrawn or narrowed cuts who lives by it at once, and takes the sessions that hear too much"""
    grant(d, 1, app=ALL, other=ALL)
    g = Gateway(d)
    app = App(g, client_id="a", flags=0, properties=expiry(1000))
    app.subscribe("secret/#")
    keeps = App(g, "other", client_id="b")
    keeps.subscribe("open/#")
    grant(d, 2, app=(["#"], ["open/#"], ["*"]), other=ALL)
    answer = app.receive()
    check(answer is not None and answer[0] == 14 and answer[2][0] == 0x87, answer)
    check(keeps.pub("open/x", "still") == 0 and keeps.payloads(1) == ["still"])
    again = App(g, client_id="a", flags=0, properties=expiry(1000))
    check(not again.present(), "the session that heard too much is gone")
    check(again.subscribe("secret/#") == [0x87])
    grant(d, 3, other=ALL)
    answer = again.receive()
    check(answer is not None and answer[2][0] == 0x87, answer)
    check(gateway.refused(g, "app"))
    keeps.ping()
    check(g.stop() == 0)


# ---- messages ----

def test_every_qos(d):
    """each QoS in each version arrives once, at the lower of both QoS, in order"""
    grant(d, app=ALL, other=ALL)
    g = Gateway(d)
    for version in (4, 5):
        for granted in (0, 1, 2):
            sub = App(g, "other", version, client_id="sub")
            check(sub.subscribe("a/+", granted) == [granted])
            pub = App(g, "app", version, client_id="pub")
            for qos in (0, 1, 2):
                check(pub.pub("a/b", f"m{qos}", qos) == 0)
            got = sub.next(3)
            check([m["payload"] for m in got] == ["m0", "m1", "m2"], got)
            check([m["qos"] for m in got] == [min(q, granted) for q in (0, 1, 2)], got)
            sub.ping()
            check(sub.got == [], "once")
            sub.close()
            pub.close()
    check(g.stop() == 0)


def test_no_subscriber(d):
    """a message nobody hears says so (0x10); without a grant to hear it nothing is kept of it"""
    grant(d, app=ALL)
    g = Gateway(d)
    app = App(g)
    check(app.pub("a", "x") == 0x10 and app.pub("a", "x", 2) == 0x10)
    check(g.stop() == 0)


def test_options(d):
    """No Local, Retain As Published, Retain Handling, subscription identifiers, overlapping filters: one copy"""
    grant(d, app=ALL, other=ALL)
    g = Gateway(d)
    pub = App(g, "other", client_id="pub")
    pub.pub("r/1", "kept", 1, flags=1)
    app = App(g, client_id="app")
    app.subscribe("r/#", 1, subscription_id=5)
    kept = app.next()[0]
    check(kept["retain"] and kept["payload"] == "kept" and kept["properties"] == b"\x0b\x05", kept)
    app.subscribe("r/1", 2, options=0x10, subscription_id=6)  # only where there was none: it is new
    check(app.next()[0]["properties"] == b"\x0b\x06")
    app.subscribe("r/1", 2, options=0x18, subscription_id=6)  # retain as published; only where there was none
    app.subscribe("own", 1, options=0x04)  # no local
    pub.pub("r/1", "live", 1, flags=1)
    live = app.next()[0]
    check(live["payload"] == "live" and live["retain"], live)
    check(sorted([live["properties"][i:i + 2] for i in (0, 2)]) == [b"\x0b\x05", b"\x0b\x06"], live)
    check(app.pub("own", "mine") == 0x10, "not to itself")
    app.subscribe("r/#", 1, options=0x20)  # none of what is retained
    app.ping()
    check(app.got == [], app.got)
    pub.pub("r/1", "", 1, flags=1)
    app.next()
    check(app.unsubscribe("r/1") == [0] and app.unsubscribe("r/1") == [0x11])
    late = App(g, client_id="late")
    late.subscribe("r/#")
    late.ping()
    check(late.got == [], "an empty retained message deletes")
    check(g.stop() == 0)


def test_properties(d):
    """request and response: what the publisher said reaches the subscriber, expiry counted down, user properties in order"""
    grant(d, app=ALL, other=ALL)
    g = Gateway(d)
    sub = App(g, "other")
    sub.subscribe("ask")
    app = App(g)
    said = (b"\x01\x01" + b"\x03" + string("text/plain") + b"\x08" + string("answer/1") + b"\x09" + string("42")
            + b"\x26" + string("a") + string("1") + b"\x26" + string("a") + string("2"))
    app.pub("ask", "?", 1, properties=said + b"\x02" + struct.pack(">I", 100))
    heard = sub.next()[0]["properties"]
    check(heard[0] == 2 and 0 < struct.unpack(">I", heard[1:5])[0] <= 100 and heard[5:] == said, heard)
    check(g.stop() == 0)


def test_aliases(d):
    """topic aliases both ways; none is sent above what the client takes"""
    grant(d, app=ALL, other=ALL)
    g = Gateway(d)
    sub = App(g, "other", properties=b"\x22\x00\x03")
    sub.subscribe("long/#")
    pub = App(g)
    pub.send(publish_packet("long/topic/name", "1", 1, properties=b"\x23\x00\x10"))
    pub.send(publish_packet("", "2", 2, properties=b"\x23\x00\x10"))
    pub.expect(4), pub.expect(4)
    one, two = sub.next(2)
    check(one["topic"] == "long/topic/name" and one["properties"][0] == 0x23 and 1 <= one["properties"][2] <= 3, one)
    check(two["topic"] == "" and two["properties"] == one["properties"] and two["payload"] == "2", two)
    check(g.stop() == 0)


def test_shared(d):
    """a shared subscription gives each message to one member, and all of them to somebody"""
    grant(d, app=ALL, other=ALL)
    g = Gateway(d)
    members = [App(g, "other", client_id=f"m{i}") for i in range(3)]
    for m in members:
        check(m.subscribe("$share/group/jobs/+") == [2])
    pub = App(g)
    for i in range(30):
        check(pub.pub("jobs/x", str(i)) == 0)
    for m in members:
        m.ping()
    got = [p["payload"] for m in members for p in m.got]
    check(sorted(got, key=int) == [str(i) for i in range(30)], got)
    check(all(m.got for m in members), "one member got all")
    check(g.stop() == 0)


def test_wills(d):
    """a will goes out when the connection is lost, not after a DISCONNECT, after its delay, and after kill -9"""
    grant(d, app=ALL, other=ALL)
    g = Gateway(d)
    watch = App(g, "other", client_id="w")
    watch.subscribe("will/#")
    will = b"\x00" + string("will/a") + string("gone")
    lost = App(g, flags=0x0e, rest=will)
    lost.close()
    check(watch.payloads(1) == ["gone"])
    polite = App(g, flags=0x0e, rest=will)
    polite.send(b"\xe0\x00")
    check(polite.receive() is None)
    on_purpose = App(g, flags=0x0e, rest=will)
    on_purpose.send(b"\xe0\x01\x04")
    check(watch.payloads(1) == ["gone"])
    began = time.monotonic()
    slow = App(g, flags=0x0e, properties=expiry(100), rest=b"\x05\x18\x00\x00\x00\x01" + string("will/b") + string("late"))
    slow.close()
    check(watch.payloads(1) == ["late"] and time.monotonic() - began >= 1, "before its delay")
    watch.close()
    keeps = App(g, "other", client_id="keeps", flags=0, properties=expiry(100))
    keeps.subscribe("will/#")
    App(g, flags=0x0e, rest=will)
    g.kill()
    g = Gateway(d)
    back = App(g, "other", client_id="keeps", flags=0, properties=expiry(100))
    check(back.present() and back.payloads(1) == ["gone"])
    check(g.stop() == 0)


# ---- sessions ----

def test_offline(d):
    """what comes while a kept session is away waits for it, in both versions; a clean start ends it"""
    grant(d, app=ALL, other=ALL)
    g = Gateway(d)
    pub = App(g)
    for version in (4, 5):
        options = {"client_id": f"s{version}", "flags": 0, "properties": expiry(100) if version == 5 else b""}
        sub = App(g, "other", version, **options)
        check(not sub.present())
        sub.subscribe("s/#")
        sub.close()
        for i in range(20):
            check(pub.pub("s/x", str(i), 1 + i % 2) == 0)
        pub.pub("s/x", "fleeting", 0)
        sub = App(g, "other", version, **options)
        check(sub.present() and sub.payloads(20) == [str(i) for i in range(20)])
        sub.ping()
        check(sub.got == [], sub.got)
        sub.send(b"\xe0\x00" if version == 4 else b"\xe0\x07\x00\x05" + expiry(0))
        while sub.receive() is not None:
            pass  # PUBRELs that were on their way
        sub = App(g, "other", version, **options)
        check(sub.present() == (version == 4), "a DISCONNECT with expiry 0 ends the session")
        sub.close()
        check(not App(g, "other", version, client_id=f"s{version}").present(), "clean start")
    check(g.stop() == 0)


def test_flow(d):
    """the client's Receive Maximum and Maximum Packet Size hold; an unacknowledged message comes again as DUP"""
    grant(d, app=ALL, other=ALL)
    g = Gateway(d)
    options = {"client_id": "s", "flags": 0, "properties": expiry(100) + b"\x21\x00\x02\x27" + struct.pack(">I", 100)}
    sub = Client(g, "other")
    sub.connect(**options)
    sub.send(packet(0x82, b"\x00\x01\x00" + string("f") + b"\x01"))
    check(sub.receive()[0] == 9)
    pub = App(g)
    pub.pub("f", "x" * 200)
    for i in range(5):
        pub.pub("f", str(i))
    first, second = sub.receive(), sub.receive()
    check(first[2][-1:] == b"0" and second[2][-1:] == b"1", "the large one is left out", first)
    sub.send(b"\xc0\x00")
    check(sub.receive()[0] == 13, "not more than two at once")
    sub.close()
    again = App(g, "other", **options)
    got = again.next(5)
    check([m["payload"] for m in got] == ["0", "1", "2", "3", "4"], got)
    check([m["dup"] for m in got] == [True, True, False, False, False], got)
    check([m["id"] for m in got[:2]] == [struct.unpack(">H", p[2][3:5])[0] for p in (first, second)], "the same packet ids")
    check(g.stop() == 0)


def test_exactly_once(d):
    """QoS 2 both ways over kill -9 at every step: the ids are known, and nothing comes twice"""
    grant(d, app=ALL, other=ALL)
    g = Gateway(d)
    sub_options = {"client_id": "sub", "flags": 0, "properties": expiry(100)}
    pub_options = {"client_id": "pub", "flags": 0, "properties": expiry(100)}
    sub = App(g, "other", **sub_options)
    sub.subscribe("e")
    sub.close()

    def restart():
        nonlocal g
        g.kill()
        g = Gateway(d)
        return App(g, **pub_options)

    pub = App(g, **pub_options)
    pub.send(publish_packet("e", "one", 7, qos=2))
    check(pub.expect(5)[:2] == b"\x00\x07")
    pub = restart()
    check(pub.present())
    pub.send(publish_packet("e", "one", 7, qos=2, flags=8))
    check(pub.expect(5)[:2] == b"\x00\x07")
    pub.send(packet(0x62, b"\x00\x07"))
    check(pub.expect(7) == b"\x00\x07")
    pub = restart()
    pub.send(packet(0x62, b"\x00\x07"))
    check(pub.expect(7)[:3] == b"\x00\x07\x92", "it was released before")
    check(pub.pub("e", "two", 2, packet_id=7) == 0, "the id is free again")
    raw = Client(g, "other")
    check(raw.connect(**sub_options)[0] == 1)
    kind, flags, body = raw.receive()
    check(kind == 3 and body.endswith(b"one"))
    first_id = body[3:5]
    raw.send(packet(0x50, first_id))
    while raw.receive()[0] != 6:  # the second message may come before
        pass
    g.kill()
    g = Gateway(d)
    raw = Client(g, "other")
    check(raw.connect(**sub_options)[0] == 1)
    answer = raw.receive()
    check(answer[0] == 6 and answer[2][:2] == first_id, "PUBREL again, not the message", answer)
    raw.send(packet(0x70, first_id))
    answer = raw.receive()
    check(answer[0] == 3 and answer[2].endswith(b"two"), answer)
    check(g.stop() == 0)


def test_kill(d):
    """kill -9 at full speed, five times: of what was acknowledged for an offline session nothing is lost, of QoS 2 nothing twice"""
    grant(d, app=ALL, other=ALL)
    g = Gateway(d)
    options = {"client_id": "offline", "flags": 0, "properties": expiry(1000)}
    sub = App(g, "other", **options)
    sub.subscribe("k/#")
    sub.close()
    acked, sent = set(), 0
    for round_ in range(5):
        pub = App(g, client_id="pub", flags=0, properties=expiry(1000))
        target, done = sent + 400, 0
        waiting = {}
        while done < 250:
            while sent < target and len(waiting) < 40:
                sent += 1
                waiting[sent % 60000 + 1] = sent
                pub.send(publish_packet("k/x", str(sent), sent % 60000 + 1, qos=1 + sent % 2))
            kind, _, body = pub.receive()
            packet_id = struct.unpack(">H", body[:2])[0]
            if kind == 5:
                acked.add(waiting[packet_id])
                pub.send(packet(0x62, body[:2]))
            elif kind == 4:
                acked.add(waiting[packet_id])
            if kind in (4, 7):
                waiting.pop(packet_id)
                done += 1
        g.kill()
        g = Gateway(d)
    sub = App(g, "other", **options)
    check(sub.present())
    got = []
    while not acked <= set(got):
        got.append(int(sub.next()[0]["payload"]))
    sub.ping()
    got += [int(m["payload"]) for m in sub.got]
    check(acked <= set(got))
    even = [n for n in got if n % 2 == 1]  # of QoS 2
    check(len(even) == len(set(even)), "twice")
    check(got == sorted(got), "in the order they came")
    check(g.stop() == 0)


def test_takeover(d):
    """the newest connection has the session; the old one hears 0x8E; what was in flight comes again"""
    grant(d, app=ALL, other=ALL)
    g = Gateway(d)
    options = {"client_id": "s", "flags": 0, "properties": expiry(100)}
    old = App(g, "other", **options)
    old.subscribe("t")
    new = App(g, "other", **options)
    check(new.present())
    answer = old.receive()
    check(answer[0] == 14 and answer[2][0] == 0x8e, answer)
    check(App(g).pub("t", "x") == 0 and new.payloads(1) == ["x"])
    check(g.stop() == 0)


def test_slow_subscriber(d):
    """who reads nothing of what it subscribed to stops its publisher and then loses its session: never success, then silence"""
    grant(d, app=ALL, other=ALL)
    g = Gateway(d)
    options = {"client_id": "slow", "flags": 0, "properties": expiry(100)}
    sub = Client(g, "other")
    sub.connect(**options)
    sub.send(packet(0x82, b"\x00\x01\x00" + string("q/#") + b"\x01"))
    check(sub.receive()[0] == 9)
    pub = App(g)
    payload, waiting = "x" * 60000, 0
    for i in range(1400):  # more than the 64 MiB that may wait for one session
        pub.send(publish_packet("q/x", payload, i % 60 + 1))
        waiting += 1
        if waiting == 50:
            pub.expect(4)
            waiting -= 1
    for _ in range(waiting):
        pub.expect(4)
    last = None
    while (answer := sub.receive()) is not None:
        last = answer
    check(last[0] == 14 and last[2][0] == 0x97, last[0])
    check(not App(g, "other", **options).present(), "and it is told so")
    g.wait_metric('holdfast_gateway_refusals_total{reason="quota-exceeded"}', 1)
    check(g.stop() == 0)


def test_full_spool(d):
    """a spool full of what waits for a client that is away stops publishers; when it comes back nothing is missing, and all goes on"""
    grant(d, app=ALL, other=ALL)
    g = Gateway(d, "segment", 1 << 18, "budget", 24 << 20, "packet", 32768)
    options = {"client_id": "away", "flags": 0, "properties": expiry(1000)}
    sub = App(g, "other", **options)
    sub.subscribe("q/#", 1)
    sub.close()
    pub = App(g, client_id="pub")
    total, sent, acked = 900, 0, set()  # of 30 kB each: more than the spool holds

    def push():
        nonlocal sent
        while sent < total and sent - len(acked) < 40:
            sent += 1
            pub.send(publish_packet("q/x", f"{sent} " + "x" * 30000, sent))

    def take():
        answer = pub.receive()
        check(answer is not None and answer[0] == 4 and len(answer[2]) == 2, answer)
        acked.add(struct.unpack(">H", answer[2])[0])

    def is_stalled():
        with open(f"{d}/gateway.metrics") as f:
            return any(line.startswith("holdfast_gateway_stalls_total ") and int(line.split()[1]) > 0 for line in f)

    push()
    while not is_stalled() and len(acked) < total:
        gateway.acknowledge(f"{d}/spool", gateway.BUILD)  # as ingest does: the sessions alone need what is left
        take()
        push()
    check(len(acked) < total, "it was to run full")
    g.kill()
    g = Gateway(d, "segment", 1 << 18, "budget", 24 << 20, "packet", 32768)
    sub = App(g, "other", **options)
    check(sub.present())
    pub = App(g, client_id="pub")
    unacked = [n for n in range(1, sent + 1) if n not in acked]
    got = set()
    for n in unacked:
        pub.send(publish_packet("q/x", f"{n} " + "x" * 30000, n, flags=8))
    waiting = len(unacked)
    end = time.monotonic() + 60
    while (waiting or not set(range(1, sent + 1)) <= got) and time.monotonic() < end:
        gateway.acknowledge(f"{d}/spool", gateway.BUILD)
        for m in sub.next(20 if len(got) + 20 <= sent else 1):
            got.add(int(m["payload"].split()[0]))
        while waiting and len(got) > 60:
            take()
            waiting -= 1
    check(set(range(1, sent + 1)) <= got, f"{sent - len(got)} missing")
    check(g.stop() == 0)


# ---- stock clients ----

def mosquitto(d, g, tool, name, *args, **options):
    return subprocess.Popen([f"mosquitto_{tool}", "-h", "localhost", "-p", str(g.port), "--cafile", f"{d}/root.pem", "--cert",
                             f"{d}/{name}.pem", "--key", f"{d}/{name}.key", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, **options)


def test_stock(d):
    """mosquitto_sub, mosquitto_pub and mosquitto_rr: QoS 2, a session that waits, request and response"""
    import shutil
    if shutil.which("mosquitto_rr") is None:
        raise Skip("mosquitto-clients are not installed")
    grant(d, app=ALL, other=ALL)
    g = Gateway(d)
    for version in ("311", "5"):
        keep = ["-x", "1000"] if version == "5" else []
        base = ["-V", version, "-i", "stock" + version, "-c", *keep, "-t", "m/#", "-q", "2"]
        check(mosquitto(d, g, "sub", "other", *base, "-E").wait(DEADLINE) == 0)
        for i in range(3):
            check(mosquitto(d, g, "pub", "app", "-V", version, "-t", "m/x", "-q", "2", "-m", str(i)).wait(DEADLINE) == 0)
        out = mosquitto(d, g, "sub", "other", *base, "-C", "3").communicate(timeout=DEADLINE)[0]
        check(out.split() == ["0", "1", "2"], out)
    answerer = App(g, "other")
    answerer.subscribe("ask")
    asker = mosquitto(d, g, "rr", "app", "-V", "5", "-t", "ask", "-e", "answer/1", "-m", "?", "-q", "1")
    heard = answerer.next()[0]
    check(b"\x08" + string("answer/1") in heard["properties"], heard)
    answerer.pub("answer/1", "42")
    check(asker.communicate(timeout=DEADLINE)[0].strip() == "42")
    check(g.stop() == 0)


if __name__ == "__main__":
    sys.exit(gateway.main(globals()))
