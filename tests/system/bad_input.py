#!/usr/bin/env python3
"""Bad input to the real processes, built with the address sanitizer where such a build is there: malformed MQTT, CBOR,
certificate requests, HTTP and configuration. The errors must be precise, the processes stay alive, nothing be lost, and
the sanitizers have nothing to say. Usage: bad_input.py"""
import base64
import json
import os
import random
import re
import socket
import ssl
import struct
import subprocess
import sys
import urllib.error
import urllib.request

import lib

SANITIZED = lib.pathlib.Path(os.environ.get("HOLDFAST_BIN_SANITIZE", lib.TOP / "build" / "sanitize" / "bin"))
if (SANITIZED / "holdfast").exists() and (SANITIZED / "holdfast-agent").exists():
    lib.BIN, lib.SLOWER = SANITIZED, 3.0

from lib import Failed, Mqtt, Platform, Script, mqtt_packet, mqtt_publish, mqtt_text, need, wait_for  # noqa: E402

STOCK = "rig-stock"
CONNACK, DISCONNECT = lib.CONNACK, lib.DISCONNECT


def pids(platform):
    up = platform.up()
    return {**{k: v for k, v in up["pids"].items()}, **{g["name"]: g["pid"] for g in up["gateways"]}}


def alive(platform, before):
    now = pids(platform)
    for role in ("keeper", "control", "ingest", "gw-1"):
        need(now[role] == before[role], f"{role} was started again: process {before[role]} became {now[role]}")
        os.kill(now[role], 0)


def end_of(link, data):
    """Sends, and says how the gateway ended the connection: 'disconnect 0x81', 'connack 0x..', 'closed', 'open'."""
    try:
        link.send(data)
        while True:
            packet = link.receive(timeout=5 * lib.SLOWER)
            if packet is None:
                return "open"
            kind, _, body = packet
            if kind == DISCONNECT:
                return f"disconnect 0x{body[0]:02x}" if body else "disconnect"
            if kind == CONNACK and body[1] >= 0x80:
                return f"connack 0x{body[1]:02x}"
    except (OSError, ssl.SSLError):
        return "closed"
    finally:
        link.close()


def mqtt_first(platform, stock):
    """What comes instead of a CONNECT."""
    _, folder = stock
    port = platform.gateway_port("gw-1")
    cases = {
        "a PUBLISH before CONNECT": mqtt_publish("hf/1/x/j/y", b"1", 1),
        "a PINGREQ before CONNECT": mqtt_packet(12, 0, b""),
        "the reserved packet type 0": mqtt_packet(0, 0, b"abc"),
        "a length of five bytes": b"\x10\xff\xff\xff\xff\x01",
        "CONNECT with flags": mqtt_packet(1, 2, lib.mqtt_connect("x")[2:]),
        "another protocol": mqtt_packet(1, 0, mqtt_text("MQTX") + bytes([5, 2, 0, 60, 0]) + mqtt_text("x")),
        "version 9": mqtt_packet(1, 0, mqtt_text("MQTT") + bytes([9, 2, 0, 60, 0]) + mqtt_text("x")),
        "the reserved connect flag": mqtt_packet(1, 0, mqtt_text("MQTT") + bytes([5, 3, 0, 60, 0]) + mqtt_text("x")),
        "a will of QoS 3": mqtt_packet(1, 0, mqtt_text("MQTT") + bytes([5, 0x1e, 0, 60, 0]) + mqtt_text("x") + b"\0" + mqtt_text("w") * 2),
        "a client id that is no UTF-8": mqtt_packet(1, 0, mqtt_text("MQTT") + bytes([5, 2, 0, 60, 0]) + mqtt_text(b"\xff\xfe")),
        "a CONNECT cut short": mqtt_packet(1, 0, mqtt_text("MQTT") + bytes([5, 2])),
        "an HTTP request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    }
    for what, data in cases.items():
        end = end_of(Mqtt(port, folder, STOCK, connect=False), data)
        need(end != "open", f"{what}: the connection stays open")


def mqtt_later(platform, stock):
    """What comes after a good CONNECT."""
    device, folder = stock
    port = platform.gateway_port("gw-1")
    topic = f"hf/1/{device}/j/x"
    cases = {
        "a second CONNECT": (lib.mqtt_connect(STOCK), {"disconnect 0x82"}),
        "QoS 3": (mqtt_packet(3, 6, mqtt_text(topic) + b"\0\1\0{}"), {"disconnect 0x81"}),
        "packet id 0": (mqtt_publish(topic, b"{}", 0), {"disconnect 0x81", "disconnect 0x82"}),
        "a wildcard as topic": (mqtt_publish("hf/1/+/j/x", b"{}", 1), {"disconnect 0x81", "disconnect 0x82", "disconnect 0x90"}),
        "SUBSCRIBE without its flags": (mqtt_packet(8, 0, b"\0\1\0" + mqtt_text("a") + b"\1"), {"disconnect 0x81"}),
        "SUBSCRIBE of nothing": (mqtt_packet(8, 2, b"\0\1\0"), {"disconnect 0x81", "disconnect 0x82"}),
        "a CONNACK from a client": (mqtt_packet(2, 0, b"\0\0\0"), {"disconnect 0x81", "disconnect 0x82"}),
        "the reserved type 0": (mqtt_packet(0, 0, b""), {"disconnect 0x81"}),
        "a property twice": (mqtt_packet(3, 2, mqtt_text(topic) + b"\0\1" + b"\x04\x01\0\x01\0" + b"{}"), {"disconnect 0x81", "disconnect 0x82"}),
        "a property that does not belong": (mqtt_packet(3, 2, mqtt_text(topic) + b"\0\1" + b"\x05\x11\0\0\0\0" + b"{}"),
                                            {"disconnect 0x81", "disconnect 0x82"}),
        "a packet of 16 MiB": (bytes([0x32]) + lib.mqtt_varint(1 << 24) + b"x" * 70000, {"disconnect 0x95"}),
    }
    wrong = []
    for what, (data, wanted) in cases.items():
        end = end_of(Mqtt(port, folder, STOCK), data)
        if end not in wanted:
            wrong.append(f"{what}: {end}, not {' or '.join(sorted(wanted))}")
    need(not wrong, "; ".join(wrong))


def mqtt_random(platform, stock):
    """Good packets with bytes changed, and mere noise."""
    device, folder = stock
    rng = random.Random(23)
    port = platform.gateway_port("gw-1")
    good = mqtt_publish(f"hf/1/{device}/j/x", b'{"a":1}', 7)
    for i in range(60):
        data = bytearray(good * 3 if i % 2 else rng.randbytes(rng.randrange(1, 400)))
        for _ in range(rng.randrange(1, 5)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        link = Mqtt(port, folder, STOCK)
        try:
            link.send(bytes(data))
            link.receive(timeout=0.05)
        except (OSError, ssl.SSLError):
            pass
        finally:
            link.close()


def acknowledged(link, topic, payload, packet_id=1):
    """The reason code of the PUBACK, or how it ended otherwise."""
    link.send(mqtt_publish(topic, payload, packet_id))
    kind, _, body = link.receive()
    return body[2] if kind == lib.PUBACK and len(body) > 2 else 0 if kind == lib.PUBACK else f"packet {kind}"


def payloads(platform, stock):
    """CBOR, COSE and JSON that cannot be read: acknowledged (they are kept), then dead letters with the right reason."""
    device, folder = stock
    rng = random.Random(29)
    link = Mqtt(platform.gateway_port("gw-1"), folder, STOCK)
    bad = [("t/x", p) for p in (b"", b"\xff", b"\x9f" * 100, b"\x5b" + b"\xff" * 8, b"\xa1" * 3000, b"\xd1\x84", rng.randbytes(500),
                                b"\xd1\x84\x40\xa0\x40\x58\x20" + bytes(32))]
    bad += [("hello", p) for p in (b"", b"\xd2", b"\xd2\x84\x40\xa0\x40\x40", rng.randbytes(300))]
    bad += [("j/x", p) for p in (b"", b"{", b"[" * 5000, b'{"a":}', b'{"a":1e999999}', b'{"a":"\xff"}', b'{"a":1,"a":2}', b"nul")]
    platform.catch_up()  # some of the noise may have been a message
    before = platform.counters()
    for i, (where, payload) in enumerate(bad):
        answer = acknowledged(link, f"hf/1/{device}/{where}", payload, i + 1)
        need(answer == 0 or isinstance(answer, int) and answer >= 0x80, f"{where} {payload[:20]!r}: {answer}")
    link.close()

    def refused():
        now = platform.counters()
        return {n: now[n] - before.get(n, 0) for n in now if n.startswith("refused.") and now[n] != before.get(n, 0)}

    wait_for(lambda: sum(refused().values()) >= len(bad), 30, f"{len(bad)} dead letters")
    need(refused() == {"refused.malformed": len(bad)}, f"counted {refused()}, not {len(bad)} malformed")
    letters = platform.items("/deadletters", reason="malformed")
    need(len(letters) >= len(bad), f"{len(letters)} dead letters are shown")


def nothing_lost(platform, stock):
    """Between all that, good messages arrive."""
    device, folder = stock
    link = Mqtt(platform.gateway_port("gw-1"), folder, STOCK)
    for i in range(50):
        body = json.dumps({"time": f"2026-01-01T00:00:{i:02d}Z", "good": i}).encode()
        need(acknowledged(link, f"hf/1/{device}/j/after", body, i + 1) == 0, "a good message was not acknowledged")
    link.close()

    def good():
        return [s for s in platform.series(STOCK) if s["name"] == "good" and s["count"] == 50]

    series = wait_for(good, 30, "50 points")[0]
    values = [v for _, v in platform.points(series["id"])]
    need(values == [float(i) for i in range(50)], f"stored: {values[:5]} ...")


def raw_http(port, data, tls=None):
    """Status and body of the answer to raw bytes; (0, b'') where the connection just ends."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=15 * lib.SLOWER)
    try:
        if tls:
            sock = tls.wrap_socket(sock, server_hostname="localhost")
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR) if not tls else None
        got = b""
        while True:
            more = sock.recv(65536)
            if not more:
                break
            got += more
    except (OSError, ssl.SSLError):
        pass
    finally:
        sock.close()
    found = re.match(rb"HTTP/1\.1 (\d{3})", got)
    return (int(found[1]) if found else 0), got.partition(b"\r\n\r\n")[2]


BAD_HTTP = {
    "no request line": b"\r\n\r\n\r\n",
    "noise": bytes(range(256)),
    "a bare LF": b"GET / HTTP/1.1\nHost: localhost\n\n",
    "two lengths": b"POST /api/v1/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "length and chunks": b"POST /api/v1/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length that is no number": b"POST /api/v1/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "no Host": b"GET /api/v1/status HTTP/1.1\r\n\r\n",
    "a blank before the colon": b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "a folded field": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
    "HTTP/3.0": b"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n",
    "a head of 100 kB": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"a" * 100000 + b"\r\n\r\n",
    "a NUL in the path": b"GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


def http_console(platform, _):
    port = platform.base
    wrong = []
    for what, data in BAD_HTTP.items():
        status, _body = raw_http(port, data)
        if status and not 400 <= status <= 505:
            wrong.append(f"{what}: {status}")
    need(not wrong, "; ".join(wrong))
    status, body = raw_http(port, BAD_HTTP["two lengths"])
    need(status == 400, f"two lengths: {status}")


def api_errors(platform, _):
    """problem+json with code, why and do; an unknown field has a suggestion."""
    cases = [("/devices?q=" + "stat:unknown", 400, "HF-3102"), ("/devices/nobody", 404, None), ("/nothing", 404, None),
             ("/data/points?series=banana", 400, None), ("/data/buckets?series=1&from=yesterday&to=never", 400, None)]
    for path, status, code in cases:
        try:
            platform.http(path)
            raise Failed(f"{path}: was answered")
        except urllib.error.HTTPError as error:
            problem = json.loads(error.read())
            need(error.code == status, f"{path}: {error.code}, not {status}")
            need({"code", "title", "why", "do"} <= set(problem), f"{path}: {sorted(problem)}")
            need(code in (None, problem["code"]), f"{path}: {problem['code']}")
    for body in (b"", b"{", b"[]", b'{"token":1}', b'{"token":"' + b"a" * 100000 + b'"}'):
        try:
            platform.http("/login", "POST", body, {"Content-Type": "application/json"}, token=False)
            raise Failed(f"login with {body[:20]!r} was answered")
        except urllib.error.HTTPError as error:
            need(400 <= error.code < 500, f"login with {body[:20]!r}: {error.code}")


def est(platform, _):
    """Requests for certificates that are none."""
    state = platform.dir / "est"
    platform.cli("factory", "idevid", "est-1", "--dir", str(platform.data / "factory"), "--out", str(state))
    tls = ssl.create_default_context(cafile=platform.up()["root"])
    tls.load_cert_chain(str(state / "idevid.pem"), str(state / "idevid.key"))
    url = platform.up()["devices_url"] + "/.well-known/est/simpleenroll"
    rng = random.Random(31)
    bodies = {"nothing": b"", "no base64": b"!!!!", "noise": base64.b64encode(rng.randbytes(300)),
              "a cut sequence": base64.b64encode(bytes.fromhex("308201")), "deep nesting": base64.b64encode(b"\x30\x80" * 2000),
              "an endless length": base64.b64encode(b"\x30\x84\xff\xff\xff\xff" + bytes(50)), "text": b"-----BEGIN CERTIFICATE REQUEST-----"}
    for what, body in bodies.items():
        request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/pkcs10", "Content-Transfer-Encoding": "base64"})
        try:
            with urllib.request.urlopen(request, context=tls, timeout=20 * lib.SLOWER) as answer:
                raise Failed(f"{what}: answered with {answer.status}")
        except urllib.error.HTTPError as error:
            need(400 <= error.code < 500, f"{what}: {error.code}")
            need(len(error.read()) > 10, f"{what}: {error.code} without a word")
    for what, data in BAD_HTTP.items():
        status, _body = raw_http(platform.base + 1, data, tls)
        need(not status or 400 <= status <= 505, f"{what}: {status}")
    names = [d["name"] for d in platform.items("/devices")]
    need("est-1" not in names or platform.api("/devices/est-1")["identity"] in ("expected",), "a device came of a bad request")


def configuration(platform, _):
    """Unknown keys, double keys, wrong units: refused with file, line, column and a suggestion; nothing is started."""
    good = (platform.data / "holdfast.toml").read_text()
    file = platform.dir / "bad.toml"
    cases = {
        "an unknown key": (good.replace("[site]\n", "[site]\nnam = \"x\"\n", 1), r"bad\.toml:\d+:\d+: .*\"nam\"", "name"),
        "a key twice": (good.replace("[site]\n", "[site]\nname = \"a\"\nname = \"b\"\n", 1), r"bad\.toml:\d+:\d+", ""),
        "no end of a string": (good + "\n[bus\nkind = \"embedded", r"bad\.toml:\d+:\d+", ""),
        "a wrong unit": (good + "\n[store]\nretain = \"400 parsecs\"\n" if "[store]" not in good
                         else re.sub(r"(?m)^\[store\]$", "[store]\nretain = \"400 parsecs\"", good), r"bad\.toml:\d+:\d+", ""),
        "noise": (random.Random(37).randbytes(500).decode("latin-1"), r"bad\.toml:\d+:\d+", ""),
    }
    for what, (text, pattern, suggestion) in cases.items():
        file.write_text(text)
        done = platform.cli("check", "--config", str(file), check=False)
        need(done.returncode == 9, f"{what}: status {done.returncode}: {done.stdout} {done.stderr}")
        need(re.search(r"error HF-\d{4}", done.stderr), f"{what}: no code: {done.stderr}")
        need(re.search(pattern, done.stderr), f"{what}: no place: {done.stderr}")
        need("why:" in done.stderr and "do:" in done.stderr and suggestion in done.stderr, f"{what}: {done.stderr}")
        run = platform.cli("run", "--config", str(file), check=False)
        need(run.returncode == 9, f"{what}: run ends with {run.returncode}")


def sanitizers(platform):
    """What they write goes to the logs; leaks are told at the end."""
    status = platform.stop()
    for path in [platform.dir / "demo.log", *sorted((platform.data / "log").glob("*.log"))]:
        text = path.read_text(errors="replace")
        found = re.search(r"(?m)^.*(ERROR: \w+Sanitizer|runtime error:|invariant|broken)", text)
        need(not found, f"{path.name}: {found and text[found.start():found.start() + 3000]}")
    need(status == 0, f"the platform ended with status {status}")


def main():
    script = Script()
    if lib.BIN != SANITIZED:
        print("skipped: no build with sanitizers; the ordinary one is used")
        script.skipped += 1
    try:
        with Platform(devices=1, name="bad-input") as platform:
            stock = platform.bundle(STOCK)
            before = pids(platform)
            for name, part in (("what comes instead of a CONNECT ends the connection", mqtt_first),
                               ("malformed packets get the reason code of the standard", mqtt_later),
                               ("noise on MQTT connections harms nothing", mqtt_random),
                               ("payloads that cannot be read become dead letters, each with its reason", payloads),
                               ("malformed HTTP is refused by the console", http_console),
                               ("the API says what is wrong, why and what to do", api_errors),
                               ("requests for certificates that are none are refused in words", est),
                               ("a wrong configuration is refused with its place and a suggestion", configuration),
                               ("good messages between all that arrive, once and in order", nothing_lost)):
                script.run(name, part, platform, stock)
                script.run(f"  ... and every process lives on ({part.__name__})", alive, platform, before)
            need(not platform.violations(), f"invariants violated: {platform.violations()}")
            script.run("the sanitizers have nothing to say", sanitizers, platform)
    except Failed as error:
        print(f"FAILED {error}")
        script.failed += 1
    script.end()


if __name__ == "__main__":
    main()
