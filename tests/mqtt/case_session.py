"""Sessions and wills: what is kept, how long, and when a will is published."""
import time

import wire
from case import need, need_equal, payloads, shows, until


@shows("3.1.2-4", "3.1.2-6", "3.1.4-4", "3.2.2-1", "3.2.2-2", "3.2.2-3", v3=("3.1.2-6", "3.1.4-3", "3.1.4-4", "3.2.2-1", "3.2.2-3"))
def a_clean_start_finds_no_session_and_ends_the_old_one(c):
    need_equal(c.keep().connack.session_present, False)
    link = c.keep()
    need_equal(link.connack.session_present, True)
    link.subscribe(c.topic(), qos=1)
    link.drop()
    need_equal(c.keep(clean=True).connack.session_present, False)
    link = c.keep()
    need_equal(link.connack.session_present, c.version == 5)  # the clean one of 5.0 left a session, that of 3.1.1 did not
    publisher = c.connect("publisher")
    publisher.publish(c.topic(), "x", 1)
    need_equal(c.fence(link, publisher), [], "a subscription of the old session")


@shows("3.1.2-5", "3.1.2-23", "4.1.0-1", "4.5.0-1", v3=("3.1.2-4", "3.1.2-5", "3.2.2-2", "4.1.0-1", "4.5.0-1"))
def a_session_goes_on_with_its_subscriptions_and_messages(c):
    publisher, link = c.connect("publisher"), c.keep()
    link.subscribe(c.topic("a/#"), qos=2)
    link.subscribe(c.topic("b"), qos=1)
    for how in ("drop", "leave"):
        getattr(link, how)()
        for i, rest in enumerate(("a/1", "b", "c", "a")):
            publisher.publish(c.topic(rest), f"{i}", 2)
        link = c.keep()
        need(link.connack.session_present)
        need_equal([(p.payload.decode(), p.qos) for p in c.fence(link, publisher)], [("0", 2), ("1", 1), ("3", 2)])


@shows("4.1.0-1", v3="4.1.0-1")
def qos_0_messages_do_not_wait_where_the_client_is_away_or_do_so_whole(c):
    """Whether messages of QoS 0 are kept for a client that is away is the server's choice."""
    publisher, link = c.connect("publisher"), c.keep()
    link.subscribe(c.topic(), qos=1)
    link.drop()
    publisher.publish(c.topic(), "zero", 0)
    publisher.publish(c.topic(), "one", 1)
    link = c.keep()
    need(payloads(c.fence(link, publisher)) in (["one"], ["zero", "one"]))


@shows("4.1.0-2", "3.1.2-23", v3=("3.1.2-6", "4.1.0-2"))
def a_session_without_expiry_ends_with_its_connection(c):
    c.connect(clean=False if c.version == 5 else True).drop()
    need_equal(c.keep().connack.session_present, False)


@shows("4.1.0-2", slow=True)
def a_session_ends_when_its_expiry_has_passed(c):
    link = c.keep("short", expiry_s=1)
    c.keep("long", expiry_s=600).drop()
    changed = c.keep("changed", expiry_s=600)
    changed.leave(0, [("session_expiry", 1)])
    for one in (link,):
        one.subscribe(c.topic(), qos=1)
        one.drop()
    until(time.monotonic() + 2.5)
    need_equal([c.keep(name).connack.session_present for name in ("short", "long", "changed")], [False, True, False])


@shows("4.1.0-2", "3.1.2-23")
def an_expiry_of_zero_at_disconnect_ends_the_session(c):
    c.keep().leave(0, [("session_expiry", 0)])
    need_equal(c.keep().connack.session_present, False)


@shows("4.1.0-2", slow=True)
def an_expiry_begins_when_the_connection_ends(c):
    link = c.keep(expiry_s=1)
    until(time.monotonic() + 2.2)
    link.alive()
    link.drop()
    need_equal(c.keep(expiry_s=1).connack.session_present, True)


@shows("3.1.2-23", "3.1.2-5")
def a_session_that_never_expires_is_kept(c):
    c.keep(expiry_s=0xffffffff).drop()
    link = c.keep(expiry_s=0xffffffff)
    need(link.connack.session_present)
    need("session_expiry" not in link.connack.props or link.connack.props["session_expiry"] > 0)


@shows("3.1.3-2", v3="3.1.3-2")
def client_ids_tell_sessions_apart_by_every_letter(c):
    c.keep("name").drop()
    for other in ("Name", "name ", "nam", "namee", "n\u00e4me"):
        need_equal(c.keep(other).connack.session_present, False, other)
    need(c.keep("name").connack.session_present)


@shows("3.1.4-3", "3.1.2-5", v3="3.1.4-2")
def a_session_that_is_taken_over_keeps_its_messages(c):
    publisher, first = c.connect("publisher"), c.keep()
    first.subscribe(c.topic(), qos=1)
    for i in range(10):
        publisher.publish(c.topic(), f"{i}", 1)
    second = c.keep()
    need(second.connack.session_present)
    first.closed(0x8e)
    need_equal(payloads(c.fence(second, publisher)), [f"{i}" for i in range(10)])


@shows("3.1.2-5", "3.1.2-23", restarts=True, v3=("3.1.2-4", "4.1.0-1"))
def sessions_and_subscriptions_outlive_the_servers_death(c):
    link, gone = c.keep(), c.keep("gone")
    link.subscribe(c.topic("a/+"), qos=1)
    link.subscribe(c.topic("b"), qos=2)
    link.unsubscribe(c.topic("b"))
    gone.subscribe(c.topic("a/+"), qos=1)
    c.connect("gone").leave()
    c.server.kill()
    c.server.start()
    publisher = c.connect("publisher")
    publisher.publish(c.topic("a/1"), "before it is back", 1)
    publisher.publish(c.topic("b"), "no", 1)
    link = c.keep()
    need(link.connack.session_present)
    need_equal(payloads(c.fence(link, publisher)), ["before it is back"])
    need_equal(c.keep("gone").connack.session_present, False)


@shows(v3="3.1.2-7", versions=(4, 5))
def retained_messages_do_not_end_with_a_session(c):
    link = c.connect()
    link.publish(c.topic(), "kept", 1, retain=True)
    link.leave()
    link = c.connect()
    link.subscribe(c.topic(), qos=1)
    need_equal(payloads(c.fence(link, link)), ["kept"])


# ---- wills ----

def a_will(c, **more):
    return {"topic": c.topic("will"), "payload": b"gone", "qos": 1, **more}


@shows("3.1.2-7", "3.1.2-8", "3.1.2-14", v3=("3.1.2-8", "3.1.2-16"))
def a_will_is_published_when_the_connection_breaks(c):
    watcher = c.connect("watcher")
    watcher.subscribe(c.topic("will"), qos=2)
    for qos in (0, 1, 2):
        c.connect(will=a_will(c, qos=qos)).drop()
        p = watcher.message(c.topic("will"), "gone", qos)
        need(not p.retain)
    late = c.connect("late")
    late.subscribe(c.topic("will"))
    need_equal(c.fence(late, c.connect("other")), [], "a will that was not to be retained")


@shows("3.1.2-15", v3="3.1.2-17")
def a_retained_will_is_retained(c):
    watcher = c.connect("watcher")
    watcher.subscribe(c.topic("will"), qos=1)
    c.connect(will=a_will(c, retain=True)).drop()
    need(not watcher.message(c.topic("will"), "gone").retain)
    late = c.connect("late")
    late.subscribe(c.topic("will"), qos=1)
    need(late.message(c.topic("will"), "gone").retain)


@shows("3.14.4-3", "3.1.2-10", v3=("3.1.2-10", "3.14.4-3"))
def a_disconnect_takes_the_will_back(c):
    watcher = c.connect("watcher")
    watcher.subscribe(c.topic("will"), qos=1)
    c.connect(will=a_will(c)).leave()
    need_equal(c.fence(watcher, c.connect("other")), [])


@shows("3.1.2-8", "3.14.4-3")
def a_disconnect_with_a_reason_publishes_the_will(c):
    watcher = c.connect("watcher")
    watcher.subscribe(c.topic("will"), qos=1)
    for reason in (0x04, 0x80):
        c.connect(will=a_will(c)).leave(reason)
        watcher.message(c.topic("will"), "gone")


@shows("3.1.2-8", v3="3.1.2-8")
def a_protocol_error_and_a_takeover_publish_the_will(c):
    watcher = c.connect("watcher")
    watcher.subscribe(c.topic("will"), qos=1)
    link = c.connect(will=a_will(c))
    link.send(b"\x00\x00")
    link.closed()
    watcher.message(c.topic("will"), "gone")
    c.connect(will=a_will(c))
    second = c.connect()
    watcher.message(c.topic("will"), "gone")
    second.drop()
    need_equal(c.fence(watcher, c.connect("other")), [], "the second connection had no will")


@shows(v3="3.1.2-12", versions=(4, 5))
def nothing_is_published_for_a_connection_without_a_will(c):
    """Also where an earlier connection of the same client had one."""
    watcher = c.connect("watcher")
    watcher.subscribe(c.topic("#"), qos=1)
    c.connect(will=a_will(c)).leave()
    c.connect().drop()
    c.connect().leave()
    need_equal(c.fence(watcher, c.connect("other")), [])


@shows("3.1.2-10", v3="3.1.2-10")
def a_will_is_published_once(c):
    watcher = c.connect("watcher")
    watcher.subscribe(c.topic("will"), qos=1)
    c.keep(will=a_will(c)).drop()
    watcher.message(c.topic("will"), "gone")
    c.keep().drop()
    need_equal(c.fence(watcher, c.connect("other")), [])


@shows("3.1.3-10", "3.3.2-4")
def a_will_carries_its_properties_in_their_order(c):
    watcher = c.connect("watcher")
    watcher.subscribe(c.topic("will"), qos=1)
    props = [("payload_format", 1), ("message_expiry", 60), ("content_type", "t"), ("response_topic", "r"), ("correlation_data", b"c"),
             ("user", ("b", "1")), ("user", ("a", "2")), ("user", ("b", "3"))]
    c.connect(will=a_will(c, props=props)).drop()
    p = watcher.message(c.topic("will"), "gone")
    need_equal(p.users(), [("b", "1"), ("a", "2"), ("b", "3")])
    need_equal([p.props.get(name) for name in ("payload_format", "content_type", "response_topic", "correlation_data")],
               [1, "t", "r", b"c"])


@shows("3.1.2-8", slow=True)
def a_delayed_will_waits_for_its_time(c):
    watcher = c.connect("watcher")
    watcher.subscribe(c.topic("will"), qos=1)
    link = c.keep(will=a_will(c, props=[("will_delay", 2)]))
    began = time.monotonic()
    link.drop()
    watcher.message(c.topic("will"), "gone")
    took = time.monotonic() - began
    need(1.5 <= took <= 8, f"published after {took:.2f} s")


@shows("3.1.2-8", slow=True)
def a_delayed_will_is_published_when_its_session_ends_before(c):
    watcher = c.connect("watcher")
    watcher.subscribe(c.topic("will"), qos=1)
    began = time.monotonic()
    c.keep("a", expiry_s=1, will=a_will(c, props=[("will_delay", 600)])).drop()
    watcher.message(c.topic("will"), "gone")
    need(0.5 < time.monotonic() - began < 8)
    c.connect("b", will=a_will(c, props=[("will_delay", 600)])).drop()  # its session ends with the connection
    watcher.message(c.topic("will"), "gone")
    c.keep("c", will=a_will(c, props=[("will_delay", 600)])).drop()
    c.connect("c")  # a clean start ends the session
    watcher.message(c.topic("will"), "gone")


@shows("3.1.3-9", "3.1.2-8", slow=True)
def a_delayed_will_is_not_published_when_the_client_comes_back(c):
    watcher = c.connect("watcher")
    watcher.subscribe(c.topic("will"), qos=1)
    c.keep(will=a_will(c, props=[("will_delay", 1)])).drop()
    link = c.keep()
    until(time.monotonic() + 2.5)
    link.alive()
    need_equal(c.fence(watcher, c.connect("other")), [])


@shows("3.1.2-7", "3.1.2-8", restarts=True, v3="3.1.2-8")
def a_will_outlives_the_servers_death(c):
    """The connection ended without a DISCONNECT: the will is due, whoever's fault it was. Watched by a session."""
    watcher = c.keep("watcher")
    watcher.subscribe(c.topic("will"), qos=1)
    c.keep(will=a_will(c))
    c.server.kill()
    c.server.start()
    watcher = c.keep("watcher")
    need(watcher.connack.session_present)
    watcher.message(c.topic("will"), "gone")
