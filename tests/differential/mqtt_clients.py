#!/usr/bin/env python3
"""Our MQTT beside what real programs say: mosquitto_pub, mosquitto_sub, mosquitto_rr and paho, in both versions, with every
option that they have, talk to a server that answers as it must (Answering, below) and, where there is a mosquitto broker, to
that one; all bytes of both directions are recorded. Ours takes every packet, what it writes of it has the same fields, and tshark
reads the same in it; of some packets the command line says what has to be in them. Usage: mqtt_clients.py"""
import contextlib
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import mqtt_codec  # noqa: E402
from mqtt_codec import FROM_CLIENT, FROM_SERVER, NAMES, field, frame  # noqa: E402

PUB, SUB, RR = "mosquitto_pub", "mosquitto_sub", "mosquitto_rr"
PATIENCE_S = 20

# (name, version, command without address, {field of a packet that has to be there: value})
COMMANDS = [
    ("plain", 4, [PUB, "-V", "311", "-i", "one", "-t", "a/b", "-m", "hello"], {"topic": "a/b", "payload": "hello"}),
    ("qos 1", 4, [PUB, "-V", "311", "-i", "two", "-t", "a/é", "-m", "x", "-q", "1", "-k", "77", "-u", "user", "-P", "secret"],
     {"topic": "a/é", "keepalive": 77, "user": "user", "password": "secret"}),
    ("qos 2", 4, [PUB, "-V", "311", "-i", "three", "-t", "a", "-n", "-q", "2", "-r", "-c", "--will-topic", "w", "--will-payload", "gone",
                  "--will-qos", "1", "--will-retain"], {"willtopic": "w", "willpayload": "gone", "willqos": 1, "willretain": 1, "clean": 0, "retain": 1}),
    ("plain", 5, [PUB, "-V", "5", "-i", "four", "-t", "a/b", "-m", "hello"], {"topic": "a/b", "payload": "hello"}),
    ("properties of a publish", 5, [PUB, "-V", "5", "-i", "five", "-t", "a", "-m", "x", "-q", "1",
                                    "-D", "publish", "message-expiry-interval", "70000", "-D", "publish", "content-type", "text/plain",
                                    "-D", "publish", "response-topic", "r/1", "-D", "publish", "correlation-data", "c0",
                                    "-D", "publish", "payload-format-indicator", "1", "-D", "publish", "user-property", "k", "v",
                                    "-D", "publish", "user-property", "k", "w"], {"p2": 70000, "p3": "text/plain", "p8": "r/1", "p9": "c0", "p1": 1}),
    ("properties of a connect", 5, [PUB, "-V", "5", "-i", "six", "-t", "a", "-m", "x", "-q", "2",
                                    "-D", "connect", "session-expiry-interval", "60", "-D", "connect", "receive-maximum", "9",
                                    "-D", "connect", "maximum-packet-size", "100000", "-D", "connect", "topic-alias-maximum", "4",
                                    "-D", "connect", "request-problem-information", "0", "-D", "connect", "user-property", "a", "b",
                                    "-D", "disconnect", "session-expiry-interval", "5", "-D", "disconnect", "user-property", "bye", "now"],
     {"p17": 60, "p33": 9, "p39": 100000, "p34": 4, "p23": 0}),
    ("a will with properties", 5, [PUB, "-V", "5", "-i", "seven", "-t", "a", "-m", "x", "-x", "30", "--will-topic", "w", "--will-payload", "gone",
                                   "-D", "will", "will-delay-interval", "3", "-D", "will", "message-expiry-interval", "9",
                                   "-D", "will", "content-type", "t", "-D", "will", "payload-format-indicator", "1",
                                   "-D", "will", "user-property", "u", "v"], {"w24": 3, "w2": 9, "w3": "t", "w1": 1}),
    ("an alias", 5, [PUB, "-V", "5", "-i", "eight", "-t", "a", "-m", "x", "-D", "publish", "topic-alias", "1"], {"p35": 1}),
    ("many", 4, [PUB, "-V", "311", "-i", "nine", "-t", "a", "-m", "x" * 200, "--repeat", "5", "-q", "1"], {}),
    ("subscribe", 4, [SUB, "-V", "311", "-i", "ten", "-t", "a/#", "-t", "b/+/c", "-q", "1", "-U", "old/one", "-C", "1"], {}),
    ("subscribe", 5, [SUB, "-V", "5", "-i", "eleven", "-t", "a/#", "-t", "+/b", "-q", "2", "-U", "old/one", "-C", "1", "--retain-as-published",
                      "-D", "subscribe", "subscription-identifier", "268435455",
                      "-D", "subscribe", "user-property", "s", "t", "-D", "unsubscribe", "user-property", "u", "v"], {"p11": 268435455}),
    ("request", 5, [RR, "-V", "5", "-i", "twelve", "-t", "ask/it", "-e", "answer/it", "-m", "why", "-q", "1"], {"p8": "answer/it"}),
]


class Answering(threading.Thread):
    """A server of no program's making: it answers each packet with what the standard asks for, and sends a message to every
    filter as soon as it is subscribed to. It is not compared with anything."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=(self.listener.accept()[0],), daemon=True).start()

    def serve(self, link):
        version, stream = 4, b""
        with link, contextlib.suppress(OSError):
            while True:
                more = link.recv(65536)
                if not more:
                    return
                stream += more
                for kind, flags, body, _ in take_all(stream):
                    version = body[6] if kind == 1 else version
                    link.sendall(self.answer(version, kind, flags, body))
                stream = rest_of(stream)

    def answer(self, version, kind, flags, body):
        none = b"\0" if version == 5 else b""
        if kind == 1:
            return frame(2, 0, b"\0\0" + none)
        if kind == 3 and flags & 6:
            place = 2 + struct.unpack_from(">H", body)[0]
            return frame(4 if flags & 2 else 5, 0, body[place:place + 2])
        if kind in (5, 6):  # PUBREC is answered by PUBREL, PUBREL by PUBCOMP
            return frame(kind + 1, 2 if kind == 5 else 0, body[:2])
        if kind == 10:
            return frame(11, 0, body[:2] + none + (b"\0" if version == 5 else b""))
        if kind == 8:
            at, filters = 2, []
            if version == 5:
                at += 1 + body[2]
            while at < len(body):
                size = struct.unpack_from(">H", body, at)[0]
                filters.append(body[at + 2:at + 2 + size])
                at += 3 + size
            topic = filters[0].replace(b"#", b"x").replace(b"+", b"y")
            return frame(9, 0, body[:2] + none + bytes(len(filters))) + frame(3, 0, field(topic) + none + b"an answer")
        return frame(13, 0, b"") if kind == 12 else b""


def take_all(stream):
    """(type, flags, body, size) of each whole packet."""
    at = 0
    while True:
        length = shift = 0
        for i in range(at + 1, min(len(stream), at + 5)):
            length |= (stream[i] & 127) << shift
            shift += 7
            if not stream[i] & 128:
                break
        else:
            return
        end = i + 1 + length
        if end > len(stream):
            return
        yield stream[at] >> 4, stream[at] & 15, stream[i + 1:end], end - at
        at = end


def rest_of(stream):
    return stream[sum(size for _, _, _, size in take_all(stream)):]


class Recorder(threading.Thread):
    """Between a client and a server; `connections` holds the bytes of both directions of each."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.target, self.connections = port, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                near = self.listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", self.target))
                both = {FROM_CLIENT: bytearray(), FROM_SERVER: bytearray()}
                self.connections.append(both)
                for source, sink, who in ((near, far, FROM_CLIENT), (far, near, FROM_SERVER)):
                    threading.Thread(target=self.carry, args=(source, sink, both[who]), daemon=True).start()

    def carry(self, source, sink, kept):
        with contextlib.suppress(OSError):
            while True:
                more = source.recv(65536)
                kept += more
                if not more:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(more)


@contextlib.contextmanager
def broker():
    """The port of a mosquitto of our own; None where there is none."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if not program:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        conf = pathlib.Path(folder) / "conf"
        conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_topic_alias 10\n")
        process = subprocess.Popen([program, "-c", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            end = time.monotonic() + PATIENCE_S
            while time.monotonic() < end:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                time.sleep(0.02)
            yield port
        finally:
            process.terminate()
            process.wait()


# ---- clients ----

def run_commands(port):
    """[(name, expected, how it ended)]"""
    ended = []
    for name, version, command, expected in COMMANDS:
        is_sub = command[0] != PUB
        process = subprocess.Popen([command[0], "-h", "127.0.0.1", "-p", str(port), *command[1:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if is_sub:  # a broker has nothing to say by itself
            feeder = threading.Thread(target=feed, args=(port, process, "answer/it" if command[0] == RR else "a/b"))
            feeder.start()
        try:
            said = process.communicate(timeout=PATIENCE_S)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            said = process.communicate()[0] + b" (no end)"
        if is_sub:
            feeder.join()
        ended.append((f"{name}, version {version}", expected, process.returncode, said))
    return ended


def feed(port, process, topic):
    while process.poll() is None:
        subprocess.run([PUB, "-V", "5", "-h", "127.0.0.1", "-p", str(port), "-t", topic, "-m", "fed", "-D", "publish", "user-property", "f", "g"],
                       capture_output=True, timeout=PATIENCE_S)
        time.sleep(0.05)  # between two attempts: what counts is the end of the other


def run_paho(port, version):
    from paho.mqtt import client as paho
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties
    from paho.mqtt.subscribeoptions import SubscribeOptions
    got, is_5 = threading.Event(), version == 5
    client = paho.Client(client_id=f"paho-{version}", protocol=paho.MQTTv5 if is_5 else paho.MQTTv311)
    client.on_message = lambda *_: got.set()
    client.will_set("paho/will", b"\0\1", qos=2, retain=True)
    client.username_pw_set("someone", "something")
    how = {}
    if is_5:
        how["properties"] = Properties(PacketTypes.CONNECT)
        how["properties"].SessionExpiryInterval = 11
        how["properties"].UserProperty = [("a", "1"), ("a", "2")]
        how["clean_start"] = True
    client.connect("127.0.0.1", port, keepalive=30, **how)
    client.loop_start()
    if is_5:
        properties = Properties(PacketTypes.SUBSCRIBE)
        properties.SubscriptionIdentifier = 129
        client.subscribe([("paho/#", SubscribeOptions(qos=2, noLocal=False, retainAsPublished=True, retainHandling=1))], properties=properties)
    else:
        client.subscribe([("paho/#", 2), ("q", 0)])
    for qos in (0, 1, 2):
        client.publish("paho/x", b"\xff\0" * 10, qos=qos, retain=qos == 1).wait_for_publish(PATIENCE_S)
    is_heard = got.wait(PATIENCE_S)
    client.unsubscribe(["paho/#", "q"])
    client.disconnect()
    client.loop_stop()
    return is_heard


# ---- comparing ----

def compare(program, what, recorder, ended):
    troubles = [f"{name}: status {status}: {said.decode(errors='replace')}" for name, _, status, said in ended if status != 0]
    streams = [(5, who, bytes(both[who])) for both in recorder.connections for who in (FROM_CLIENT, FROM_SERVER)]
    firsts = [take_all(data) for _, _, data in streams[::2]]
    versions = [next(first, (0, 0, b"\0" * 7, 0))[2][6] for first in firsts]
    streams = [(versions[i // 2], who, data) for i, (_, who, data) in enumerate(streams)]
    answers = mqtt_codec.ours(program, streams)
    again = mqtt_codec.ours(program, [(v, who, b"".join(p[2] for p in found)) for (v, who, _), (found, _) in zip(streams, answers)])
    conversations, said = [[] for _ in recorder.connections], []
    for i, ((version, who, data), (found, last), (rewritten, _)) in enumerate(zip(streams, answers, again)):
        pieces = [data[:0] for _ in found]
        at = 0
        for n, (_, _, _, size) in enumerate(take_all(data)):
            if n < len(found):
                pieces[n] = data[at:at + size]
            at += size
        if last != "end":
            troubles.append(f"version {version}, {who}: {last}: {data[sum(map(len, pieces)):][:80].hex()}")
        if [p[:2] for p in found] != [p[:2] for p in rewritten]:
            troubles.append(f"version {version}, {who}: not the same when written again: {data.hex()}")
        conversations[i // 2] += [(who == FROM_CLIENT, piece, kind, fields) for piece, (kind, fields, _) in zip(pieces, found)]
        said += [pair for _, fields, _ in found for pair in fields] if who == FROM_CLIENT else []
    for name, expected, _, _ in ended:
        for key, value in expected.items():
            pair = (key, str(value) if isinstance(value, int) else value.encode().hex())
            if pair not in said:
                troubles.append(f"{name}: nobody said {pair}")
    kinds = sorted({NAMES[kind] for packets in conversations for _, _, kind, _ in packets})
    mqtt_codec.tell(troubles, f"{what}: {sum(map(len, conversations))} packets on {len(conversations)} connections, the same when written again")
    mqtt_codec.tell(mqtt_codec.beside_tshark([[p for p in packets if mqtt_codec.is_plain(p[3])] for packets in conversations], what),
                    f"{what}: tshark reads the same in them ({', '.join(kinds)})")


def main():
    program = mqtt_codec.what_is_needed()
    if not all(map(shutil.which, (PUB, SUB, RR))):
        print("skipped: mosquitto-clients is not there\n0 passed, 0 failed, 1 skipped")
        return 0
    answering = Answering()
    answering.start()
    with broker() as port:
        for what, target in (("clients", answering.port), ("clients and a broker", port)):
            if target is None:
                mqtt_codec.skip("there is no mosquitto broker to listen to")
                continue
            recorder = Recorder(target)
            recorder.start()
            ended = run_commands(recorder.port)
            for version in (4, 5):
                if not run_paho(recorder.port, version):
                    ended.append((f"paho, version {version}", {}, 1, b"it heard nothing"))
            compare(program, what, recorder, ended)
    return mqtt_codec.end()


if __name__ == "__main__":
    sys.exit(main())
