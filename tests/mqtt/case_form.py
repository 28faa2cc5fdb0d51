"""Form: strings, numbers, flags, packets in the wrong place. Each wrong thing closes its connection and nobody else's."""
import wire
from case import Failed, need, need_equal, shows

MALFORMED = (0x81, 0x82)  # malformed packet or protocol error: the standard leaves open which, at many places


def refused(c, data, *reasons, **options):
    """Sent on an accepted connection, it closes it; a 5.0 client hears one of the reasons, if it hears anything."""
    link = c.connect("bad", **options)
    link.send(data)
    try:
        link.closed(*(reasons or MALFORMED))
    except Failed as why:
        raise Failed(f"{data[:40].hex()}: {why}") from None


def never_accepted(c, data):
    """Sent as the first packet, it is not accepted, and the connection closes."""
    link = c.dial()
    link.send(data)
    try:
        link.closed()
    except Failed as why:
        raise Failed(f"{data[:60].hex()}: {why}") from None
    need(link.connack is None or link.connack.reason != 0, f"accepted {data.hex()}")


ILL_FORMED = {"a surrogate": b"a\xed\xa0\x80b", "a surrogate pair": b"\xed\xa0\x80\xed\xb0\x80", "an overlong slash": b"a\xc0\xafb",
              "a cut character": b"a\xe2\x82", "a byte that is none": b"a\xffb", "above U+10FFFF": b"\xf4\x90\x80\x80"}


@shows("1.5.4-1", "3.3.2-1", "3.8.3-1", "3.10.3-1", v3=("1.5.3-1", "3.3.2-1", "3.8.3-1", "3.10.3-1"))
def ill_formed_utf8_closes(c):
    v = c.version
    for name, bad in ILL_FORMED.items():
        refused(c, wire.publish(v, bad, b"x"))
        refused(c, wire.subscribe(v, 1, [(bad, 0)]))
        refused(c, wire.unsubscribe(v, 1, [bad]))


@shows("3.1.3-4", "3.1.3-11", "3.1.3-12", v3=("3.1.3-4", "3.1.3-10", "3.1.3-11"))
def ill_formed_utf8_in_a_connect_is_not_accepted(c):
    v = c.version
    for bad in ILL_FORMED.values():
        never_accepted(c, wire.connect(v, bad))
        never_accepted(c, wire.connect(v, c.client_id("w"), will={"topic": bad, "payload": b"x"}))
        never_accepted(c, wire.connect(v, c.client_id("u"), user=bad, password=b"x"))


@shows("1.5.4-2", "4.7.3-2", v3=("1.5.3-2", "4.7.3-2"))
def a_null_character_closes(c):
    v = c.version
    refused(c, wire.publish(v, b"a\0b", b"x"))
    refused(c, wire.subscribe(v, 1, [(b"a\0b", 0)]))
    refused(c, wire.unsubscribe(v, 1, [b"a\0b"]))
    never_accepted(c, wire.connect(v, b"a\0b"))


@shows("1.5.4-3", "4.7.3-4", v3=("1.5.3-3", "4.7.3-4"))
def nothing_in_a_topic_is_normalized_or_left_out(c):
    """A byte order mark, composed and decomposed letters, case and empty levels are all significant."""
    link = c.connect()
    base = c.topic("")
    names = [base + n for n in ("\ufeffx", "x", "X", "\u00e9", "e\u0301", "/x", "x/", "x//y", " x", "x ")]
    for name in names:
        other = c.connect(name="o")
        other.subscribe(name)
        for sent in names:
            link.publish(sent, sent)
        came = [p.topic for p in c.fence(other, link)]
        need_equal(came, [name], f"messages to a subscriber of {name!r}")


@shows("1.5.5-1", v3=())
def a_length_not_as_short_as_can_be_or_of_five_bytes_closes(c):
    refused(c, b"\x30\xff\xff\xff\xff\x01")
    refused(c, b"\xc0\x80\x80\x80\x80\x00")


@shows("1.5.5-1")
def a_property_length_of_five_bytes_closes(c):
    topic = wire.text(c.topic())
    refused(c, wire.packet(0x30, topic + b"\x80\x80\x80\x80\x01x"))


@shows("1.5.7-1", "3.3.2-13", "3.3.2-19")
def strings_of_properties_are_utf8(c):
    for props in ([("user", (b"a\xff", b"b"))], [("user", (b"a", b"\xed\xa0\x80"))], [("user", (b"a\0", b"b"))],
                  [("content_type", b"\xc0\xaf")], [("response_topic", b"a\xff")]):
        refused(c, wire.publish(5, c.topic(), b"x", props=props))


@shows("2.1.3-1", "3.6.1-1", "3.8.1-1", "3.10.1-1", "3.14.1-1", "3.15.1-1",
       v3=("2.2.2-1", "2.2.2-2", "3.6.1-1", "3.8.1-1", "3.10.1-1", "3.14.1-1"))
def reserved_flags_of_any_packet_close(c):
    v = c.version
    good = {wire.PUBACK: wire.ack(v, 4, 1), wire.PUBREC: wire.ack(v, 5, 1), wire.PUBREL: wire.ack(v, 6, 1),
            wire.PUBCOMP: wire.ack(v, 7, 1), wire.SUBSCRIBE: wire.subscribe(v, 1, [("a", 0)]),
            wire.UNSUBSCRIBE: wire.unsubscribe(v, 1, ["a"]), wire.PINGREQ: wire.pingreq(), wire.DISCONNECT: wire.disconnect(v)}
    if v == 5:
        good[wire.AUTH] = wire.auth()
    for kind, data in good.items():
        right = data[0] & 15
        for flags in (0, 1, 2, 3, 8, 15):
            if flags != right:
                refused(c, bytes([kind << 4 | flags]) + data[1:], 0x81, 0x82)


@shows("3.3.1-4", v3="3.3.1-4")
def a_publish_with_both_qos_bits_closes(c):
    refused(c, wire.packet(0x36, wire.text(c.topic()) + b"\0\1" + (b"\0" if c.version == 5 else b"")), 0x81, 0x82)


@shows("3.3.1-2", v3="3.3.1-2")
def dup_on_qos_0_closes(c):
    refused(c, wire.publish(c.version, c.topic(), b"x", dup=True), 0x81, 0x82)


@shows("2.2.1-2", "2.2.1-3", v3=("2.3.1-1",))
def a_packet_identifier_of_0_closes(c):
    v = c.version
    refused(c, wire.publish(v, c.topic(), b"x", 1, 0))
    refused(c, wire.publish(v, c.topic(), b"x", 2, 0))
    refused(c, wire.subscribe(v, 0, [(c.topic(), 0)]))
    refused(c, wire.unsubscribe(v, 0, [c.topic()]))


@shows("3.8.3-2", "3.10.3-2", v3=("3.8.3-3", "3.10.3-2"))
def a_subscribe_or_unsubscribe_of_nothing_closes(c):
    refused(c, wire.subscribe(c.version, 1, []))
    refused(c, wire.unsubscribe(c.version, 1, []))


@shows("3.8.3-5", v3="3.8.3-4")
def reserved_bits_of_subscription_options_close(c):
    wrong = (0x40, 0x80, 0xc0, 0x03, 0x30) if c.version == 5 else (0x03, 0x04, 0x08, 0x40, 0x80)
    for options in wrong:
        refused(c, wire.subscribe(c.version, 1, [(c.topic(), options)]), 0x81, 0x82)


@shows("3.1.0-1", v3="3.1.0-1")
def whatever_comes_before_a_connect_closes_and_is_not_answered(c):
    v = c.version
    for data in every_packet(c, v):
        if data[0] >> 4 != wire.CONNECT:
            link = c.dial()
            link.connack = None
            link.send(data)
            link.closed()
            need(not link.inbox, f"answered before CONNECT: {link.inbox}")


@shows("3.1.0-2", v3="3.1.0-2")
def a_second_connect_closes(c):
    refused(c, wire.connect(c.version, c.client_id("bad")), 0x82)


def every_packet(c, v):
    """A good one of each of the 15 kinds (14 in 3.1.1), a server's too."""
    connack = b"\x20\x03\0\0\0" if v == 5 else b"\x20\x02\0\0"
    suback = wire.packet(0x90, b"\0\1" + (b"\0" if v == 5 else b"") + b"\0")
    unsuback = wire.packet(0xb0, b"\0\1" + (b"\0\0" if v == 5 else b""))
    all_kinds = [wire.connect(v, c.client_id("x")), connack, wire.publish(v, c.topic(), b"x"), wire.publish(v, c.topic(), b"x", 1, 1),
                 wire.publish(v, c.topic(), b"x", 2, 2), *(wire.ack(v, kind, 9) for kind in (4, 5, 6, 7)),
                 wire.subscribe(v, 1, [(c.topic(), 0)]), suback, wire.unsubscribe(v, 1, [c.topic()]), unsuback, wire.pingreq(),
                 wire.packet(0xd0), wire.disconnect(v)]
    return all_kinds + ([wire.auth()] if v == 5 else [])


@shows("4.13.1-1", v3="4.8.0-1")
def packets_that_only_a_server_sends_close(c):
    v = c.version
    for data in every_packet(c, v):
        if data[0] >> 4 in (wire.CONNACK, wire.SUBACK, wire.UNSUBACK, wire.PINGRESP) or v == 4 and data[0] >> 4 == wire.AUTH:
            refused(c, data, 0x81, 0x82)
    refused(c, b"\x00\x00", 0x81, 0x82)  # a kind that does not exist
    if v == 4:
        refused(c, b"\xf0\x00")


@shows("4.13.1-1", v3="4.8.0-1")
def packets_cut_short_or_too_long_close(c):
    v = c.version
    for data in every_packet(c, v):
        kind = data[0] >> 4
        if kind in (wire.CONNACK, wire.SUBACK, wire.UNSUBACK, wire.PINGRESP, wire.CONNECT, wire.AUTH):
            continue
        body = data[2:]
        if kind not in (wire.PUBLISH, wire.SUBSCRIBE, wire.UNSUBSCRIBE):  # those end where the packet ends
            refused(c, wire.packet(data[0], body + b"\0\0\0\0\0"), 0x81, 0x82)
        if kind == wire.PUBLISH:
            body = body[:2 + len(c.topic()) + (2 if data[0] & 6 else 0) + (1 if v == 5 else 0)]
        for short in range(1 if kind != wire.DISCONNECT else len(body), len(body)):
            if short < len(body) and not (v == 4 and kind == wire.PUBLISH and short == len(body)):
                refused(c, wire.packet(data[0], body[:short]), 0x81, 0x82)


@shows("4.13.1-1")
def properties_that_do_not_belong_or_stand_twice_close(c):
    topic = c.topic()
    for props in ([("receive_maximum", 10)], [("session_expiry", 1)], [(0x7e, b"\0")], [("payload_format", 2)],
                  [("payload_format", 1), ("payload_format", 1)], [("message_expiry", 1), ("message_expiry", 2)],
                  [("content_type", "a"), ("content_type", "b")], [("response_topic", "a"), ("response_topic", "b")],
                  [("correlation_data", b"a"), ("correlation_data", b"b")], [("topic_alias", 1), ("topic_alias", 1)]):
        refused(c, wire.publish(5, topic, b"x", props=props), 0x81, 0x82, 0x94, 0x99)
    refused(c, wire.subscribe(5, 1, [(topic, 0)], [("subscription_id", 1), ("subscription_id", 2)]), 0x81, 0x82)
    refused(c, wire.subscribe(5, 1, [(topic, 0)], [("subscription_id", 0)]), 0x81, 0x82)
    refused(c, wire.unsubscribe(5, 1, [topic], [("subscription_id", 1)]), 0x81, 0x82)
    refused(c, wire.disconnect(5, 0, [("will_delay", 1)]), 0x81, 0x82)


@shows("2.2.2-1")
def packets_without_properties_carry_a_length_of_zero(c):
    """Each packet of the server is read strictly (wire.py); here are all kinds that have properties, in one connection."""
    link = c.connect()
    link.subscribe(c.topic(), qos=2)
    link.publish(c.topic(), "one", 1)
    need_equal(link.message(c.topic(), "one", 1).props, {})
    link.publish(c.topic(), "two", 2)
    link.message(c.topic(), "two", 2)
    link.unsubscribe(c.topic())
    link.leave()


@shows("4.2-1", v3="7.1.1-1")
def bytes_come_in_any_portions(c):
    """The transport is a stream: packets may come a byte at a time, or many in one segment."""
    v, link = c.version, c.dial()
    data = wire.connect(v, c.client_id("a")) + wire.subscribe(v, 1, [(c.topic(), 1)]) + wire.publish(v, c.topic(), b"x", 1, 2)
    for byte in data:
        link.send(bytes([byte]))
    link.take(wire.SUBACK)
    link.message(c.topic(), "x")
    link.send(b"".join(wire.publish(v, c.topic(), f"{i}", 1, 10 + i) for i in range(50)) + wire.pingreq())
    for i in range(50):
        link.message(c.topic(), f"{i}")
        link.take(wire.PUBACK, 10 + i)
    link.take(wire.PINGRESP)
