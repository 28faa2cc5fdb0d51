"""Flow control in both directions, packet sizes."""
import wire
from case import need, need_equal, payloads, shows
from link import Closed


@shows("3.3.4-9", "4.9.0-1", "4.9.0-2")
def no_more_than_receive_maximum_messages_are_under_way(c):
    publisher = c.connect("publisher")
    for top in (1, 2, 10):
        link = c.connect(f"s{top}", props=[("receive_maximum", top)])
        link.subscribe(c.topic(f"m{top}"), qos=2)
        for i in range(25):
            publisher.publish(c.topic(f"m{top}"), f"{i}", 1 + i % 2)
        held, came = [], []
        while len(came) < 25:
            wanted = min(top, 25 - len(came) + len(held))  # what can be under way by now
            while len(held) < wanted:
                held.append(link.take(wire.PUBLISH))
                came.append(held[-1])
            link.alive()  # the quota is used up: the ping is answered and nothing else comes
            need(not any(p.kind == wire.PUBLISH for p in link.inbox), f"more than {top} under way")
            link.answer(held.pop(0))
        for p in held:
            link.answer(p)
        need_equal(sorted(int(p.payload) for p in came), list(range(25)))


@shows("3.3.4-9", "4.9.0-2")
def a_qos_2_message_counts_until_its_pubcomp(c):
    publisher, link = c.connect("publisher"), c.connect(props=[("receive_maximum", 1)])
    link.subscribe(c.topic(), qos=2)
    publisher.publish(c.topic(), "first", 2)
    publisher.publish(c.topic(), "second", 1)
    p = link.take(wire.PUBLISH)
    need_equal(p.payload, b"first")
    link.send(wire.ack(5, wire.PUBREC, p.id))
    link.take(wire.PUBREL, p.id)
    link.alive()
    need(not link.inbox, f"sent before the PUBCOMP: {link.inbox}")
    link.send(wire.ack(5, wire.PUBCOMP, p.id))
    link.message(c.topic(), "second")


@shows("3.3.4-9", "4.9.0-2", "4.4.0-2")
def refused_messages_give_their_place_back(c):
    publisher, link = c.connect("publisher"), c.connect(props=[("receive_maximum", 1)])
    link.subscribe(c.topic(), qos=2)
    for i in range(6):
        publisher.publish(c.topic(), f"{i}", 1 + i % 2)
    for i in range(6):
        p = link.take(wire.PUBLISH)
        need_equal(p.payload.decode(), f"{i}")
        link.send(wire.ack(5, wire.PUBACK if p.qos == 1 else wire.PUBREC, p.id, 0x80))
    need_equal(c.fence(link, publisher), [])


@shows("3.3.4-10", "4.9.0-3")
def everything_else_goes_on_while_the_quota_is_used_up(c):
    publisher, link = c.connect("publisher"), c.connect(props=[("receive_maximum", 1)])
    link.subscribe(c.topic(), qos=1)
    publisher.publish(c.topic(), "held", 1)
    held = link.take(wire.PUBLISH)
    link.alive()
    link.subscribe(c.topic("other"), qos=0)
    link.publish(c.topic("else"), "x", 1)
    link.publish(c.topic("else"), "x", 2)
    publisher.publish(c.topic("other"), "of QoS 0", 0)
    link.message(c.topic("other"), "of QoS 0")
    link.unsubscribe(c.topic("other"))
    link.answer(held)


@shows("4.9.0-1", "4.9.0-2")
def a_new_connection_begins_with_its_own_quota(c):
    publisher, link = c.connect("publisher"), c.keep(props=[("receive_maximum", 2)])
    link.subscribe(c.topic(), qos=1)
    for i in range(10):
        publisher.publish(c.topic(), f"{i}", 1)
    for _ in range(2):
        link.take(wire.PUBLISH)
    link.drop()
    link = c.keep(props=[("receive_maximum", 3)])
    came = [link.take(wire.PUBLISH) for _ in range(3)]
    link.alive()
    need(not link.inbox, "more than the new quota")
    need_equal([(p.payload.decode(), p.dup) for p in came], [("0", True), ("1", True), ("2", False)])
    for p in came:
        link.answer(p)
    need_equal(payloads(c.fence(link, publisher)), [f"{i}" for i in range(3, 10)])


@shows("3.3.4-7", "3.2.2-9")
def more_than_the_servers_receive_maximum_ends_the_connection_or_is_served(c):
    """The quota that the server announced, used by messages of QoS 2 without a PUBREL; what is more has to be DISCONNECT 0x93,
    unless the server takes it. Up to the quota everything is taken."""
    link = c.connect()
    top = link.connack.props.get("receive_maximum", 65535)
    if top > 2000:
        top = 2000
    link.send(b"".join(wire.publish(5, c.topic(), b"x", 2, i) for i in range(1, top + 1)))
    for i in range(1, top + 1):
        need(link.take(wire.PUBREC, i).reason < 0x80)
    link.send(wire.publish(5, c.topic(), b"x", 2, top + 1))
    try:
        link.take(wire.PUBREC, top + 1)
    except Closed:
        need_equal(link.last.reason if link.last else 0x93, 0x93)


@shows("3.3.4-7")
def exactly_the_servers_receive_maximum_is_taken_again_and_again(c):
    link = c.connect()
    top = min(link.connack.props.get("receive_maximum", 65535), 500)
    for _ in range(3):
        link.send(b"".join(wire.publish(5, c.topic(), b"x", 1, i) for i in range(1, top + 1)))
        for i in range(1, top + 1):
            link.take(wire.PUBACK, i)


@shows("3.1.2-24", "3.1.2-25")
def a_message_too_large_for_a_client_is_left_out_and_the_rest_goes_on(c):
    publisher, link = c.connect("publisher"), c.connect(props=[("maximum_packet_size", 200), ("receive_maximum", 2)])
    other = c.connect("other")
    for one in (link, other):
        one.subscribe(c.topic(), qos=1)
    for i in range(8):
        publisher.publish(c.topic(), "x" * 300 if i % 2 else f"{i}", i % 3 and 1)
    need_equal(sorted(payloads(c.fence(link, publisher))), ["0", "2", "4", "6"])
    need_equal(len(c.fence(other, publisher)), 8)


@shows("3.1.2-24", "3.1.2-25")
def the_limit_is_the_whole_packet_to_the_byte(c):
    publisher, link = c.connect("publisher"), c.connect(props=[("maximum_packet_size", 150)])
    link.subscribe(c.topic(), qos=0)
    overhead = 2 + 2 + len(c.topic()) + 1 + 1  # fixed header of two bytes from 128 on, topic, property length
    fits = 150 - overhead
    for more in (-1, 0, 1, 2):
        publisher.publish(c.topic(), "x" * (fits + more), 0)
    sizes = [p.size for p in c.fence(link, publisher)]
    need(all(size <= 150 for size in sizes), sizes)
    need(len(sizes) >= 2 and sizes[-1] in (149, 150), sizes)


@shows("3.2.2-15")
def a_packet_larger_than_the_server_allows_closes(c):
    link = c.connect()
    top = link.connack.props.get("maximum_packet_size")
    if top is None:
        link.publish(c.topic(), "x" * (1 << 20), 1)
        return
    link.publish(c.topic(), "x" * (top - len(c.topic()) - 9 - 3), 1)  # as large as may be, but for a few bytes
    link.send(bytes([0x32]) + wire.number(top))  # the fixed header alone says too much
    link.closed(0x95)


@shows("4.5.0-1", "3.8.4-8", v3="4.5.0-1")
def messages_to_many_subscribers_reach_each_of_them(c):
    publisher, links = c.connect("publisher"), [c.connect(f"s{i}") for i in range(20)]
    for i, link in enumerate(links):
        link.subscribe(c.topic("#"), qos=i % 3)
    for i in range(10):
        publisher.publish(c.topic(f"{i}"), f"{i}", 2)
    for i, link in enumerate(links):
        came = [link.receive() for _ in range(10)]
        need_equal([(p.payload.decode(), p.qos) for p in came], [(f"{n}", i % 3) for n in range(10)])
