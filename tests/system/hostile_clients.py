#!/usr/bin/env python3
"""Hostile clients of a real gateway: each attack holds what it can while honest devices, from another address, go on
with one message after the other. What must hold: they are never cut and always answered, each refusal has its reason
and its counter, the memory an attacker holds stays under its stated limit, and is given back when it goes.
Usage: hostile_clients.py [WORD ...]
"""
import os, random, shutil, socket, ssl, struct, sys, tempfile, threading, time

import gateway as lab
from gateway import Client, Gateway, check, connect_packet, packet, publish_packet, string
from gateway_mqtt import ALL, App, grant

PACKET = 65536
SESSIONS = 4          # of one device
CONNECTS_AT_ONCE = 300  # of one address
HANDSHAKES = 64
CONNECT_MS = 4000
BUFFERS = 2 * PACKET + 131072  # what one connection may make the gateway hold: input twice while it grows, answers
HONEST = ("beta", "gamma", "delta")
QUEUE = 16384         # messages that wait for one session
HAS_SANITIZER = "sanitize" in lab.BUILD
OPTIONS = ("packet", PACKET, "per_device", SESSIONS, "address_connects", 20, "address_burst", CONNECTS_AT_ONCE, "handshakes", HANDSHAKES,
           "connect_ms", CONNECT_MS, "device_packets", 3000, "device_bytes", 16 << 20, "device_connects", 2, "inflight", 64)


def user_kib(g):
    with open(f"/proc/{g.pid()}/smaps_rollup") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("Anonymous:"))


def counters(g):
    found = {}
    with open(f"{g.d}/gateway.metrics") as f:
        for line in f:
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                found[name] = float(value)
    return found


def wait_until(holds, what):
    end = time.monotonic() + lab.DEADLINE
    while not holds():
        check(time.monotonic() < end, f"never: {what}")
        time.sleep(0.05)  # between looks at the gateway's own report


def reason(name):
    return f'holdfast_gateway_refusals_total{{reason="{name}"}}'


class Honest:
    """A device that publishes and waits for its PUBACK, on and on, from an address of its own."""

    def __init__(self, g, name):
        self.client = Client(g, name, source="127.0.0.2")
        check(self.client.connect()[1] == 0)
        self.done, self.slowest_s, self.error, self.stops = 0, 0.0, None, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        number = 0
        try:
            while not self.stops:
                number = number % 60000 + 1
                began = time.monotonic()
                self.client.publish("v", number)
                check(self.client.puback() == number, "no PUBACK")
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                self.done += 1
        except Exception as error:  # told by whoever asks for it
            self.error = error

    def stop(self):
        self.stops = True
        self.thread.join(lab.DEADLINE)
        self.client.close()


def raw(g, data=b"", source="127.0.0.1"):
    s = socket.create_connection(("127.0.0.1", g.port), lab.DEADLINE, source_address=(source, 0))
    if data:
        s.sendall(data)
    return s


def drain(client):
    """The last packet before the end of the connection, or None."""
    last = None
    while (answer := client.receive()) is not None:
        last = answer
    return last


def try_client(g, name="alpha", **how):
    """None where the gateway turned it away."""
    try:
        return Client(g, name, **how)
    except (ConnectionError, ssl.SSLError, TimeoutError):
        return None


# ---- the attacks: each gives what it holds, and what it may make the gateway hold in KiB ----

def client_hello():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def slowloris(g):
    """peers that say nothing, or half a hello, or a whole one and no more, hold no place that others need"""
    hello = client_hello()
    held = []
    for i in range(200):
        try:
            held.append(raw(g, (b"", hello[:100], hello)[i % 3], f"127.0.1.{1 + i % 20}"))  # one address alone has only half of the places
        except ConnectionError:
            pass
    newcomer = Client(g, "epsilon", source="127.0.0.3")
    check(newcomer.connect()[1] == 0, "an honest newcomer is kept out")
    newcomer.close()
    wait_until(lambda: counters(g)[reason("handshake-timeout")] >= 100, "they give way, counted")
    check(any(" handshake-timeout " in line and "gave way" in line for line in g.refusals().splitlines()), "not told in full")
    return held, HANDSHAKES * 80


def garbage(g):
    """bytes that are no TLS, TLS of other times, and hellos broken anywhere end with an alert or nothing, and are counted"""
    rng = random.Random(5)
    hello = client_hello()
    before = counters(g)
    bad = [rng.randbytes(rng.randrange(1, 4000)) for _ in range(20)]
    bad += [b"\x16\x03\x01\xff\xff" + bytes(16000), b"GET / HTTP/1.1\r\n\r\n", b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03abc"]
    for at in range(0, len(hello), 25):
        bad.append(hello[:at] + bytes([hello[at] ^ 0x55]) + hello[at + 1:])
    for data in bad:
        try:
            s = raw(g, data)
            s.shutdown(socket.SHUT_WR)
            while s.recv(4096):
                pass
            s.close()
        except OSError:  # reset, whenever it was
            pass
    wait_until(lambda: sum(counters(g)[reason(r)] - before[reason(r)] for r in ("tls", "address-rate", "address-handshakes")) >= 15, "they are counted")
    return [], 1024


def stolen(g):
    """certificates with all the right names by another issuer cost their address eight connections each, and nobody else anything"""
    before = counters(g)
    for _ in range(CONNECTS_AT_ONCE // 8 + 30):
        client = try_client(g, "foreign")
        if client is not None:
            try:
                client.send(connect_packet())
            except (ConnectionError, ssl.SSLError):
                pass
            check(client.receive() is None, "a stolen-looking certificate was let in")
            client.close()
    wait_until(lambda: counters(g)[reason("tls")] - before[reason("tls")] >= 10, "they are refused as tls")
    wait_until(lambda: counters(g)[reason("address-rate")] > before[reason("address-rate")], "their address is slowed")
    check(any(" address-rate " in line and "again in" in line for line in g.refusals().splitlines()), "the refusals do not say when to come back")
    return [], 1024


def giants(g):
    """a packet that is too long is refused from its first five bytes, one that never ends costs its buffer and no more"""
    before = counters(g)
    for header in (b"\x30\xff\xff\xff\x7f", packet(0x30, bytes(PACKET + 1))[:5], b"\x30\xff\xff\xff\xff\xff"):
        c = Client(g)
        check(c.connect()[1] == 0)
        c.send(header)
        answer = drain(c)
        check(answer is not None and answer[0] == 14 and answer[2][0] in (0x95, 0x81), header, answer)
        c.close()
    check(counters(g) is not None)
    held = []
    for i in range(SESSIONS):
        c = Client(g)
        check(c.connect(client_id=f"part{i}")[1] == 0)
        c.send(publish_packet(c.own("j/s"), "x" * (PACKET - 200), 1)[:-1])
        held.append(c)
    wait_until(lambda: counters(g)[reason("packet-too-large")] > before[reason("packet-too-large")], "they are counted")
    return held, SESSIONS * BUFFERS // 1024


def properties(g):
    """thousands of user properties, aliases beyond the maximum and repeated properties are read once and kept nowhere"""
    before = counters(g)
    many = (b"\x26" + string("k") + string("v")) * 6000

    def varint(n):
        out = b""
        while True:
            out += bytes([n % 128 | (128 if n > 127 else 0)])
            n //= 128
            if n == 0:
                return out
    body = string("MQTT") + b"\x05\x02" + struct.pack(">H", 60) + varint(len(many)) + many + string("flood")
    c = Client(g)
    c.send(packet(0x10, body))
    answer = c.receive()
    check(answer is not None and answer[0] == 2, answer)
    own = c.own("j/s")
    for i in range(1, 40):
        c.send(packet(0x32, string(own) + struct.pack(">H", i) + varint(len(many)) + many + b"x"))
        check(c.receive() is not None)
    c.close()
    for bad in (b"\x23\x00\x00", b"\x23\xff\xff", b"\x21\x00\x10" * 2, b"\x7f\x00"):
        c = Client(g)
        check(c.connect(client_id="bad")[1] == 0)
        c.send(publish_packet(own, "x", 1, properties=bad))
        answer = drain(c)
        check(answer is not None and answer[0] == 14 and answer[2][0] in (0x94, 0x82, 0x81), bad, answer)
        c.close()
    wait_until(lambda: sum(counters(g)[reason(r)] - before[reason(r)] for r in ("topic-alias-invalid", "protocol-error", "malformed-packet")) >= 4, "they are counted")
    return [], SESSIONS * BUFFERS // 1024


def subscriptions(g):
    """bombs of filters and storms of wildcards are answered filter by filter, or refused, and kept within bounds"""
    held = []
    for i in range(SESSIONS):
        c = Client(g)
        check(c.connect(client_id=f"bomb{i}")[1] == 0)
        for n in range(1, 300):
            filters = [f"hf/1/{lab.device_id('alpha')}/x{i}/{n}/{k}/" + "+/" * (n % 60) + "#" for k in range(8)]
            try:
                c.send(packet(0x82, struct.pack(">H", n) + b"\x00" + b"".join(string(f) + b"\x01" for f in filters)))
            except (ConnectionError, ssl.SSLError):
                break
            answer = c.receive()
            if answer is None or answer[0] == 14:
                break
            check(answer[0] == 9 and len(answer[2]) == 3 + len(filters), "no SUBACK", answer)
        held.append(c)
    c = Client(g, "zeta")
    check(c.connect()[1] == 0)
    c.send(packet(0x82, struct.pack(">H", 1) + b"\x00" + b"".join(string(f"a/{k}") + b"\x00" for k in range(5000))))
    answer = c.receive()
    check(answer is None or answer[0] in (9, 14), answer)
    c.close()
    return held, SESSIONS * 1024


def reconnects(g):
    """a device that comes and goes without end gets 0x9F, or is turned away with its address, and leaves nothing behind"""
    codes, words = [], b""
    for i in range(160):
        c = try_client(g, "zeta", source="127.0.0.4")
        if c is None:
            continue
        answer = c.connect(client_id=f"loop{i % 7}")
        codes.append(answer[1])
        words = answer if answer[1] == 0x9f else words
        c.close()
    check(0x9f in codes and b"again in" in words, "never told that it comes too often, and when to come back", codes[-5:], words)
    wait_until(lambda: counters(g)[reason("connection-rate-exceeded")] > 0, "it is counted")
    return [], 1024


def deaf(g):
    """a client that asks and asks and never reads is cut at its buffer, and counted"""
    before = counters(g)
    held = []
    for i in range(2):
        c = Client(g)
        check(c.connect(client_id=f"deaf{i}")[1] == 0)
        try:
            for _ in range(30):
                c.send(b"\xc0\x00" * 32768)
        except (ConnectionError, ssl.SSLError, TimeoutError):
            pass
        held.append(c)
    throttled = "holdfast_gateway_throttled_total"
    wait_until(lambda: counters(g)[reason("quota-exceeded")] > before[reason("quota-exceeded")] or counters(g)[throttled] > before[throttled], "it is cut or waits")
    return held, 2 * BUFFERS // 1024


def never_acking(g):
    """a subscriber that reads and never acknowledges holds a queue of a stated size, then loses its session, and no publisher its word"""
    sub = Client(g, "other", source="127.0.0.6")
    check(sub.connect(client_id="mute", flags=0, properties=b"\x11\x00\x00\x01\x00")[1] == 0)
    sub.send(packet(0x82, b"\x00\x01\x00" + string("q/#") + b"\x01"))
    check(sub.receive()[0] == 9)
    pub = App(g, "app")
    waiting = acked = 0
    for i in range(QUEUE + 2000):
        pub.send(publish_packet("q/x", "m", i % 60 + 1))
        waiting += 1
        while waiting >= 50:
            pub.expect(4)
            waiting, acked = waiting - 1, acked + 1
    for _ in range(waiting):
        pub.expect(4)
        acked += 1
    check(acked == QUEUE + 2000, "a publisher was left without its PUBACK")
    last = drain(sub)
    check(last is not None and last[0] == 14 and last[2][0] == 0x97, last)
    pub.close()
    return [sub], 16384


def wildcards(g):
    """a storm of wildcards that all match the same messages ends at a number of filters, and the messages still flow"""
    before = counters(g)
    app = App(g, "app")
    codes = []
    for n in range(1, 400):
        levels = ["+" if n >> b & 1 else "a" for b in range(12)]
        codes += app.subscribe(["w/" + "/".join(levels[:k]) + "/#" for k in range(5, 12)], qos=0)
    check(set(codes) <= {0, 0x97}, set(codes))
    for i in range(200):
        check(app.pub("w/" + "/".join("a" * 14), "m") in (0, 0x10), "not taken")
    app.close()
    check(counters(g)['holdfast_invariant_violations_total{name="BoundedCost"}'] == before['holdfast_invariant_violations_total{name="BoundedCost"}'])
    return [], 8192


def unfinished(g):
    """TLS without a CONNECT: a device has so many connections, and each has so long"""
    before = counters(g)
    held = [c for c in (try_client(g, "zeta", source="127.0.0.5") for _ in range(4 * SESSIONS)) if c is not None]
    wait_until(lambda: counters(g)[reason("device-connections")] - before[reason("device-connections")] >= SESSIONS, "the rest is refused")
    check(all(c.receive() is None for c in held), "one is still there after the time for a CONNECT")
    return held, 2 * SESSIONS * 64


ATTACKS = (slowloris, garbage, stolen, giants, properties, subscriptions, wildcards, reconnects, deaf, never_acking, unfinished)


def close_all(held):
    for each in held:
        each.close()


def run(g, attack):
    honest = [Honest(g, name) for name in HONEST]
    try:
        wait_until(lambda: all(h.done >= 20 for h in honest), "honest devices work")
        before = user_kib(g)
        done = [h.done for h in honest]
        held, limit = attack(g)
        grown = user_kib(g) - before
        wait_until(lambda: all(h.done > n + 20 or h.error for h, n in zip(honest, done)), "honest devices go on")
        errors = [h.error for h in honest if h.error]
        check(not errors, "an honest device was hurt:", errors)
        print(f"  {attack.__name__}: {grown} KiB more, at most {limit} allowed; slowest answer to an honest device {1e3 * max(h.slowest_s for h in honest):.0f} ms", flush=True)
        check(HAS_SANITIZER or grown <= limit + 1024, f"{grown} KiB more, at most {limit} allowed")
        close_all(held)
        wait_until(lambda: counters(g)["holdfast_gateway_connections"] <= len(HONEST) and counters(g)["holdfast_gateway_handshakes"] == 0, "all of it is given back")
    finally:
        for h in honest:
            h.stop()


def main():
    d = tempfile.mkdtemp(prefix="holdfast-hostile-clients-")
    wanted = sys.argv[1:]
    failed = passed = 0
    lab.make_pki(d)
    for name in ("gamma", "delta", "epsilon", "zeta"):
        lab.make_leaf(d, name, "issuer", lab.device_extensions(name))
    grant(d, app=ALL, other=ALL)
    try:
        for attack in ATTACKS:
            if wanted and not any(w in attack.__name__ for w in wanted):
                continue
            g = Gateway(d, *OPTIONS)
            try:
                g.wait_metric("holdfast_gateway_handshakes", 0)
                run(g, attack)
                check(g.stop() == 0)
                last = counters(g)
                check(last['holdfast_invariant_violations_total{name="BoundedCost"}'] == 0, "BoundedCost is violated")
                check(last['holdfast_invariant_evaluations_total{name="BoundedCost"}'] > 0, "BoundedCost was never looked at")
                passed += 1
            except Exception as why:
                print(f"FAILED {attack.__name__}: {attack.__doc__}\n  {type(why).__name__}: {why}\n  {g.words()[-2000:]}")
                import traceback
                traceback.print_exc(limit=-3)
                failed += 1
            finally:
                if g.process.poll() is None:
                    g.kill()
                shutil.rmtree(f"{d}/spool", ignore_errors=True)
    finally:
        shutil.rmtree(d, ignore_errors=True)
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
