"""A client's connection in a test's hands: it sends what it is told, keeps each packet that comes in order, and waits for events
with a deadline. What no client should do can be done too; nothing is answered or repeated by itself, but by `receive`.
"""
import itertools
import socket
import time

import wire
from wire import Broken

DEADLINE_S = 15.0


class Failed(AssertionError):
    pass


def need(condition, *words):
    if not condition:
        raise Failed(" ".join(str(word) for word in words) or "does not hold")


def need_equal(found, wanted, what=""):
    need(found == wanted, f"{what}: {found!r}, not {wanted!r}")


class Closed(Failed):
    """The server ended the connection while something was waited for. `last`: its DISCONNECT, or None."""

    def __init__(self, waited_for, last):
        super().__init__(f"closed while waiting for {waited_for}; DISCONNECT: {last}")
        self.last = last


class Link:
    def __init__(self, stream, version):
        self.stream, self.version = stream, version
        self.stream.settimeout(DEADLINE_S)
        self.buffer = b""
        self.inbox = []  # packets that came and nobody has asked for
        self.is_over = False
        self.last = None  # the server's DISCONNECT
        self.aliases = {}
        self.ids = itertools.cycle(range(1, 65536))
        self.connack = None
        self.client_id = None

    # ---- sending ----

    def send(self, *packets):
        try:
            self.stream.sendall(b"".join(packets))
        except (ConnectionError, BrokenPipeError):
            pass  # the server closed; what is waited for next says so
        except OSError as why:
            if self.is_over or "SSL" in type(why).__name__ or "EOF" in str(why):
                return
            raise

    def next_id(self):
        return next(self.ids)

    def drop(self):
        """Ends the connection without a DISCONNECT, as a failing network would."""
        try:
            self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        except OSError:
            pass
        self.stream.close()
        self.is_over = True

    def leave(self, reason=None, props=None):
        """DISCONNECT; returns when the server has closed."""
        self.send(wire.disconnect(self.version, reason, props))
        self.closed()
        self.stream.close()

    # ---- receiving ----

    def pull(self, deadline):
        """One packet more into the inbox. False: the connection is over."""
        while not self.is_over:
            found = wire.frame(self.buffer)
            if found is not None:
                first, body, rest = found
                self.took(self.buffer[:len(self.buffer) - len(rest)])
                self.buffer = rest
                self.keep(wire.read(self.version, first, body))
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self.stream.settimeout(left)
            try:
                data = self.stream.recv(65536)
            except TimeoutError:
                raise
            except OSError as why:
                if "timed out" in str(why):
                    raise TimeoutError from None
                data = b""
            self.is_over = data == b""
            self.buffer += data
        return False

    def took(self, data):
        """The bytes of one packet of the server; for those who record them."""

    def keep(self, p):
        if self.last is not None:
            raise Broken("3.14.4-1", f"{wire.NAMES[p.kind]} after DISCONNECT")
        if p.kind == wire.CONNACK:
            if self.connack is not None:
                raise Broken("3.2.0-2", "a second CONNACK")
            self.connack = p
        elif self.connack is None and p.kind != wire.AUTH:
            raise Broken("3.14.0-1" if p.kind == wire.DISCONNECT else "3.2.0-1", f"{wire.NAMES[p.kind]} before CONNACK")
        if p.kind == wire.DISCONNECT:
            self.last = p
        if p.kind == wire.PUBLISH and "topic_alias" in p.props:
            if p.topic:
                self.aliases[p.props["topic_alias"]] = p.topic
            need(p.props["topic_alias"] in self.aliases, "a topic alias that was never set")
            p.topic = self.aliases[p.props["topic_alias"]]
        self.inbox.append(p)

    def next(self, what="a packet", deadline_s=DEADLINE_S):
        """The next packet in order."""
        end = time.monotonic() + deadline_s
        while not self.inbox:
            try:
                if not self.pull(end):
                    raise Closed(what, self.last)
            except TimeoutError:
                raise Failed(f"no {what} within {deadline_s:g} s") from None
        return self.inbox.pop(0)

    def take(self, kind, packet_id=None, deadline_s=DEADLINE_S):
        """The first packet of a kind (and identifier), whatever came before it, which stays."""
        end = time.monotonic() + deadline_s
        seen = 0
        while True:
            for i in range(seen, len(self.inbox)):
                p = self.inbox[i]
                if p.kind == kind and packet_id in (None, p.id):
                    return self.inbox.pop(i)
            seen = len(self.inbox)
            what = f"{wire.NAMES[kind]} {packet_id or ''}; there is {self.inbox}"
            try:
                if not self.pull(end):
                    raise Closed(what, self.last)
            except TimeoutError:
                raise Failed(f"no {what} within {deadline_s:g} s") from None

    def closed(self, *reasons, deadline_s=DEADLINE_S):
        """The server closes. With `reasons`, a DISCONNECT that it may send before must have one of them. Where nothing happens
        for a while a ping asks whether it is still open, so that a test of another deadline has to give it."""
        end = time.monotonic() + deadline_s
        patience = min(deadline_s, 2) if deadline_s == DEADLINE_S else deadline_s
        try:
            while self.pull(time.monotonic() + patience):
                pass
        except TimeoutError:
            if patience == deadline_s:
                raise Failed(f"still open after {deadline_s:g} s; there is {self.inbox}") from None
            self.send(wire.pingreq())
            return self.closed_after_ping(reasons, end)
        return self.check_last(reasons)

    def closed_after_ping(self, reasons, end):
        try:
            while self.pull(end):
                need(self.inbox[-1].kind != wire.PINGRESP, f"still open; there is {self.inbox}")
        except TimeoutError:
            raise Failed(f"still open; there is {self.inbox}") from None
        return self.check_last(reasons)

    def check_last(self, reasons):
        if reasons and self.last is not None:
            need(self.last.reason in reasons, f"DISCONNECT {self.last.reason:#x}, not one of {[hex(r) for r in reasons]}")
        return self.last

    def alive(self):
        """Shows that the connection is still open: a ping is answered."""
        self.send(wire.pingreq())
        self.take(wire.PINGRESP)

    # ---- whole exchanges ----

    def subscribe(self, *filters, qos=0, options=None, props=(), granted=True):
        """Filters with one QoS, or with options bytes. The SUBACK's codes; all granted unless said otherwise."""
        packet_id = self.next_id()
        options = qos if options is None else options
        self.send(wire.subscribe(self.version, packet_id, [(f, options) for f in filters], props))
        answer = self.take(wire.SUBACK, packet_id)
        need_equal(len(answer.reasons), len(filters), "codes in the SUBACK")
        if granted:
            need(all(code < 0x80 for code in answer.reasons), f"not granted: {filters} {answer}")
        return answer.reasons

    def unsubscribe(self, *filters, props=()):
        packet_id = self.next_id()
        self.send(wire.unsubscribe(self.version, packet_id, filters, props))
        answer = self.take(wire.UNSUBACK, packet_id)
        if self.version == 5:
            need_equal(len(answer.reasons), len(filters), "codes in the UNSUBACK")
        return answer.reasons

    def publish(self, topic, payload=b"", qos=0, retain=False, props=(), accepted=True):
        """A message and its whole acknowledgement. Returns the reason of the PUBACK or PUBREC."""
        packet_id = self.next_id() if qos else 0
        self.send(wire.publish(self.version, topic, payload, qos, packet_id, retain, False, props))
        if qos == 0:
            return 0
        answer = self.take(wire.PUBACK if qos == 1 else wire.PUBREC, packet_id)
        if accepted:
            need(answer.reason < 0x80, f"not accepted: {topic} {answer}")
        if qos == 2 and answer.reason < 0x80:
            self.send(wire.ack(self.version, wire.PUBREL, packet_id))
            need_equal(self.take(wire.PUBCOMP, packet_id).reason, 0, "PUBCOMP's reason")
        return answer.reason

    def answer(self, p):
        """Acknowledges a PUBLISH that came, to its end."""
        if p.qos == 1:
            self.send(wire.ack(self.version, wire.PUBACK, p.id))
        elif p.qos == 2:
            self.send(wire.ack(self.version, wire.PUBREC, p.id))
            self.take(wire.PUBREL, p.id)
            self.send(wire.ack(self.version, wire.PUBCOMP, p.id))

    def receive(self, deadline_s=DEADLINE_S):
        """The next message, acknowledged."""
        p = self.take(wire.PUBLISH, deadline_s=deadline_s)
        self.answer(p)
        return p

    def message(self, topic, payload, qos=None, deadline_s=DEADLINE_S):
        """The next message is this one; acknowledged."""
        p = self.receive(deadline_s)
        want = payload.encode() if isinstance(payload, str) else payload
        need((p.topic, p.payload) == (topic, want), f"the next message is {p}, not {topic} {payload!r}")
        need(qos in (None, p.qos), f"QoS {p.qos}, not {qos}")
        return p


def until(moment):
    """Time that has to pass, where time is what a statement speaks of."""
    while (left := moment - time.monotonic()) > 0:
        time.sleep(left)
