"""MQTT 3.1.1 and 5.0 on the wire, without any library: packets of a client are made, also wrong ones, and packets of a server
are read strictly. A server's packet that breaks a rule of form raises Broken with the statement, so each packet that any test
receives is held against all of them. Versions are protocol levels: 4 is MQTT 3.1.1, 5 is MQTT 5.0.
"""
import struct

(CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP,
 DISCONNECT, AUTH) = range(1, 16)
NAMES = ["0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE", "SUBACK", "UNSUBSCRIBE",
         "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH"]

# Of each property its number, its kind, and the server's packets that may carry it (MQTT 5.0 2.2.2.2).
ACKS = (PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK)
PROPERTIES = {
    "payload_format": (0x01, "byte", (PUBLISH,)),
    "message_expiry": (0x02, "four", (PUBLISH,)),
    "content_type": (0x03, "text", (PUBLISH,)),
    "response_topic": (0x08, "text", (PUBLISH,)),
    "correlation_data": (0x09, "data", (PUBLISH,)),
    "subscription_id": (0x0b, "var", (PUBLISH,)),
    "session_expiry": (0x11, "four", (CONNACK,)),
    "assigned_client_id": (0x12, "text", (CONNACK,)),
    "server_keep_alive": (0x13, "two", (CONNACK,)),
    "authentication_method": (0x15, "text", (CONNACK, AUTH)),
    "authentication_data": (0x16, "data", (CONNACK, AUTH)),
    "request_problem": (0x17, "byte", ()),
    "will_delay": (0x18, "four", ()),
    "request_response": (0x19, "byte", ()),
    "response_information": (0x1a, "text", (CONNACK,)),
    "server_reference": (0x1c, "text", (CONNACK, DISCONNECT)),
    "reason_string": (0x1f, "text", (CONNACK, DISCONNECT, AUTH, *ACKS)),
    "receive_maximum": (0x21, "two", (CONNACK,)),
    "topic_alias_maximum": (0x22, "two", (CONNACK,)),
    "topic_alias": (0x23, "two", (PUBLISH,)),
    "maximum_qos": (0x24, "byte", (CONNACK,)),
    "retain_available": (0x25, "byte", (CONNACK,)),
    "user": (0x26, "pair", (CONNACK, PUBLISH, DISCONNECT, AUTH, *ACKS)),
    "maximum_packet_size": (0x27, "four", (CONNACK,)),
    "wildcard_available": (0x28, "byte", (CONNACK,)),
    "subscription_ids_available": (0x29, "byte", (CONNACK,)),
    "shared_available": (0x2a, "byte", (CONNACK,)),
}
BY_NUMBER = {number: (name, kind, packets) for name, (number, kind, packets) in PROPERTIES.items()}
MANY = ("user", "subscription_id")  # the others stand at most once in a packet

REASONS = {  # the codes a server may send (MQTT 5.0 2.4), and the statement that says so
    CONNACK: ({0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b,
               0x9c, 0x9d, 0x9f}, "3.2.2-8"),
    PUBACK: ({0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}, "3.4.2-1"),
    PUBREC: ({0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}, "3.5.2-1"),
    PUBREL: ({0, 0x92}, "3.6.2-1"),
    PUBCOMP: ({0, 0x92}, "3.7.2-1"),
    SUBACK: ({0, 1, 2, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2}, "3.9.3-2"),
    UNSUBACK: ({0, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91}, "3.11.3-2"),
    DISCONNECT: ({0, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98,
                  0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2}, "3.14.2-1"),
    AUTH: ({0, 0x18}, "3.15.2-1"),
}


class Broken(AssertionError):
    """The server has sent what no server may send."""

    def __init__(self, statement, words):
        super().__init__(f"[MQTT-{statement}] {words}")


# ---- what a client writes ----

def number(value):
    """A variable byte integer."""
    out = b""
    while True:
        value, rest = divmod(value, 128)
        out += bytes([rest | (128 if value else 0)])
        if value == 0:
            return out


def text(value):
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(data)) + data


def packet(first, body=b""):
    """`first` is the whole first byte."""
    return bytes([first]) + number(len(body)) + body


def properties(pairs=()):
    """`pairs` of a name of PROPERTIES and a value; (number, bytes) writes what no name has."""
    out = b""
    for name, value in pairs:
        if isinstance(name, int):
            out += bytes([name]) + value
            continue
        code, kind, _ = PROPERTIES[name]
        out += bytes([code])
        if kind == "byte":
            out += bytes([value])
        elif kind in ("two", "four"):
            out += struct.pack(">H" if kind == "two" else ">I", value)
        elif kind == "var":
            out += number(value)
        elif kind == "pair":
            out += text(value[0]) + text(value[1])
        else:
            out += text(value)
    return number(len(out)) + out


def connect(version, client_id="", clean=True, keep_alive=60, props=(), will=None, user=None, password=None, flags=None,
            name="MQTT", level=None, more=b""):
    """`will` is a dict with topic, payload, qos, retain, props. `flags` replaces the connect flags, `more` is put behind."""
    bits = (2 if clean else 0) | (0x80 if user is not None else 0) | (0x40 if password is not None else 0)
    payload = text(client_id)
    if will is not None:
        bits |= 4 | will.get("qos", 0) << 3 | (0x20 if will.get("retain") else 0)
        payload += properties(will.get("props", ())) if version == 5 else b""
        payload += text(will["topic"]) + text(will["payload"])
    payload += b"".join(text(field) for field in (user, password) if field is not None)
    head = text(name) + bytes([version if level is None else level, bits if flags is None else flags])
    head += struct.pack(">H", keep_alive) + (properties(props) if version == 5 else b"")
    return packet(CONNECT << 4, head + payload + more)


def publish(version, topic, payload=b"", qos=0, packet_id=0, retain=False, dup=False, props=()):
    body = text(topic) + (struct.pack(">H", packet_id) if qos else b"")
    body += properties(props) if version == 5 else b""
    body += payload.encode() if isinstance(payload, str) else payload
    return packet(PUBLISH << 4 | (8 if dup else 0) | qos << 1 | (1 if retain else 0), body)


def subscribe(version, packet_id, filters, props=()):
    """`filters` are pairs of a filter and its options byte."""
    body = struct.pack(">H", packet_id) + (properties(props) if version == 5 else b"")
    return packet(SUBSCRIBE << 4 | 2, body + b"".join(text(f) + bytes([options]) for f, options in filters))


def unsubscribe(version, packet_id, filters, props=()):
    body = struct.pack(">H", packet_id) + (properties(props) if version == 5 else b"")
    return packet(UNSUBSCRIBE << 4 | 2, body + b"".join(text(f) for f in filters))


def ack(version, kind, packet_id, reason=None, props=None):
    """PUBACK, PUBREC, PUBREL or PUBCOMP; the short form unless a reason or properties are given."""
    body = struct.pack(">H", packet_id)
    if version == 5 and (reason is not None or props is not None):
        body += bytes([reason or 0]) + (properties(props) if props is not None else b"")
    return packet(kind << 4 | (2 if kind == PUBREL else 0), body)


def disconnect(version, reason=None, props=None):
    body = b""
    if version == 5 and (reason is not None or props is not None):
        body = bytes([reason or 0]) + (properties(props) if props is not None else b"")
    return packet(DISCONNECT << 4, body)


def auth(reason=0x18, props=()):
    return packet(AUTH << 4, bytes([reason]) + properties(props))


def pingreq():
    return packet(PINGREQ << 4)


# ---- what a server writes, read strictly ----

class Packet:
    """A packet of the server: kind, flags and what it says; size in bytes on the wire."""

    def __init__(self, kind, flags, size):
        self.kind, self.flags, self.size = kind, flags, size
        self.id = 0
        self.reason = 0
        self.reasons = []
        self.session_present = False
        self.props = {}
        self.topic, self.payload = "", b""
        self.qos, self.dup, self.retain = flags >> 1 & 3, bool(flags & 8), bool(flags & 1)

    def users(self):
        return self.props.get("user", [])

    def __repr__(self):
        return f"{NAMES[self.kind]} {vars(self)}"


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        if self.left() < count:
            raise Broken("4.13.1-1", f"a packet of the server ends early: {self.data.hex()}")
        self.at += count
        return self.data[self.at - count:self.at]

    def byte(self):
        return self.take(1)[0]

    def two(self):
        return struct.unpack(">H", self.take(2))[0]

    def four(self):
        return struct.unpack(">I", self.take(4))[0]

    def var(self):
        start, value = self.at, 0
        for shift in (0, 7, 14, 21):
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                if number(value) != self.data[start:self.at]:
                    raise Broken("1.5.5-1", f"{value} is not written as short as can be: {self.data[start:self.at].hex()}")
                return value
        raise Broken("1.5.5-1", "a variable byte integer of more than four bytes")

    def text(self):
        data = self.take(self.two())
        try:
            value = data.decode("utf-8")
        except UnicodeDecodeError:
            raise Broken("1.5.4-1", f"ill-formed UTF-8: {data.hex()}") from None
        if "\0" in value:
            raise Broken("1.5.4-2", f"U+0000 in {value!r}")
        return value

    def properties(self, kind):
        if self.left() == 0:
            raise Broken("2.2.2-1", f"{NAMES[kind]} without a property length")
        inner = Reader(self.take(self.var()))
        found = {}
        while inner.left():
            code = inner.var()
            if code not in BY_NUMBER or kind not in BY_NUMBER[code][2]:
                raise Broken("4.13.1-1", f"property {code:#x} in {NAMES[kind]}")
            name, form, _ = BY_NUMBER[code]
            if form == "pair":
                value = (inner.text(), inner.text())
            elif form == "data":
                value = inner.take(inner.two())
            else:
                value = getattr(inner, form)()
            if name in MANY:
                found.setdefault(name, []).append(value)
            elif name in found:
                raise Broken("4.13.1-1", f"{name} twice in {NAMES[kind]}")
            else:
                found[name] = value
        check_values(kind, found)
        return found


def check_values(kind, found):
    """Properties whose values are bounded."""
    for name in ("payload_format", "retain_available", "wildcard_available", "subscription_ids_available", "shared_available",
                 "maximum_qos"):
        if found.get(name, 0) not in (0, 1):
            raise Broken("4.13.1-1", f"{name} {found[name]} in {NAMES[kind]}")
    for name, statement in (("receive_maximum", "4.9.0-1"), ("maximum_packet_size", "3.2.2-15"), ("topic_alias", "3.3.2-8")):
        if found.get(name) == 0:
            raise Broken(statement, f"{name} is 0 in {NAMES[kind]}")
    if 0 in found.get("subscription_id", []):
        raise Broken("3.3.4-3", "a subscription identifier of 0")
    if any(c in found.get("response_topic", "") for c in "+#"):
        raise Broken("3.3.2-14", f"response topic {found['response_topic']!r}")


def frame(data):
    """(first byte, body, rest) of the first whole packet in `data`, or None."""
    value, at = 0, 1
    for shift in (0, 7, 14, 21):
        if len(data) <= at:
            return None
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            break
    else:
        raise Broken("1.5.5-1", "a remaining length of more than four bytes")
    if number(value) != data[1:at]:
        raise Broken("1.5.5-1", f"the remaining length {value} is not written as short as can be")
    return (data[0], data[at:at + value], data[at + value:]) if len(data) >= at + value else None


def read(version, first, body):
    """The server's packet, every rule of form looked at."""
    kind, flags = first >> 4, first & 15
    p = Packet(kind, flags, 1 + len(number(len(body))) + len(body))
    if kind in (0, CONNECT, SUBSCRIBE, UNSUBSCRIBE, PINGREQ) or version == 4 and kind in (DISCONNECT, AUTH):
        raise Broken("4.13.1-1", f"a server sends {NAMES[kind]}")
    if kind != PUBLISH and flags != (2 if kind == PUBREL else 0):
        raise Broken("2.1.3-1", f"{NAMES[kind]} with flags {flags:#x}")
    r = Reader(body)
    READERS[kind](version, p, r)
    if r.left():
        raise Broken("4.13.1-1", f"{NAMES[kind]} with {r.left()} bytes behind its end: {body.hex()}")
    codes, statement = REASONS.get(kind, ({0}, ""))
    for reason in p.reasons or [p.reason]:
        if version == 5 and reason not in codes:
            raise Broken(statement, f"{NAMES[kind]} with reason {reason:#x}")
    return p


def read_connack(version, p, r):
    flags = r.byte()
    if flags & 0xfe:
        raise Broken("3.2.2-1", f"acknowledge flags {flags:#x}")
    p.session_present, p.reason = bool(flags), r.byte()
    p.props = r.properties(CONNACK) if version == 5 else {}
    if version == 4 and p.reason > 5:
        raise Broken("3.2.2-8", f"return code {p.reason} to a client of 3.1.1")
    if p.session_present and p.reason:
        raise Broken("3.2.2-6", f"session present beside reason {p.reason:#x}")


def read_publish(version, p, r):
    if p.qos == 3:
        raise Broken("3.3.1-4", "a PUBLISH with both QoS bits")
    if p.qos == 0 and p.dup:
        raise Broken("3.3.1-2", "DUP on a PUBLISH of QoS 0")
    p.topic = r.text()
    if any(c in p.topic for c in "+#"):
        raise Broken("3.3.2-2", f"wildcards in topic {p.topic!r}")
    p.id = r.two() if p.qos else 0
    if p.qos and p.id == 0:
        raise Broken("2.2.1-4", "packet identifier 0")
    p.props = r.properties(PUBLISH) if version == 5 else {}
    if not p.topic and "topic_alias" not in p.props:
        raise Broken("4.7.3-1", "an empty topic without an alias")
    p.payload = r.take(r.left())


def read_ack(version, p, r):
    p.id = r.two()
    if p.id == 0:
        raise Broken("2.2.1-5", f"{NAMES[p.kind]} of packet identifier 0")
    if version == 5 and r.left():
        p.reason = r.byte()
    if version == 5 and r.left():
        p.props = r.properties(p.kind)


def read_codes(version, p, r):
    p.id = r.two()
    p.props = r.properties(p.kind) if version == 5 else {}
    p.reasons = list(r.take(r.left())) if p.kind == SUBACK or version == 5 else []
    if p.kind == SUBACK and version == 4 and any(code not in (0, 1, 2, 0x80) for code in p.reasons):
        raise Broken("3.9.3-2", f"codes {p.reasons} to a client of 3.1.1")


def read_end(version, p, r):
    if r.left():
        p.reason = r.byte()
    if r.left():
        p.props = r.properties(p.kind)
    if "session_expiry" in p.props:
        raise Broken("3.14.2-2", "a server's DISCONNECT with a session expiry")


READERS = {CONNACK: read_connack, PUBLISH: read_publish, PUBACK: read_ack, PUBREC: read_ack, PUBREL: read_ack, PUBCOMP: read_ack,
           SUBACK: read_codes, UNSUBACK: read_codes, PINGRESP: lambda version, p, r: None, DISCONNECT: read_end, AUTH: read_end}
