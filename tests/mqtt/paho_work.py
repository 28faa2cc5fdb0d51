"""Eclipse Paho in Python at work, for clients.py: QoS, retained messages, wills, sessions, properties, shared subscriptions."""
import queue
import ssl

from link import need, need_equal

WAIT_S = 20


class Client:
    def __init__(self, paho, c, name, keeps=False, will=None, receive_maximum=None):
        self.paho, self.inbox, self.events = paho, queue.Queue(), queue.Queue()
        is5 = c.version == 5
        options = {} if is5 else {"clean_session": not keeps}
        self.client = paho.Client(client_id=c.client_id(name), protocol=paho.MQTTv5 if is5 else paho.MQTTv311, **options)
        ca, certificate, key = c.server.tls()
        self.client.tls_set(ca, certificate, key, tls_version=ssl.PROTOCOL_TLS_CLIENT)
        self.client.on_message = lambda client, data, message: self.inbox.put(message)
        self.client.on_connect = lambda client, data, flags, *more: self.events.put(("connect", flags, more[0]))
        self.client.on_subscribe = lambda client, data, mid, codes, *more: self.events.put(("subscribe", mid, codes))
        self.client.on_unsubscribe = lambda client, data, mid, *more: self.events.put(("unsubscribe", mid, more))
        if will:
            self.client.will_set(*will)
        props = None
        if is5:
            from paho.mqtt.packettypes import PacketTypes
            from paho.mqtt.properties import Properties
            props = Properties(PacketTypes.CONNECT)
            props.SessionExpiryInterval = 600 if keeps else 0
            if receive_maximum:
                props.ReceiveMaximum = receive_maximum
        more = {"clean_start": not keeps, "properties": props} if is5 else {}
        self.client.connect("localhost", c.server.port, 30, **more)
        self.client.loop_start()
        _, flags, reason = self.event("connect")
        need_equal(int(getattr(reason, "value", reason)), 0, "reason of the CONNACK")
        self.present = bool(flags["session present"])

    def event(self, kind):
        found = self.events.get(timeout=WAIT_S)
        need_equal(found[0], kind)
        return found

    def subscribe(self, topic, qos):
        self.client.subscribe(topic, qos)
        codes = self.event("subscribe")[2]
        need_equal([int(getattr(code, "value", code)) for code in codes], [qos], f"codes for {topic}")

    def publish(self, topic, payload, qos, retain=False, properties=None):
        more = {"properties": properties} if properties else {}
        info = self.client.publish(topic, payload, qos, retain, **more)
        info.wait_for_publish(WAIT_S)
        need(info.is_published(), f"{topic} {payload} is not acknowledged")

    def message(self, topic, payload, qos, retain=False):
        m = self.inbox.get(timeout=WAIT_S)
        need_equal((m.topic, m.payload.decode(), m.qos, bool(m.retain)), (topic, payload, qos, retain))
        return m

    def leave(self):
        self.client.disconnect()
        self.client.loop_stop()

    def break_off(self):
        self.client._sock_close()
        self.client.loop_stop()


def play(paho, c):
    a, b = Client(paho, c, "a"), Client(paho, c, "b", receive_maximum=4 if c.version == 5 else None)
    for qos in (0, 1, 2):
        b.subscribe(c.topic(f"q{qos}"), qos)
        for i in range(60):
            a.publish(c.topic(f"q{qos}"), f"{i}", qos)
        for i in range(60):
            b.message(c.topic(f"q{qos}"), f"{i}", qos)
    a.publish(c.topic("r"), "kept", 1, True)
    b.subscribe(c.topic("r"), 2)
    b.message(c.topic("r"), "kept", 1, True)
    a.publish(c.topic("r"), "", 1, True)
    b.message(c.topic("r"), "", 1)
    b.subscribe(c.topic("will"), 1)
    dies = Client(paho, c, "dies", will=(c.topic("will"), "gone", 1))
    dies.break_off()
    b.message(c.topic("will"), "gone", 1)
    session(paho, c, a)
    if c.version == 5:
        properties(c, a, b)
    for one in (a, b):
        one.leave()


def session(paho, c, a):
    keeper = Client(paho, c, "keeper", keeps=True)
    need(not keeper.present, "a session that nobody made")
    keeper.subscribe(c.topic("s"), 2)
    keeper.break_off()
    for i in range(30):
        a.publish(c.topic("s"), f"{i}", 2)
    keeper = Client(paho, c, "keeper", keeps=True)
    need(keeper.present, "the session is gone")
    for i in range(30):
        keeper.message(c.topic("s"), f"{i}", 2)
    keeper.leave()


def properties(c, a, b):
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties
    said = Properties(PacketTypes.PUBLISH)
    said.PayloadFormatIndicator, said.MessageExpiryInterval, said.ContentType = 1, 60, "text/plain"
    said.ResponseTopic, said.CorrelationData, said.UserProperty = "answer/here", b"\0\1\2", [("b", "1"), ("a", "2")]
    b.subscribe(f"$share/g/{c.topic('p')}", 2)
    a.publish(c.topic("p"), "x", 2, properties=said)
    heard = b.message(c.topic("p"), "x", 2).properties
    need_equal((heard.PayloadFormatIndicator, heard.ContentType, heard.ResponseTopic, heard.CorrelationData, heard.UserProperty),
               (1, "text/plain", "answer/here", b"\0\1\2", [("b", "1"), ("a", "2")]))
