"""CONNECT and CONNACK, keep alive, DISCONNECT, authentication."""
import time

import wire
from case import need, need_equal, shows, until
from case_form import never_accepted
from link import Closed


@shows("3.1.4-5", "3.2.0-1", "3.2.0-2", v3="3.2.0-1")
def a_connect_is_answered_by_one_connack_before_all_else(c):
    link = c.dial()
    link.send(wire.connect(c.version, c.client_id("a")) + wire.pingreq() + wire.publish(c.version, c.topic(), b"x", 1, 1))
    first = link.next()
    need_equal((first.kind, first.reason), (wire.CONNACK, 0))
    link.take(wire.PINGRESP)
    link.take(wire.PUBACK, 1)


@shows("3.1.2-1", v3="3.1.2-1")
def another_protocol_name_is_not_accepted(c):
    for name in ("MQIsdp", "mqtt", "MQTTX", ""):
        try:
            never_accepted(c, wire.connect(c.version, c.client_id("a"), name=name))
        except wire.Broken:
            pass  # a refusal in the other version's form: what the client speaks cannot be known


@shows("3.1.2-2", "3.2.2-7", v3="3.1.2-2")
def another_protocol_version_is_refused_in_words_it_knows(c):
    for level in (0, 1, 2, 6, 0x7f):
        link = c.dial()
        link.version = 4 if c.version == 4 else 5
        link.send(wire.connect(c.version, c.client_id("a"), level=level))
        try:
            link.closed()
        except wire.Broken:
            continue  # a CONNACK of the other version's form: the standard lets the server choose
        need(link.connack is None or link.connack.reason in (1, 0x84), link.connack)


@shows("3.1.2-3", v3="3.1.2-3")
def the_reserved_connect_flag_is_not_accepted(c):
    never_accepted(c, wire.connect(c.version, c.client_id("a"), flags=0x03))


@shows("3.1.2-11", "3.1.2-13", v3=("3.1.2-11", "3.1.2-13", "3.1.2-15"))
def will_flags_without_a_will_are_not_accepted(c):
    for flags in (0x0a, 0x12, 0x22, 0x3a):
        never_accepted(c, wire.connect(c.version, c.client_id("a"), flags=flags))


@shows("3.1.2-12", v3="3.1.2-14")
def a_will_of_qos_3_is_not_accepted(c):
    never_accepted(c, wire.connect(c.version, c.client_id("a"), will={"topic": c.topic(), "payload": b"x", "qos": 3}))


@shows("3.1.2-9", v3="3.1.2-9")
def a_will_flag_without_its_fields_is_not_accepted(c):
    never_accepted(c, wire.connect(c.version, c.client_id("a"), flags=0x06))
    tail = (b"\0" if c.version == 5 else b"") + wire.text(c.topic())
    never_accepted(c, wire.connect(c.version, c.client_id("a"), flags=0x06, more=tail))


@shows("3.1.2-16", "3.1.2-17", "3.1.2-18", "3.1.2-19", v3=("3.1.2-18", "3.1.2-19", "3.1.2-20", "3.1.2-21"))
def user_name_and_password_are_there_as_their_flags_say(c):
    never_accepted(c, wire.connect(c.version, c.client_id("a"), flags=0x82))  # said, and not there
    never_accepted(c, wire.connect(c.version, c.client_id("a"), user="u", flags=0xc2))
    never_accepted(c, wire.connect(c.version, c.client_id("a"), more=wire.text("u")))  # there, and not said
    never_accepted(c, wire.connect(c.version, c.client_id("a"), user="u", more=wire.text("p")))


@shows(v3="3.1.2-22")
def a_password_without_a_user_name_is_not_accepted(c):
    never_accepted(c, wire.connect(4, c.client_id("a"), flags=0x42, more=wire.text("p")))


@shows("3.1.3-1", "3.1.3-3", "3.1.4-1", v3=("3.1.3-1", "3.1.3-3", "3.1.4-1", "3.2.2-6"))
def a_connect_with_missing_or_more_bytes_is_not_accepted(c):
    good = wire.connect(c.version, c.client_id("a"))
    for short in range(2, len(good)):
        never_accepted(c, wire.packet(0x10, good[2:short]))
    never_accepted(c, wire.packet(0x10, good[2:] + b"\0"))
    never_accepted(c, wire.packet(0x1f, good[2:]))


@shows("3.1.4-1", "4.13.1-1")
def connect_properties_out_of_their_bounds_are_not_accepted(c):
    def one(*props):
        never_accepted(c, wire.connect(5, c.client_id("a"), props=props))
    one(("receive_maximum", 0))
    one(("maximum_packet_size", 0))
    one(("request_problem", 2))
    one(("request_response", 2))
    one(("authentication_data", b"x"))  # without a method
    one(("topic_alias", 1))
    one((0x7e, b"\0"))
    for name, value in (("session_expiry", 1), ("receive_maximum", 5), ("maximum_packet_size", 100), ("topic_alias_maximum", 3),
                        ("request_problem", 1), ("request_response", 1)):
        one((name, value), (name, value))
    will = {"topic": c.topic(), "payload": b"x"}
    for props in ([("will_delay", 1), ("will_delay", 1)], [("payload_format", 2)], [("topic_alias", 1)], [("receive_maximum", 1)],
                  [("response_topic", "a/+")]):
        never_accepted(c, wire.connect(5, c.client_id("a"), will={**will, "props": props}))


@shows("3.1.4-6", v3="3.1.4-5")
def nothing_behind_a_refused_connect_is_processed(c):
    watcher = c.connect("watcher")
    watcher.subscribe(c.topic(), qos=1)
    link = c.dial()
    link.send(wire.connect(c.version, c.client_id("a"), flags=0x03) + wire.publish(c.version, c.topic(), b"no", 1, 1))
    link.closed()
    need_equal(c.fence(watcher, c.connect("other")), [])


@shows("3.1.3-5", v3="3.1.3-5")
def client_ids_of_letters_and_digits_up_to_23_bytes_are_accepted(c):
    letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for client_id in (c.mark[-1] + letters[:22], c.mark[-1] + letters[22:44], c.mark[-1] + letters[-22:], c.client_id("")[:2]):
        need_equal(c.connect(client_id=client_id).connack.reason, 0)


@shows("3.1.3-6", "3.1.3-7", "3.2.2-16", v3=("3.1.3-6", "3.1.3-7"))
def an_empty_client_id_gets_one_that_nobody_else_has(c):
    links = [c.connect(client_id="") for _ in range(5)]
    if c.version == 5:
        found = {link.connack.props.get("assigned_client_id", "") for link in links}
        need(len(found) == 5 and "" not in found, f"assigned: {found}")
        c.connect(client_id=links[0].connack.props["assigned_client_id"])
        links[0].closed(0x8e)  # it is the client's name in every way
    for link in links[1:]:
        link.alive()


@shows(v3=("3.1.3-8", "3.1.3-9"))
def an_empty_client_id_with_a_session_to_keep_is_refused(c):
    link = c.say_connect(client_id="", clean=False)
    link.closed()
    need(link.connack is None or link.connack.reason == 2, link.connack)


@shows("3.1.3-8", "3.2.2-6", "3.2.2-7", v3=("3.1.3-9", "3.2.2-4", "3.2.2-5"))
def a_connack_that_refuses_is_the_last_thing_sent(c):
    """A client id that is too long; a server that takes even this one is asked for an unknown version."""
    link = c.dial()
    link.send(wire.connect(c.version, b"x" * 65535))
    if link.next().reason == 0:
        link = c.dial()
        link.send(wire.connect(c.version, c.client_id("a"), level=c.version + 100))
    else:
        need_equal(link.connack.reason, 0x85 if c.version == 5 else 2)
    try:
        link.closed()
    except wire.Broken:
        return
    need(all(p.kind == wire.CONNACK for p in link.inbox), link.inbox)


@shows("3.1.4-2", "4.13.2-1")
def a_will_that_may_not_be_is_refused_and_closed(c):
    """A will topic with wildcards is no topic."""
    link = c.say_connect(will={"topic": c.topic("+"), "payload": b"x"})
    link.closed()
    need(link.connack is None or link.connack.reason >= 0x80, link.connack)


@shows("3.1.4-3", v3="3.1.4-2")
def a_second_connection_takes_over_and_the_first_hears_it(c):
    first = c.connect("same")
    second = c.connect("same")
    last = first.closed(0x8e)
    need(c.version == 4 or last is None or last.reason == 0x8e, last)
    second.alive()


@shows("3.1.4-3", "3.1.3-2", v3="3.1.3-2")
def takeovers_in_quick_turn_leave_the_last_one_alive(c):
    links = [c.say_connect("same") for _ in range(20)]
    for link in links[:-1]:
        try:
            link.closed()
        except Closed:
            pass
    last = links[-1]
    need_equal(last.take(wire.CONNACK).reason, 0)
    last.alive()
    last.subscribe(c.topic(), qos=1)
    last.publish(c.topic(), "still here", 1)
    last.message(c.topic(), "still here")


@shows("3.2.2-8", "3.2.2-9", "3.2.2-12", "3.2.2-13", "3.2.2-22")
def a_connack_says_what_the_server_can_do(c):
    """What it announces as missing is refused as the standard says; what it does not mention works."""
    answer = c.connect(keep_alive=30).connack
    if answer.props.get("maximum_qos", 2) < 2:
        link = c.say_connect("will", will={"topic": c.topic(), "payload": b"x", "qos": 2})
        need_equal(link.take(wire.CONNACK).reason, 0x9b)
    if answer.props.get("retain_available", 1) == 0:
        link = c.say_connect("will", will={"topic": c.topic(), "payload": b"x", "retain": True})
        need_equal(link.take(wire.CONNACK).reason, 0x9a)
    complete = all(answer.props.get(name, 1) == 1 for name in ("retain_available", "wildcard_available",
                                                                "subscription_ids_available", "shared_available"))
    need(not c.server.is_complete or complete and "maximum_qos" not in answer.props, f"something is missing: {answer.props}")


@shows("3.2.2-10")
def subscriptions_of_any_qos_are_taken_whatever_publishes_may_be(c):
    link = c.connect()
    for qos in (0, 1, 2):
        need(link.subscribe(c.topic(f"{qos}"), qos=qos)[0] <= qos)


@shows("3.2.2-19", "3.2.2-20", "3.1.2-24")
def a_connack_fits_into_the_clients_packet_size(c):
    for limit in (10, 20, 40):
        link = c.say_connect(f"{limit}", props=[("maximum_packet_size", limit)])
        try:
            answer = link.next()
        except Closed:
            continue  # a server whose answer does not fit has no other way
        need(answer.size <= limit, f"{answer.size} bytes where {limit} are allowed: {answer}")


@shows("3.1.2-28")
def no_response_information_unless_asked_for(c):
    for props in ([], [("request_response", 0)]):
        need("response_information" not in c.connect(props=props).connack.props)


@shows("3.1.2-29")
def no_reason_strings_where_the_client_wants_none(c):
    link = c.connect(props=[("request_problem", 0)])
    link.send(wire.subscribe(5, 1, [("a/#/b", 0), ("$share//x", 0), (c.topic(), 0)]))
    link.send(wire.unsubscribe(5, 2, [c.topic("none")]))
    link.send(wire.publish(5, c.topic(), b"x", 1, 3), wire.publish(5, c.topic(), b"x", 2, 4), wire.ack(5, wire.PUBREL, 4),
              wire.ack(5, wire.PUBREL, 77))
    try:
        link.take(wire.PUBCOMP, 77)
    except Closed:
        pass
    for p in link.inbox:
        need(p.kind in (wire.PUBLISH, wire.CONNACK, wire.DISCONNECT) or not p.props, f"{p}")


@shows("3.1.2-22", v3="3.1.2-24", slow=True)
def a_silent_client_is_closed_after_one_and_a_half_keep_alives(c):
    watcher = c.connect("watcher")
    watcher.subscribe(c.topic("will"), qos=1)
    began = time.monotonic()
    link = c.connect(keep_alive=2, will={"topic": c.topic("will"), "payload": b"gone", "qos": 1})
    kept = link.connack.props.get("server_keep_alive", 2)
    need_equal(kept, 2, "server keep alive")
    link.closed(0x8d, deadline_s=12)
    took = time.monotonic() - began
    need(3 <= took + 0.05 and took < 8, f"closed after {took:.2f} s")
    watcher.message(c.topic("will"), "gone")  # as if the network had failed


@shows("3.2.2-22", "3.12.4-1", v3="3.12.4-1", slow=True)
def pings_and_any_packet_keep_a_client_alive(c):
    link = c.connect(keep_alive=1)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        until(time.monotonic() + 0.6)
        link.alive() if time.monotonic() < end - 2 else link.publish(c.topic(), "x", 1)
    link.alive()


@shows("3.1.2-22", slow=True, v3="3.1.2-24")
def messages_to_a_client_do_not_keep_it_alive(c):
    link, other = c.connect(keep_alive=1), c.connect("other")
    link.subscribe(c.topic())
    end = time.monotonic() + 6
    try:
        while time.monotonic() < end:
            other.publish(c.topic(), "x", 1)
            link.take(wire.PUBLISH)
            until(time.monotonic() + 0.2)
    except Closed:
        return
    need(False, "still open after six seconds of silence")


@shows("3.14.4-1", "3.14.4-2", v3=("3.14.4-1", "3.14.4-2"))
def after_a_disconnect_the_server_closes_and_says_no_more(c):
    link = c.connect()
    link.send(wire.disconnect(c.version) + wire.pingreq() + wire.publish(c.version, c.topic(), b"x", 1, 1))
    link.closed()
    need([p.kind for p in link.inbox] == [], f"sent after DISCONNECT: {link.inbox}")


@shows("3.14.0-1", "3.14.2-1", "3.14.2-2", "3.14.2-3", "3.14.2-4")
def a_servers_disconnect_keeps_to_its_form(c):
    """It comes after a CONNACK only, without a session expiry, with a code of the table (all held by wire.py and link.py), and
    within the packet size that the client allows."""
    link = c.connect(props=[("maximum_packet_size", 20)])
    link.send(wire.publish(5, c.topic(), b"x", props=[("topic_alias", 0)]))
    last = link.closed(0x94, 0x82, 0x81)
    need(last is None or last.size <= 20, last)


@shows("4.12.0-1", "4.12.0-4", "4.12.0-6")
def an_unknown_authentication_method_is_refused(c):
    link = c.say_connect(props=[("authentication_method", "holdfast-none"), ("authentication_data", b"x")])
    link.closed()
    need(link.connack is None or link.connack.reason in (0x8c, 0x87), link.connack)
    need(all(p.kind == wire.CONNACK for p in link.inbox), link.inbox)


@shows("4.12.0-6", "4.12.0-7", "3.15.2-1")
def an_auth_without_a_method_closes(c):
    for data in (wire.auth(0x18), wire.auth(0x19, [("authentication_method", "x")]), wire.auth(0x00), wire.packet(0xf0)):
        link = c.connect()
        need("authentication_method" not in link.connack.props)
        link.send(data)
        link.closed(0x81, 0x82, 0x8c)


@shows("3.14.2-2")
def a_session_expiry_cannot_be_raised_from_zero_by_a_disconnect(c):
    link = c.connect(props=[])
    link.send(wire.disconnect(5, 0, [("session_expiry", 10)]))
    link.closed(0x82)
