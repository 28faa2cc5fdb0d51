"""QoS 1 and 2 in both directions: each interleaving, redelivery after a connection that broke, order, and servers that die."""
import time

import wire
from case import need, need_equal, payloads, shows, until

PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = wire.PUBLISH, wire.PUBACK, wire.PUBREC, wire.PUBREL, wire.PUBCOMP


@shows("3.3.4-1", "2.2.1-5", "3.4.2-1", "3.5.2-1", "3.7.2-1", "4.3.2-4", "4.3.3-8", "4.3.3-11", v3=("2.3.1-6", "3.3.4-1", "4.3.2-2", "4.3.3-2"))
def each_qos_is_answered_by_its_packets_with_its_identifier(c):
    v, link = c.version, c.connect()
    link.send(wire.publish(v, c.topic(), b"0") + wire.publish(v, c.topic(), b"1", 1, 65535) + wire.publish(v, c.topic(), b"2", 2, 7))
    need_equal(link.take(PUBACK).id, 65535)
    need_equal(link.take(PUBREC).id, 7)
    link.send(wire.ack(v, PUBREL, 7))
    need_equal(link.take(PUBCOMP).id, 7)
    link.alive()
    need_equal(link.inbox, [], "a PUBLISH of QoS 0 has no answer")


@shows("3.4.2-1", "3.5.2-1")
def reasons_of_acknowledgements_are_of_their_tables(c):
    """Also where nobody subscribes (0x10 is allowed then)."""
    link = c.connect()
    need(link.publish(c.topic("nobody"), "x", 1) in (0, 0x10))
    need(link.publish(c.topic("nobody"), "x", 2) in (0, 0x10))


@shows("4.3.3-10", v3="4.3.3-2")
def a_qos_2_message_sent_again_is_delivered_once(c):
    v, link, watcher = c.version, c.connect(), c.connect("watcher")
    watcher.subscribe(c.topic(), qos=2)
    for dup in (False, True, False, True):
        link.send(wire.publish(v, c.topic(), b"once", 2, 5, dup=dup))
        need(link.take(PUBREC, 5).reason < 0x80)
    link.send(wire.ack(v, PUBREL, 5))
    link.take(PUBCOMP, 5)
    need_equal(payloads(c.fence(watcher, link)), ["once"])


@shows("4.3.3-10", v3="4.3.3-2")
def a_qos_2_message_sent_again_on_another_connection_is_delivered_once(c):
    v, watcher = c.version, c.connect("watcher")
    watcher.subscribe(c.topic(), qos=2)
    link = c.keep()
    link.send(wire.publish(v, c.topic(), b"once", 2, 5))
    link.take(PUBREC, 5)
    link.drop()
    link = c.keep()
    need(link.connack.session_present)
    link.send(wire.publish(v, c.topic(), b"once", 2, 5, dup=True))
    link.take(PUBREC, 5)
    link.drop()
    link = c.keep()
    link.send(wire.ack(v, PUBREL, 5))
    link.take(PUBCOMP, 5)
    link.send(wire.ack(v, PUBREL, 5))  # the PUBCOMP might have been lost, too
    link.take(PUBCOMP, 5)
    need_equal(payloads(c.fence(watcher, c.connect("other"))), ["once"])


@shows("4.3.3-12", "4.3.2-5", v3=("4.3.2-2", "4.3.3-2"))
def an_identifier_is_free_again_after_its_exchange(c):
    v, link, watcher = c.version, c.connect(), c.connect("watcher")
    watcher.subscribe(c.topic(), qos=2)
    for i in range(3):
        link.send(wire.publish(v, c.topic(), f"two {i}", 2, 5))
        link.take(PUBREC, 5)
        link.send(wire.ack(v, PUBREL, 5))
        link.take(PUBCOMP, 5)
    for i, dup in enumerate((False, True, False)):  # DUP makes no difference after the PUBACK
        link.send(wire.publish(v, c.topic(), f"one {i}", 1, 5, dup=dup))
        link.take(PUBACK, 5)
    need_equal(payloads(c.fence(watcher, link)), ["two 0", "two 1", "two 2", "one 0", "one 1", "one 2"])


@shows("4.3.3-11")
def a_pubrel_of_an_unknown_identifier_gets_a_pubcomp_that_says_so(c):
    link = c.connect()
    link.send(wire.ack(c.version, PUBREL, 99))
    need(link.take(PUBCOMP, 99).reason in (0, 0x92))
    link.alive()


@shows("4.3.3-11", versions=(4, 5))
def acknowledgements_of_nothing_leave_the_connection_as_it_is_or_close_it(c):
    """The standard does not say; they must not be taken for the acknowledgement of something else."""
    for kind in (PUBACK, PUBREC, PUBCOMP):
        link, other = c.connect(f"k{kind}"), c.connect("other")
        link.subscribe(c.topic(), qos=1)
        link.send(wire.ack(c.version, kind, 4321))
        other.publish(c.topic(), "after", 1)
        try:
            link.message(c.topic(), "after")
        except AssertionError:
            link.closed()


@shows("2.2.1-4", "4.3.1-1", "4.3.2-1", "4.3.2-2", "4.3.3-1", "4.3.3-2", v3=("2.3.1-4", "2.3.1-5", "4.3.1-1", "4.3.2-1", "4.3.3-1"))
def what_the_server_sends_anew_has_a_fresh_identifier_and_no_dup(c):
    publisher, link = c.connect("publisher"), c.connect()
    link.subscribe(c.topic("#"), qos=2)
    for i in range(12):
        publisher.publish(c.topic(f"{i}"), f"{i}", i % 3)
    came = [link.take(PUBLISH) for _ in range(12)]
    ids = [p.id for p in came if p.qos]
    need_equal(len(ids), len(set(ids)), "identifiers in use at once")
    need(not any(p.dup for p in came), "DUP on something new")
    need_equal(sorted(p.qos for p in came), [0] * 4 + [1] * 4 + [2] * 4)
    for p in came:
        link.answer(p)


@shows("3.3.1-3", v3="3.3.1-3")
def dup_is_not_passed_on(c):
    publisher, link = c.connect("publisher"), c.connect()
    link.subscribe(c.topic(), qos=2)
    for qos in (1, 2):
        publisher.send(wire.publish(c.version, c.topic(), b"x", qos, qos, dup=True))
        if qos == 2:  # some servers pass on with the PUBREL only
            publisher.take(PUBREC, qos)
            publisher.send(wire.ack(c.version, PUBREL, qos))
        need(not link.message(c.topic(), "x", qos).dup)


@shows("4.3.3-4", "3.6.2-1", v3="4.3.3-1")
def a_pubrec_is_answered_by_a_pubrel(c):
    link = c.connect()
    link.subscribe(c.topic(), qos=2)
    link.publish(c.topic(), "x", 2)
    p = link.take(PUBLISH)
    for _ in range(3):  # also again: the PUBREL might have been lost
        link.send(wire.ack(c.version, PUBREC, p.id))
        need_equal(link.take(PUBREL, p.id).reason, 0)
        if c.version == 4:
            break
    link.send(wire.ack(c.version, PUBCOMP, p.id))
    link.alive()


def after_a_break(c, qos, say):
    """A message to a session; `say` is done with it before the connection breaks. What the next connection brings first."""
    publisher, link = c.connect("publisher"), c.keep()
    link.subscribe(c.topic(), qos=2)
    publisher.publish(c.topic(), "x", qos)
    p = link.take(PUBLISH)
    say(link, p)
    link.drop()
    link = c.keep()
    need(link.connack.session_present, "the session is gone")
    return p, link, publisher


@shows("4.4.0-1", "3.3.1-1", "4.3.2-3", "4.3.3-3", v3=("3.3.1-1", "4.3.2-1", "4.4.0-1"))
def an_unacknowledged_publish_comes_again_with_its_identifier_and_dup(c):
    for qos in (1, 2):
        p, link, publisher = after_a_break(c, qos, lambda link, p: None)
        again = link.take(PUBLISH)
        need_equal((again.id, again.qos, again.dup, again.payload), (p.id, qos, True, b"x"))
        link.answer(again)
        need_equal(c.fence(link, publisher), [], "delivered once more")
        link.leave()
        c.connect().leave()  # ends the session


@shows("4.4.0-1", "4.3.3-5", "4.3.3-6", v3=("4.3.3-1", "4.4.0-1"))
def an_unfinished_pubrel_comes_again_and_its_publish_does_not(c):
    def half(link, p):
        link.send(wire.ack(c.version, PUBREC, p.id))
        link.take(PUBREL, p.id)
    p, link, publisher = after_a_break(c, 2, half)
    first = link.next()
    need_equal((first.kind, first.id), (PUBREL, p.id))
    link.send(wire.ack(c.version, PUBCOMP, p.id))
    need_equal(c.fence(link, publisher), [])


@shows("4.3.3-6", "4.4.0-1", v3="4.4.0-1")
def a_pubrec_whose_pubrel_was_never_read_is_not_forgotten(c):
    """PUBREC and the break arrive together: either the PUBLISH or the PUBREL comes again, and the message is never new."""
    p, link, publisher = after_a_break(c, 2, lambda link, p: link.send(wire.ack(c.version, PUBREC, p.id)))
    first = link.next()
    need(first.id == p.id and (first.kind == PUBREL or first.kind == PUBLISH and first.dup), first)
    if first.kind == PUBLISH:
        link.send(wire.ack(c.version, PUBREC, p.id))
        link.take(PUBREL, p.id)
    link.send(wire.ack(c.version, PUBCOMP, p.id))
    need_equal(c.fence(link, publisher), [])


@shows("4.4.0-1", versions=(4, 5), v3="4.4.0-1")
def nothing_is_sent_again_while_the_connection_stands(c):
    """An acknowledgement that does not come is no reason; other messages go on."""
    publisher, link = c.connect("publisher"), c.connect()
    link.subscribe(c.topic("#"), qos=2)
    publisher.publish(c.topic("held1"), "held", 1)
    publisher.publish(c.topic("held2"), "held", 2)
    held = [link.take(PUBLISH) for _ in range(2)]
    for i in range(30):
        publisher.publish(c.topic(f"{i}"), f"{i}", 1)
        link.message(c.topic(f"{i}"), f"{i}")
    for p in held:
        link.answer(p)
    need_equal(c.fence(link, publisher), [])


@shows("4.4.0-2", "4.8.2-6")
def a_publish_refused_by_the_client_is_over(c):
    for qos, kind in ((1, PUBACK), (2, PUBREC)):
        def refuse(link, p, kind=kind):
            link.send(wire.ack(5, kind, p.id, 0x80))
            link.alive()
        _, link, publisher = after_a_break(c, qos, refuse)
        need_equal(c.fence(link, publisher), [], f"sent again although refused, QoS {qos}")
        link.leave()
        c.connect().leave()


@shows("4.3.3-9")
def after_a_pubrec_that_refuses_the_identifier_is_free(c):
    """Where the server refuses a topic of QoS 2 at all, the same identifier begins anew."""
    link, watcher = c.connect(), c.connect("watcher")
    watcher.subscribe(c.topic(), qos=2)
    link.send(wire.publish(5, c.server.forbidden or c.topic("+"), b"no", 2, 5))
    p = link.next()
    if p.kind != PUBREC or p.reason < 0x80:
        need(p.kind in (wire.DISCONNECT, PUBREC), p)
        return
    link.send(wire.publish(5, c.topic(), b"yes", 2, 5))
    need_equal(link.take(PUBREC, 5).reason & 0x80, 0)
    link.send(wire.ack(5, PUBREL, 5))
    link.take(PUBCOMP, 5)
    need_equal(payloads(c.fence(watcher, link)), ["yes"])


@shows("4.6.0-5", "4.6.0-6", "4.5.0-1", v3=("4.5.0-1", "4.6.0-5", "4.6.0-6"))
def messages_of_one_topic_and_qos_keep_their_order(c):
    publisher, link = c.connect("publisher"), c.connect()
    for qos in (0, 1, 2):
        topic = c.topic(f"q{qos}")
        link.subscribe(topic, qos=qos)
        data = b"".join(wire.publish(c.version, topic, f"{i}", qos, i + 1) for i in range(15))
        publisher.send(data)
        if qos == 2:
            for i in range(15):
                publisher.take(PUBREC, i + 1)
                publisher.send(wire.ack(c.version, PUBREL, i + 1))
        need_equal([link.receive().payload.decode() for _ in range(15)], [f"{i}" for i in range(15)], f"QoS {qos}")


@shows("4.6.0-1", "4.6.0-5", v3=("4.6.0-1", "4.6.0-5"))
def messages_queued_and_sent_again_keep_their_order(c):
    publisher, link = c.connect("publisher"), c.keep()
    link.subscribe(c.topic(), qos=2)
    for i in range(5):
        publisher.publish(c.topic(), f"{i}", 1)
    for _ in range(5):
        link.take(PUBLISH)  # not acknowledged
    link.drop()
    for i in range(5, 40):
        publisher.publish(c.topic(), f"{i}", 1)
    link = c.keep()
    came = [link.receive() for _ in range(40)]
    need_equal(payloads(came), [f"{i}" for i in range(40)])
    need_equal([p.dup for p in came[:5]], [True] * 5)
    need(not any(p.dup for p in came[5:]), "DUP on what was never sent")


@shows("4.6.0-2", "4.6.0-3", v3=("4.6.0-2", "4.6.0-3"))
def acknowledgements_come_in_the_order_of_the_messages(c):
    v, link = c.version, c.connect()
    link.send(b"".join(wire.publish(v, c.topic(), b"x", 1, i) for i in (9, 3, 7, 1)))
    need_equal([link.take(PUBACK).id for _ in range(4)], [9, 3, 7, 1])
    link.send(b"".join(wire.publish(v, c.topic(), b"x", 2, i) for i in (9, 3, 7, 1)))
    need_equal([link.take(PUBREC).id for _ in range(4)], [9, 3, 7, 1])
    link.send(b"".join(wire.ack(v, PUBREL, i) for i in (7, 1, 9, 3)))
    need_equal([link.take(PUBCOMP).id for _ in range(4)], [7, 1, 9, 3])


@shows("4.6.0-4", v3="4.6.0-4")
def pubrels_come_in_the_order_of_the_pubrecs(c):
    v, publisher, link = c.version, c.connect("publisher"), c.connect()
    link.subscribe(c.topic(), qos=2)
    for i in range(6):
        publisher.publish(c.topic(), f"{i}", 2)
    ids = [link.take(PUBLISH).id for _ in range(6)]
    mixed = [ids[i] for i in (3, 0, 5, 1, 4, 2)]
    link.send(b"".join(wire.ack(v, PUBREC, i) for i in mixed))
    need_equal([link.take(PUBREL).id for _ in range(6)], mixed)
    link.send(b"".join(wire.ack(v, PUBCOMP, i) for i in mixed))
    link.alive()


@shows("4.3.3-7", "4.3.3-13", slow=True)
def expiry_does_not_break_an_exchange_that_began(c):
    publisher, link = c.connect("publisher"), c.keep()
    link.subscribe(c.topic(), qos=2)
    publisher.publish(c.topic(), "x", 2, props=[("message_expiry", 1)])
    p = link.take(PUBLISH)
    link.drop()
    publisher.send(wire.publish(5, c.topic("nobody"), b"x", 2, 5, props=[("message_expiry", 1)]))
    publisher.take(PUBREC, 5)
    until(time.monotonic() + 2.2)
    link = c.keep()
    again = link.next()
    need_equal((again.kind, again.id, again.dup), (PUBLISH, p.id, True))
    link.answer(again)
    publisher.send(wire.ack(5, PUBREL, 5))
    need_equal(publisher.take(PUBCOMP, 5).reason, 0)


# ---- servers that die ----

@shows("4.3.2-4", "4.3.3-8", restarts=True, v3=("4.3.2-2", "4.3.3-2"))
def what_was_acknowledged_for_a_session_outlives_the_servers_death(c):
    publisher, link = c.connect("publisher"), c.keep()
    link.subscribe(c.topic(), qos=2)
    link.drop()
    for i in range(60):
        publisher.publish(c.topic(), f"{i}", 1 + i % 2)
    c.server.kill()
    c.server.start()
    link = c.keep()
    need(link.connack.session_present)
    need_equal(payloads(c.fence(link, c.connect("other"))), [f"{i}" for i in range(60)])


@shows("4.3.3-10", "4.3.3-8", restarts=True, v3="4.3.3-2")
def qos_2_into_a_server_that_dies_is_delivered_once(c):
    v, watcher = c.version, c.keep("watcher")
    watcher.subscribe(c.topic(), qos=2)
    watcher.drop()
    link = c.keep()
    for i in range(1, 21):
        link.send(wire.publish(v, c.topic(), f"{i}", 2, i))
        link.take(PUBREC, i)
        if i <= 10:
            link.send(wire.ack(v, PUBREL, i))
            link.take(PUBCOMP, i)
    c.server.kill()
    c.server.start()
    link = c.keep()
    need(link.connack.session_present)
    for i in range(11, 21):
        if i % 2:
            link.send(wire.publish(v, c.topic(), f"{i}", 2, i, dup=True))
            link.take(PUBREC, i)
        link.send(wire.ack(v, PUBREL, i))
        link.take(PUBCOMP, i)
    for i in range(1, 11):  # those are free again
        link.send(wire.publish(v, c.topic(), f"new {i}", 2, i))
        link.take(PUBREC, i)
        link.send(wire.ack(v, PUBREL, i))
        link.take(PUBCOMP, i)
    watcher = c.keep("watcher")
    need_equal(payloads(c.fence(watcher, c.connect("other"))), [f"{i}" for i in range(1, 21)] + [f"new {i}" for i in range(1, 11)])


@shows("4.4.0-1", "4.3.3-5", "4.3.3-6", restarts=True, v3="4.4.0-1")
def qos_2_out_of_a_server_that_dies_is_received_once(c):
    v, publisher, link = c.version, c.connect("publisher"), c.keep()
    link.subscribe(c.topic(), qos=2)
    for i in range(6):
        publisher.publish(c.topic(), f"{i}", 2)
    sent = [link.take(PUBLISH) for _ in range(6)]
    for p in sent[:4]:
        link.send(wire.ack(v, PUBREC, p.id))
        link.take(PUBREL, p.id)
    for p in sent[:2]:
        link.send(wire.ack(v, PUBCOMP, p.id))
    link.alive()
    c.server.kill()
    c.server.start()
    link = c.keep()
    need(link.connack.session_present)
    again = {sent[2].id: PUBREL, sent[3].id: PUBREL, sent[4].id: PUBLISH, sent[5].id: PUBLISH}
    mark = c.topic("mark")
    seen = {}
    other = c.connect("other")
    link.subscribe(mark, qos=1)
    other.publish(mark, "m", 1)
    while (p := link.next()).topic != mark:
        if p.kind not in (PUBLISH, PUBREL):
            continue
        need(p.id in again or p.id in (sent[0].id, sent[1].id) and p.kind == PUBREL, f"{p} after the restart")
        need(p.kind == again.get(p.id, PUBREL), f"{p}: what had a PUBREL is not published again")
        if p.kind == PUBLISH:
            need(p.dup, p)
        seen[p.id] = p.kind
    need(set(again) <= set(seen), f"not sent again: {set(again) - set(seen)}")
