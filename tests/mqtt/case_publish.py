"""Messages on their way: topics and filters, what of a PUBLISH is passed on, retained messages, aliases, expiry."""
import time

import wire
from case import need, need_equal, payloads, shows, until
from case_form import refused
from link import Closed


@shows("3.3.2-2", "4.7.0-1", v3=("3.3.2-2", "4.7.1-1"))
def a_topic_with_wildcards_is_not_published(c):
    """The standard lets the server close, or refuse the one message; it reaches nobody."""
    watcher = c.connect("watcher")
    watcher.subscribe(c.topic("#"))
    for rest in ("+", "#", "a/+", "a/#", "a+b", "a#"):
        link = c.connect("bad")
        link.send(wire.publish(c.version, c.topic(rest), b"no", 1, 1))
        if c.version == 4:
            link.closed()
            continue
        p = link.next()
        need(p.kind == wire.PUBACK and p.reason == 0x90 or p.kind == wire.DISCONNECT and p.reason in (0x81, 0x82, 0x90), p)
    need_equal(c.fence(watcher, c.connect("other")), [])


@shows("4.7.3-1", v3="4.7.3-1")
def an_empty_topic_or_filter_closes_or_is_refused(c):
    v = c.version
    refused(c, wire.publish(v, "", b"x"), 0x81, 0x82, 0x90)
    for data in (wire.subscribe(v, 1, [("", 0)]), wire.unsubscribe(v, 1, [""])):
        link = c.connect("bad")
        link.send(data)
        p = link.next() if v == 5 else None
        need(p is None or p.kind == wire.DISCONNECT or p.reasons == [0x8f], p)
        if v == 4:
            link.closed()


# filter, topics it matches, topics it does not match
MATCHES = [
    ("sport/tennis/player1/#", ["sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/score/wimbledon"],
     ["sport/tennis/player2", "sport/tennis", "sport/tennis/player11"]),
    ("sport/#", ["sport", "sport/", "sport/a/b"], ["sports", "Sport"]),
    ("sport/tennis/+", ["sport/tennis/player1", "sport/tennis/"], ["sport/tennis/player1/ranking", "sport/tennis"]),
    ("sport/+", ["sport/", "sport/a"], ["sport", "sport/a/b"]),
    ("+/+", ["/finance", "a/b", "/"], ["finance", "a/b/c"]),
    ("/+", ["/finance", "/"], ["finance", "a/b"]),
    ("+", ["finance", ""], ["/finance", "a/"]),
    ("+/tennis/#", ["a/tennis", "a/tennis/b", "/tennis"], ["a/b/tennis", "tennis"]),
    ("a//c", ["a//c"], ["a/c", "a/b/c"]),
    ("a/+/c", ["a/b/c", "a//c"], ["a/b/b/c", "a/c"]),
    ("a/+/+/d/#", ["a/b/c/d", "a///d/e"], ["a/b/d", "a/b/c/e"]),
    ("#", ["a", "a/b", "/", "//"], []),
]


@shows("4.7.1-1", "4.7.1-2", "3.3.2-3", v3=("3.3.2-3", "4.7.1-2", "4.7.1-3"))
def filters_match_what_the_standard_says(c):
    publisher = c.connect("publisher")
    for n, (pattern, good, bad) in enumerate(MATCHES):
        link = c.connect(f"s{n}")
        base = c.topic(f"m{n}/")
        link.subscribe(base + pattern)
        for rest in good + bad:
            publisher.publish(base + rest, rest)
        need_equal([p.topic for p in c.fence(link, publisher)], [base + rest for rest in good], f"filter {pattern}")


@shows("4.7.1-1", "4.7.1-2", v3=("4.7.1-2", "4.7.1-3"))
def filters_with_wildcards_in_wrong_places_are_refused(c):
    for pattern in ("a#", "a/#/b", "#/a", "a+", "+a", "a/b+", "a/+b/c", "##", "++", "a/#b"):
        link = c.connect("bad")
        link.send(wire.subscribe(c.version, 1, [(c.topic(pattern), 0)]))
        if c.version == 4:
            link.closed()
            continue
        p = link.next()
        need(p.kind == wire.SUBACK and p.reasons == [0x8f] or p.kind == wire.DISCONNECT and p.reason in (0x81, 0x82, 0x8f), p)


@shows("4.7.2-1", v3="4.7.2-1")
def wildcards_at_the_front_do_not_match_topics_with_a_dollar(c):
    everything, plus, dollar = c.connect("all"), c.connect("plus"), c.connect("dollar")
    everything.subscribe("#")
    plus.subscribe(f"+/{c.mark}/x")
    dollar.subscribe(f"$test/{c.mark}/#")
    publisher = c.connect("publisher")
    try:
        reason = publisher.publish(f"$test/{c.mark}/x", "secret", 1, accepted=False)
    except Closed:
        need_equal(c.version, 4, "a refusal in a version that has a word for it")
        publisher, reason = c.connect("publisher"), 0x90
    for link in (everything, plus):
        came = [p for p in c.fence(link, publisher) if p.topic.startswith("$")]
        need_equal(came, [], "messages of a $ topic")
    if reason == 0:
        need_equal(payloads(c.fence(dollar, publisher)), ["secret"])


@shows("4.7.3-3", v3="4.7.3-3")
def a_topic_of_65535_bytes_is_a_topic(c):
    """A server may allow less (packet size, bytes, levels); it says so, and a long topic never ends up as another one."""
    link = c.connect()
    for levels in (1, 5, 20):
        topic = c.topic("/".join(["x" * (400 // levels)] * levels))
        link.subscribe(topic)
        link.publish(topic, "long", 1)
        link.message(topic, "long")
    topic = c.topic("y" * (65535 - len(c.topic(""))))
    everything, link = c.connect("all"), c.connect("longest")
    everything.subscribe(c.topic("#"))
    link.send(wire.publish(c.version, topic, b"x", 1, 1))
    try:
        p = link.next()
    except Closed:
        p = None  # of 3.1.1 there is no other way to refuse it
    need(p is None and c.version == 4 or p.kind == wire.PUBACK or p.kind == wire.DISCONNECT and p.reason >= 0x80, p)
    is_taken = p is not None and p.kind == wire.PUBACK and p.reason < 0x80
    need_equal([m.topic for m in c.fence(everything, c.connect("other"))], [topic] if is_taken else [])


EVERYTHING = [("payload_format", 1), ("message_expiry", 1000), ("content_type", "text/plain; \u00e9"), ("response_topic", "answers/here"),
              ("correlation_data", bytes(range(256))), ("user", ("b", "1")), ("user", ("a", "2")), ("user", ("b", "1")),
              ("user", ("", ""))]


@shows("3.3.2-4", "3.3.2-15", "3.3.2-16", "3.3.2-17", "3.3.2-18", "3.3.2-20")
def what_a_message_says_of_itself_is_passed_on_unaltered(c):
    link, publisher = c.connect(), c.connect("publisher")
    link.subscribe(c.topic(), qos=2)
    for qos in (0, 1, 2):
        publisher.publish(c.topic(), f"text {qos}", qos, props=EVERYTHING)
        p = link.message(c.topic(), f"text {qos}", qos)
        need_equal(p.props.get("payload_format"), 1)
        need_equal(p.props.get("content_type"), "text/plain; \u00e9")
        need_equal(p.props.get("response_topic"), "answers/here")
        need_equal(p.props.get("correlation_data"), bytes(range(256)))
        need_equal(p.users(), [("b", "1"), ("a", "2"), ("b", "1"), ("", "")])


@shows("3.3.2-4", "3.3.2-16", "3.3.2-18", "3.3.2-20", "3.3.2-6")
def what_a_message_says_of_itself_survives_retaining_and_queueing(c):
    publisher, away = c.connect("publisher"), c.keep("away")
    away.subscribe(c.topic(), qos=1)
    away.drop()
    publisher.publish(c.topic(), "text", 1, retain=True, props=EVERYTHING)
    away, late = c.keep("away"), c.connect("late")
    late.subscribe(c.topic(), qos=1)
    for link in (away, late):
        p = link.message(c.topic(), "text", 1)
        need_equal((p.props.get("payload_format"), p.props.get("content_type"), p.props.get("response_topic")),
                   (1, "text/plain; \u00e9", "answers/here"))
        need_equal((p.props.get("correlation_data"), p.users()), (bytes(range(256)), [("b", "1"), ("a", "2"), ("b", "1"), ("", "")]))
        need(990 <= p.props.get("message_expiry", 0) <= 1000, p.props)


@shows("3.3.2-14")
def a_response_topic_with_wildcards_closes(c):
    for topic in ("a/+", "#"):
        refused(c, wire.publish(5, c.topic(), b"x", props=[("response_topic", topic)]), 0x82, 0x81, 0x90)


@shows("3.3.4-6")
def a_subscription_identifier_from_a_client_closes(c):
    refused(c, wire.publish(5, c.topic(), b"x", props=[("subscription_id", 1)]), 0x82, 0x81)


@shows("3.3.2-5", slow=True)
def an_expired_message_is_not_delivered(c):
    publisher, link = c.connect("publisher"), c.keep()
    link.subscribe(c.topic("#"), qos=2)
    link.drop()
    for qos in (1, 2):
        publisher.publish(c.topic(f"short{qos}"), "expires", qos, props=[("message_expiry", 1)])
        publisher.publish(c.topic(f"long{qos}"), "stays", qos, props=[("message_expiry", 100)])
    publisher.publish(c.topic("retained"), "expires", 1, retain=True, props=[("message_expiry", 1)])
    until(time.monotonic() + 2.2)
    link = c.keep()
    need_equal(payloads(c.fence(link, publisher)), ["stays", "stays"])
    late = c.connect("late")
    late.subscribe(c.topic("retained"))
    need_equal(c.fence(late, publisher), [], "expired retained messages")


@shows("3.3.2-6", slow=True)
def the_expiry_passed_on_is_what_is_left(c):
    publisher, link = c.connect("publisher"), c.keep()
    link.subscribe(c.topic(), qos=1)
    link.drop()
    began = time.monotonic()
    publisher.publish(c.topic(), "x", 1, retain=True, props=[("message_expiry", 100)])
    until(began + 2.1)
    late = c.connect("late")
    link = c.keep()
    late.subscribe(c.topic())
    for one in (link, late):
        left = one.message(c.topic(), "x").props.get("message_expiry")
        waited = time.monotonic() - began
        need(left is not None and 100 - waited - 1 <= left <= 98, f"{left} s left after {waited:.1f} s")


@shows("3.3.2-12", "3.3.2-7")
def aliases_of_a_client_are_taken_up_to_the_announced_maximum(c):
    watcher, link = c.connect("watcher"), c.connect()
    watcher.subscribe(c.topic("#"), qos=1)
    top = link.connack.props.get("topic_alias_maximum", 0)
    if top == 0:
        refused(c, wire.publish(5, c.topic(), b"x", props=[("topic_alias", 1)]), 0x94, 0x82)
        return
    for alias in (1, top):
        link.publish(c.topic(f"a{alias}"), "set", 1, props=[("topic_alias", alias)])
        link.publish("", "used", 1, props=[("topic_alias", alias)])
        link.publish("", "again", 0, props=[("topic_alias", alias)])
    link.publish(c.topic("b"), "set anew", 1, props=[("topic_alias", 1)])
    link.publish("", "used anew", 2, props=[("topic_alias", 1)])
    came = [(p.topic, p.payload.decode()) for p in c.fence(watcher, link)]
    need_equal(sorted(came), sorted([*((c.topic(f"a{a}"), w) for a in sorted({1, top}) for w in ("set", "used", "again")),
                                     (c.topic("b"), "set anew"), (c.topic("b"), "used anew")]))
    again = c.connect()  # another connection of the same client: its aliases are gone
    again.send(wire.publish(5, "", b"x", 1, 1, props=[("topic_alias", 1)]))
    again.closed(0x82, 0x94)


@shows("3.3.2-8", "3.3.2-9", "3.2.2-17", "3.2.2-18")
def aliases_out_of_bounds_close(c):
    top = c.connect().connack.props.get("topic_alias_maximum", 0)
    refused(c, wire.publish(5, c.topic(), b"x", props=[("topic_alias", 0)]), 0x94, 0x82, 0x81)
    if top < 65535:
        refused(c, wire.publish(5, c.topic(), b"x", props=[("topic_alias", top + 1)]), 0x94)
    refused(c, wire.publish(5, "", b"x", props=[("topic_alias", max(top, 1))]), 0x82, 0x94)  # never set


@shows("3.1.2-26", "3.1.2-27", "3.3.2-11", "3.3.2-10")
def aliases_to_a_client_keep_to_its_maximum(c):
    publisher = c.connect("publisher")
    for top in (0, 1, 5):
        link = c.connect(f"s{top}", props=[("topic_alias_maximum", top)] if top else [])
        link.subscribe(c.topic("#"), qos=1)
        for i in range(40):
            publisher.publish(c.topic(f"t{i % 8}"), f"{i}", i % 2)
        for i in range(40):
            p = link.receive()
            need(p.props.get("topic_alias", 0) <= top, p)
            need_equal((p.topic, p.payload.decode()), (c.topic(f"t{i % 8}"), f"{i}"), f"with at most {top} aliases")


# ---- retained messages ----

@shows("3.3.1-5", v3=("3.3.1-5", "3.3.1-6", "3.3.1-8"))
def the_newest_retained_message_of_each_topic_waits_for_subscribers(c):
    publisher = c.connect("publisher")
    for rest in ("a", "b/c", "b/d"):
        for i in range(3):
            publisher.publish(c.topic(rest), f"{rest} {i}", i, retain=True)
    link = c.connect()
    link.subscribe(c.topic("#"), qos=2)
    came = {p.topic: p for p in c.fence(link, publisher)}
    need_equal({t: p.payload.decode() for t, p in came.items()}, {c.topic(r): f"{r} 2" for r in ("a", "b/c", "b/d")})
    need(all(p.retain for p in came.values()), "retained messages without RETAIN")
    need(all(p.qos == 2 for p in came.values()), f"QoS of retained messages: {[p.qos for p in came.values()]}")
    one = c.connect("one")
    one.subscribe(c.topic("b/+"), qos=1)
    need_equal(sorted((p.topic, p.qos) for p in c.fence(one, publisher)), [(c.topic("b/c"), 1), (c.topic("b/d"), 1)])


@shows("3.3.1-5", v3="3.3.1-7")
def a_retained_message_of_qos_0_replaces_one_of_qos_2(c):
    """3.1.1 lets the server forget the new one at any time, but never bring the old one back."""
    publisher, late = c.connect("publisher"), c.connect("late")
    publisher.publish(c.topic(), "old", 2, retain=True)
    publisher.publish(c.topic(), "new", 0, retain=True)
    publisher.alive()
    late.subscribe(c.topic(), qos=2)
    came = c.fence(late, publisher)
    need(payloads(came) == ["new"] or c.version == 4 and came == [], came)


@shows("3.3.1-6", "3.3.1-7", v3=("3.3.1-10", "3.3.1-11"))
def an_empty_retained_message_clears_and_is_passed_on(c):
    publisher, link = c.connect("publisher"), c.connect()
    link.subscribe(c.topic(), qos=1)
    publisher.publish(c.topic(), "x", 1, retain=True)
    link.message(c.topic(), "x")
    publisher.publish(c.topic(), "", 1, retain=True)
    p = link.message(c.topic(), "")
    need(not p.retain, "to a subscription that was there")
    late = c.connect("late")
    late.subscribe(c.topic())
    need_equal(c.fence(late, publisher), [])


@shows("3.3.1-8", v3="3.3.1-12")
def a_message_that_is_not_retained_leaves_the_retained_one(c):
    publisher = c.connect("publisher")
    publisher.publish(c.topic(), "kept", 1, retain=True)
    publisher.publish(c.topic(), "passes", 1)
    publisher.publish(c.topic(), "", 1)
    late = c.connect("late")
    late.subscribe(c.topic())
    need_equal(payloads(c.fence(late, publisher)), ["kept"])


@shows("3.3.1-9", "3.3.1-10", "3.3.1-11", "3.8.4-4")
def retain_handling_decides_which_subscriptions_bring_retained_messages(c):
    publisher = c.connect("publisher")
    publisher.publish(c.topic(), "kept", 1, retain=True)
    # handling: what the first subscription brings, and what the same again brings
    for handling, first, again in ((0, 1, 1), (1, 1, 0), (2, 0, 0)):
        link = c.connect(f"s{handling}")
        for wanted in (first, again):
            link.subscribe(c.topic(), options=handling << 4 | 1)
            need_equal(payloads(c.fence(link, publisher)), ["kept"] * wanted, f"retain handling {handling}")


@shows("3.3.1-12", v3="3.3.1-9")
def retain_is_cleared_for_subscriptions_that_were_there(c):
    publisher, link = c.connect("publisher"), c.connect()
    link.subscribe(c.topic(), qos=1)
    publisher.publish(c.topic(), "x", 1, retain=True)
    need(not link.message(c.topic(), "x").retain)


@shows("3.3.1-13")
def retain_as_published_keeps_the_flag(c):
    publisher, link = c.connect("publisher"), c.connect()
    link.subscribe(c.topic(), options=0x08 | 1)
    for retain in (True, False):
        publisher.publish(c.topic(), "x", 1, retain=retain)
        need_equal(link.message(c.topic(), "x").retain, retain)


@shows("3.3.1-5", restarts=True, v3="3.3.1-5")
def retained_messages_outlive_the_servers_death(c):
    publisher = c.connect("publisher")
    for i in range(20):
        publisher.publish(c.topic(f"{i}"), f"old {i}", 1, retain=True)
    for i in range(0, 20, 2):
        publisher.publish(c.topic(f"{i}"), f"new {i}" if i % 4 else "", 1, retain=True)
    c.server.kill()
    c.server.start()
    link = c.connect()
    link.subscribe(c.topic("#"), qos=1)
    came = {p.topic: p.payload.decode() for p in c.fence(link, c.connect("other"))}
    need_equal(came, {c.topic(f"{i}"): f"old {i}" if i % 2 else f"new {i}" for i in range(20) if i % 4})
