"""What a test of the suite is given, and how it is declared.

    @shows("3.8.4-1", v3="3.8.4-1")                  the statements of 5.0 and of 3.1.1 that it shows
    def each_subscribe_is_answered(c): ...           c is a Case; runs once for each version that is named

`versions` says which versions a test runs in; without it, those that have statements. `slow` marks tests in which seconds
have to pass. The names of tests are what docs/mqtt-conformance.md points to.
"""
import itertools
import secrets

import wire
from link import Failed, Link, need, need_equal, until  # noqa: F401  what tests use; decode.py puts its own Link here

TESTS = []
counter = itertools.count(1)


class Test:
    def __init__(self, function, v5, v3, versions, slow, restarts):
        self.function, self.v5, self.v3, self.slow, self.restarts = function, v5, v3, slow, restarts
        self.versions = versions or tuple(v for v, ids in ((5, v5), (4, v3)) if ids)
        self.name = f"{function.__module__}.{function.__name__}"


def shows(*v5, v3=(), versions=(), slow=False, restarts=False):
    v3 = (v3,) if isinstance(v3, str) else tuple(v3)

    def declare(function):
        TESTS.append(Test(function, v5, v3, versions, slow, restarts))
        return function
    return declare


class Case:
    """One run of one test in one version: connections to the server, names that are its own."""

    def __init__(self, server, version):
        self.server, self.version = server, version
        self.mark = f"{next(counter):x}{secrets.token_hex(3)}"
        self.links = []

    def topic(self, rest="t"):
        return f"{self.server.root}{self.mark}/{rest}"

    def client_id(self, name):
        return f"c{self.mark}{name}"

    def dial(self, version=None):
        """A connection on which nothing was said yet."""
        link = Link(self.server.dial(), version or self.version)
        self.links.append(link)
        return link

    def say_connect(self, name="a", version=None, client_id=None, **options):
        """CONNECT is sent; the CONNACK is still to come."""
        link = self.dial(version)
        link.client_id = self.client_id(name) if client_id is None else client_id
        link.send(wire.connect(link.version, link.client_id, **options))
        return link

    def connect(self, name="a", version=None, **options):
        """A connection that was accepted."""
        link = self.say_connect(name, version, **options)
        answer = link.take(wire.CONNACK)
        need(answer.reason == 0, f"not accepted: {answer}")
        return link

    def keep(self, name="a", expiry_s=600, clean=False, props=(), **options):
        """A connection whose session outlives it, in either version."""
        more = [("session_expiry", expiry_s)] if self.version == 5 else []
        return self.connect(name, clean=clean, props=[*more, *props], **options)

    def fence(self, subscriber, publisher, qos=1):
        """All messages that came before one that the publisher sends now, each acknowledged: what is not among them was not
        sent. The mark is of QoS 1, so that nothing that waits for a disk may be behind it."""
        mark = self.topic(f"fence/{next(counter)}")
        subscriber.subscribe(mark, qos=qos)
        publisher.publish(mark, "here", qos=qos)
        came = []
        while (p := subscriber.receive()).topic != mark:
            came.append(p)
        return came

    def close(self):
        for link in self.links:
            if not link.is_over:
                link.send(wire.disconnect(link.version))
            link.stream.close()


def payloads(messages):
    return [m.payload.decode("latin-1") for m in messages]
