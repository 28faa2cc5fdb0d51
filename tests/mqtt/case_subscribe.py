"""SUBSCRIBE, UNSUBSCRIBE, subscription identifiers, overlapping and shared subscriptions."""
import wire
from case import need, need_equal, payloads, shows
from case_form import refused
from link import Closed


@shows("3.8.4-1", "3.8.4-2", "3.8.4-5", "3.8.4-6", "3.8.4-7", "3.9.3-1", "3.9.3-2", "2.2.1-6",
       v3=("2.3.1-7", "3.8.4-1", "3.8.4-2", "3.8.4-4", "3.8.4-5", "3.9.3-1", "3.9.3-2"))
def a_suback_has_a_code_for_each_filter_in_their_order(c):
    link = c.connect()
    link.send(wire.subscribe(c.version, 65535, [(c.topic("a"), 2), (c.topic("b"), 0), (c.topic("c/#"), 1), (c.topic("+"), 2)]))
    answer = link.next()
    need_equal((answer.kind, answer.id, answer.reasons), (wire.SUBACK, 65535, [2, 0, 1, 2]))
    link.publish(c.topic("c"), "x", 2)
    link.message(c.topic("c"), "x")


@shows("3.9.3-1", "3.8.4-7")
def a_filter_that_fails_leaves_the_others(c):
    link = c.connect()
    link.send(wire.subscribe(5, 1, [(c.topic("a"), 1), (c.topic("b/#/c"), 1), (c.topic("d"), 2)]))
    try:
        answer = link.next()
        if answer.kind == wire.SUBACK:
            need_equal(answer.reasons, [1, 0x8f, 2])
        else:
            need(answer.reason in (0x81, 0x82, 0x8f), answer)
    except Closed:
        pass  # a server may take it for a malformed packet


@shows("3.8.4-8", v3="3.8.4-6")
def the_qos_is_the_lower_of_message_and_subscription(c):
    publisher = c.connect("publisher")
    for granted in (0, 1, 2):
        link = c.connect(f"s{granted}")
        need_equal(link.subscribe(c.topic(), qos=granted), [granted])
        for sent in (0, 1, 2):
            publisher.publish(c.topic(), f"{sent}", sent)
            link.message(c.topic(), f"{sent}", min(sent, granted))


@shows("3.8.4-3", v3="3.8.4-3")
def the_same_filter_again_replaces_the_subscription(c):
    publisher, link = c.connect("publisher"), c.connect()
    for qos in (0, 2, 1):
        link.subscribe(c.topic(), qos=qos)
        publisher.publish(c.topic(), f"{qos}", 2)
        link.message(c.topic(), f"{qos}", qos)
    need_equal(c.fence(link, publisher), [], "one copy each")


@shows("3.8.4-4", "3.8.4-3", v3="3.8.4-3")
def retained_messages_come_again_with_each_subscription_and_nothing_is_lost(c):
    publisher, link = c.connect("publisher"), c.connect()
    publisher.publish(c.topic("kept"), "kept", 1, retain=True)
    for i in range(20):
        publisher.send(wire.publish(c.version, c.topic("live"), f"{i}", 1, i + 1))
        link.subscribe(c.topic("#"), qos=1)
    for i in range(20):
        publisher.take(wire.PUBACK, i + 1)
    came = payloads(c.fence(link, publisher))
    need_equal(came.count("kept"), 20)
    live = [p for p in came if p != "kept"]
    need_equal(live, [f"{i}" for i in range(20)][-len(live):], "messages lost while a subscription was replaced")
    need(len(live) >= 19, f"{live}")


@shows("3.3.4-2", "3.3.4-3", "3.3.4-4", "3.3.4-5", v3="3.3.5-1")
def overlapping_subscriptions_deliver_with_the_highest_qos_and_all_identifiers(c):
    publisher, link = c.connect("publisher"), c.connect()
    numbers = {c.topic("#"): 1, c.topic("+"): 268435455, c.topic("t"): 20}
    for i, (pattern, number) in enumerate(numbers.items()):
        link.subscribe(pattern, qos=i, props=[("subscription_id", number)] if c.version == 5 else ())
    publisher.publish(c.topic(), "x", 2)
    came = c.fence(link, publisher)
    need_equal(max(p.qos for p in came), 2)
    if c.version == 5:
        found = [n for p in came for n in p.props.get("subscription_id", [])]
        need_equal(sorted(found), sorted(numbers.values()), "subscription identifiers")
    need(len(came) in (1, 3), f"{len(came)} copies")


@shows("3.3.4-3", "3.8.4-3")
def a_subscription_identifier_comes_with_queued_and_retained_messages_and_can_change(c):
    publisher, link = c.connect("publisher"), c.keep()
    publisher.publish(c.topic("r"), "retained", 1, retain=True)
    link.subscribe(c.topic("#"), qos=1, props=[("subscription_id", 7)])
    need_equal(link.message(c.topic("r"), "retained").props.get("subscription_id"), [7])
    link.drop()
    publisher.publish(c.topic("q"), "queued", 1)
    link = c.keep()
    need_equal(link.message(c.topic("q"), "queued").props.get("subscription_id"), [7])
    link.subscribe(c.topic("#"), options=0x21, props=[("subscription_id", 8)])
    publisher.publish(c.topic("q"), "changed", 1)
    need_equal(link.message(c.topic("q"), "changed").props.get("subscription_id"), [8])
    link.subscribe(c.topic("#"), options=0x21)
    publisher.publish(c.topic("q"), "none", 1)
    need_equal(link.message(c.topic("q"), "none").props.get("subscription_id"), None)


@shows("3.8.3-3")
def no_local_keeps_a_clients_own_messages_from_it(c):
    link, other = c.connect(), c.connect("other")
    link.subscribe(c.topic(), options=0x04 | 1)
    other.subscribe(c.topic(), qos=1)
    link.publish(c.topic(), "own", 1)
    other.message(c.topic(), "own")
    other.publish(c.topic(), "another's", 1)
    other.message(c.topic(), "another's")
    need_equal(payloads(c.fence(link, other)), ["another's"])


@shows("3.8.3-4")
def no_local_on_a_shared_subscription_closes(c):
    refused(c, wire.subscribe(5, 1, [(f"$share/g/{c.topic()}", 0x04 | 1)]), 0x82)


@shows("3.10.4-4", "3.10.4-5", "3.10.4-6", "3.11.3-1", "3.11.3-2", "2.2.1-6",
       v3=("2.3.1-7", "3.10.4-4", "3.10.4-5", "3.10.4-6"))
def an_unsuback_has_a_code_for_each_filter_in_their_order(c):
    link = c.connect()
    link.subscribe(c.topic("a"), c.topic("b"))
    link.send(wire.unsubscribe(c.version, 9, [c.topic("b"), c.topic("none"), c.topic("a")]))
    answer = link.next()
    need_equal((answer.kind, answer.id), (wire.UNSUBACK, 9))
    if c.version == 5:
        need_equal(answer.reasons, [0, 0x11, 0])
    need(link.unsubscribe(c.topic("never")) in ([0x11], []))


@shows("3.10.4-1", "3.10.4-2", v3=("3.10.4-1", "3.10.4-2"))
def filters_to_unsubscribe_are_compared_letter_by_letter(c):
    publisher, link = c.connect("publisher"), c.connect()
    link.subscribe(c.topic("#"), c.topic("a/+"), c.topic("a/b"))
    link.unsubscribe(c.topic("#"))
    link.unsubscribe(c.topic("a/#"), c.topic("A/b"), c.topic("+/b"))
    publisher.publish(c.topic("z"), "no", 1)
    publisher.publish(c.topic("a/b"), "yes", 1)
    came = payloads(c.fence(link, publisher))
    need(came in (["yes"], ["yes", "yes"]), came)
    link.unsubscribe(c.topic("a/+"))
    publisher.publish(c.topic("a/c"), "no", 1)
    publisher.publish(c.topic("a/b"), "yes", 1)
    need_equal(payloads(c.fence(link, publisher)), ["yes"])
    link.unsubscribe(c.topic("a/b"))
    publisher.publish(c.topic("a/b"), "no", 1)
    need_equal(c.fence(link, publisher), [])


@shows("3.10.4-3", v3="3.10.4-3")
def what_is_under_way_is_finished_after_an_unsubscribe(c):
    publisher, link = c.connect("publisher"), c.connect()
    link.subscribe(c.topic("#"), qos=2)
    publisher.publish(c.topic("one"), "one", 1)
    publisher.publish(c.topic("two"), "two", 2)
    came = [link.take(wire.PUBLISH), link.take(wire.PUBLISH)]
    link.unsubscribe(c.topic("#"))
    for p in came:
        link.answer(p)
    publisher.publish(c.topic("one"), "no more", 1)
    need_equal(c.fence(link, publisher), [])


@shows("3.9.2-1", "3.9.2-2", "3.11.2-1", "3.11.2-2", "3.4.2-2", "3.4.2-3", "3.5.2-2", "3.5.2-3", "3.6.2-2", "3.6.2-3", "3.7.2-2",
       "3.7.2-3")
def no_acknowledgement_is_made_larger_than_the_client_allows_by_its_words(c):
    """With a limit that leaves no room for a reason string; those of refusals have most to say."""
    link = c.connect(props=[("maximum_packet_size", 22)])
    link.subscribe(c.topic("x"), qos=2)
    link.unsubscribe(c.topic("none"))
    link.publish(c.topic("none"), "x", 1)
    link.publish(c.topic("none"), "x", 2)
    link.send(wire.ack(5, wire.PUBREL, 999))
    need(link.take(wire.PUBCOMP, 999).size <= 22)
    link.send(wire.subscribe(5, 3, [("a/#/b", 0)]))
    try:
        need(link.next().size <= 22)
    except Closed:
        pass


# ---- shared subscriptions ----

@shows("4.8.2-1", "4.8.2-2")
def share_names_are_checked(c):
    for pattern in ("$share/", "$share/g", "$share//t", "$share/g/", "$share/a+b/t", "$share/a#/t", "$share/+/t", "$share/#/t"):
        link = c.connect("bad")
        link.send(wire.subscribe(5, 1, [(pattern, 0)]))
        try:
            p = link.next()
        except Closed:
            continue
        need(p.kind == wire.SUBACK and p.reasons[0] >= 0x80 or p.kind == wire.DISCONNECT and p.reason >= 0x80, f"{pattern}: {p}")


@shows("4.8.2-3", v3=())
def each_message_goes_to_one_of_a_group_and_to_everybody_else(c):
    publisher = c.connect("publisher")
    groups = {name: [c.connect(f"{name}{i}") for i in range(3)] for name in ("g", "h")}
    for name, members in groups.items():
        for link in members:
            need_equal(link.subscribe(f"$share/{name}/{c.topic('#')}", qos=1), [1])
    alone = c.connect("alone")
    alone.subscribe(c.topic("#"), qos=2)
    for i in range(60):
        publisher.publish(c.topic(f"{i % 4}"), f"{i}", 2)
    every = sorted(f"{i}" for i in range(60))
    for members in groups.values():
        came = []
        for link in members:
            part = [p for p in c.fence(link, publisher) if p.topic in [c.topic(f"{n}") for n in range(4)]]
            need(all(p.qos == 1 for p in part), "the granted QoS is respected")
            need(part, "a member that got nothing of 60")
            came += payloads(part)
        need_equal(sorted(came), every, "a group's messages")
    need_equal(sorted(p.payload.decode() for p in c.fence(alone, publisher) if "fence" not in p.topic), every)


@shows("4.8.2-3")
def shared_and_own_subscriptions_of_one_client_are_two(c):
    publisher, link = c.connect("publisher"), c.connect()
    link.subscribe(f"$share/g/{c.topic()}", qos=1)
    link.subscribe(c.topic(), qos=1)
    publisher.publish(c.topic(), "x", 1)
    need_equal(payloads(c.fence(link, publisher)), ["x", "x"])
    link.unsubscribe(f"$share/g/{c.topic()}")
    publisher.publish(c.topic(), "y", 1)
    need_equal(payloads(c.fence(link, publisher)), ["y"])


@shows("4.8.2-3")
def shared_subscriptions_bring_no_retained_messages(c):
    publisher, link = c.connect("publisher"), c.connect()
    publisher.publish(c.topic(), "kept", 1, retain=True)
    link.subscribe(f"$share/g/{c.topic()}", qos=1)
    need_equal(c.fence(link, publisher), [])


@shows("4.8.2-4", "4.8.2-5")
def a_qos_2_message_of_a_group_stays_with_the_client_it_was_sent_to(c):
    publisher, first, second = c.connect("publisher"), c.keep("first"), c.keep("second")
    for link in (first, second):
        link.subscribe(f"$share/g/{c.topic()}", qos=2)
    publisher.publish(c.topic(), "x", 2)
    publisher.publish(c.topic(), "y", 2)
    chosen, p = None, None
    for link in (first, second):
        link.alive()
        if any(q.kind == wire.PUBLISH for q in link.inbox):
            chosen = link
            break
    chosen = chosen or first
    p = chosen.take(wire.PUBLISH)
    name = "first" if chosen is first else "second"
    chosen.send(wire.ack(5, wire.PUBREC, p.id))
    chosen.take(wire.PUBREL, p.id)
    chosen.drop()
    other = second if chosen is first else first
    came = c.fence(other, publisher)
    need(p.payload not in [q.payload for q in came], "sent to another one, too")
    chosen = c.keep(name)
    again = chosen.take(wire.PUBREL, p.id)
    chosen.send(wire.ack(5, wire.PUBCOMP, again.id))
    chosen.alive()


@shows("4.8.2-6")
def a_message_that_one_of_a_group_refuses_goes_to_nobody_else(c):
    publisher, first, second = c.connect("publisher"), c.connect("first"), c.connect("second")
    for link in (first, second):
        link.subscribe(f"$share/g/{c.topic()}", qos=1)
    for i in range(4):
        publisher.publish(c.topic(), f"{i}", 1)
    came = []
    for link in (first, second):
        mark = c.topic("mark")
        link.subscribe(mark, qos=1)
        publisher.publish(mark, "m", 1)
        while (p := link.take(wire.PUBLISH)).topic != mark:
            link.send(wire.ack(5, wire.PUBACK, p.id, 0x80))
            came.append(p.payload.decode())
        link.answer(p)
        link.unsubscribe(mark)
    need_equal(sorted(came), ["0", "1", "2", "3"])
    for link in (first, second):
        need_equal([p for p in c.fence(link, publisher) if p.topic == c.topic()], [])


@shows("4.8.2-3")
def a_group_whose_member_leaves_goes_on_with_the_others(c):
    publisher, first, second = c.connect("publisher"), c.connect("first"), c.connect("second")
    for link in (first, second):
        link.subscribe(f"$share/g/{c.topic()}", qos=1)
    first.leave()
    for i in range(10):
        publisher.publish(c.topic(), f"{i}", 1)
    need_equal(payloads(c.fence(second, publisher)), [f"{i}" for i in range(10)])
