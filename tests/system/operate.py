#!/usr/bin/env python3
"""What an operator's tools ask of a running gateway over its local socket: state, sessions, the messages of one device, drain.
Usage: operate.py [PART OF A NAME]"""
import http.client, json, os, socket, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gateway import BUILD, DEADLINE, Client, Gateway, check, connect_packet, device_id, main, payloads  # noqa: E402
from spool import acknowledge  # noqa: E402


class Local(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("gateway", timeout=DEADLINE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE)
        self.sock.connect(self.path)


def ask(d, target, method="GET", status=200):
    local = Local(f"{d}/gateway.sock")
    local.request(method, target)
    answer = local.getresponse()
    body = answer.read()
    local.close()
    check(answer.status == status, method, target, "gave", answer.status, body)
    return json.loads(body) if status == 200 else body


def wait_for(condition, what):
    end = time.monotonic() + DEADLINE
    while not condition():
        check(time.monotonic() < end, "never came:", what)
        time.sleep(0.02)  # between looks at what is waited for


def connack_of(gateway, name, client_id):
    client = Client(gateway, name)
    client.send(connect_packet(client_id=client_id))
    answer = client.receive()
    client.close()
    return answer[2][1]


def test_nonsense_is_refused_and_changes_nothing(d):
    """a question that is none, of a device that is none, for longer than is allowed, is refused"""
    g = Gateway(d)
    for method, target, status in (("GET", "/", 404), ("GET", "/drain", 404), ("POST", "/sessions", 404),
                                   ("GET", "/sessions?after=x", 400), ("GET", "/sessions?limit=501", 400),
                                   ("POST", "/watch?device=alpha", 400), ("POST", "/watch", 400),
                                   ("POST", f"/watch?device={device_id('alpha')}&seconds=601", 400),
                                   ("GET", "/watch?after=-1", 400)):
        ask(d, target, method, status)
    check(ask(d, "/state")["drain"] == "open")
    check(oct(os.stat(f"{d}/gateway.sock").st_mode & 0o777) == "0o600")
    check(g.stop() == 0)


def test_sessions_are_told_a_page_at_a_time(d):
    """each live session stands in the list once, with what it sent; one that ended does not"""
    g = Gateway(d)
    clients = []
    for name in ("alpha", "alpha", "beta"):
        clients.append(Client(g, name))
        check(clients[-1].connect(client_id=f"c{len(clients)}")[1] == 0)
    clients[2].publish("{}", 1)
    check(clients[2].puback() == 1)
    found, after = [], 0
    while after is not None:
        page = ask(d, f"/sessions?limit=2&after={after}")
        check(page["total"] == 3 and len(page["items"]) <= 2, page)
        found += page["items"]
        after = page["next"]
    check(sorted(s["client_id"] for s in found) == ["c1", "c2", "c3"], found)
    beta = [s for s in found if s["client_id"] == "c3"][0]
    check(beta["owner"] == device_id("beta") and beta["messages"] == 1 and beta["bytes"] == 2, beta)
    check(beta["address"].startswith("127.0.0.1:") and beta["version"] == "5.0", beta)
    clients[2].close()
    wait_for(lambda: ask(d, "/sessions")["total"] == 2, "the end of a session")
    check(g.stop() == 0)


def test_a_watch_is_of_one_device(d):
    """what a device says and hears is kept while an operator looks, and nothing of another device"""
    g = Gateway(d)
    alpha, beta = Client(g, "alpha"), Client(g, "beta")
    check(ask(d, "/watch")["items"] == [])
    before = ask(d, f"/watch?device={device_id('alpha')}&seconds=60", "POST")
    check(before["left_s"] > 50, before)
    check(alpha.connect(client_id="one")[1] == 0 and beta.connect(client_id="two")[1] == 0)
    for client in (alpha, beta):
        client.publish("{}", 7)
        check(client.puback() == 7)
    got = ask(d, "/watch")
    seen = [(e["from"], e["what"], e["packet_id"]) for e in got["items"]]
    check(seen == [("device", "CONNECT", 0), ("gateway", "CONNACK", 0), ("device", "PUBLISH", 7), ("gateway", "PUBACK", 7)],
          seen)
    check(got["items"][2]["topic"] == alpha.own("j/s") and got["items"][2]["bytes"] == 2, got)
    check(ask(d, f"/watch?after={got['last']}")["items"] == [])
    ask(d, f"/watch?device={device_id('alpha')}&seconds=0", "POST")
    wait_for(lambda: ask(d, "/watch")["last"] == 0, "the end of the watch")
    check(g.stop() == 0)


def test_drain_sends_away_and_takes_nobody(d):
    """a drained gateway acknowledges what it took, sends everybody away, takes nobody, and is drained when all is read"""
    g = Gateway(d)
    client = Client(g)
    check(client.connect(client_id="one")[1] == 0)
    for i in range(20):
        client.publish("%d" % i, i + 1)
    check(ask(d, "/drain", "POST")["drain"] in ("draining", "drained"))
    acked, last = [], None
    while (answer := client.receive()) is not None:
        if answer[0] == 4:
            acked.append(int.from_bytes(answer[2][:2], "big"))
        last = answer
    check(last is not None and last[0] == 14 and last[2][0] == 0x9c, "no DISCONNECT 0x9C at the end:", last)
    check(acked == list(range(1, len(acked) + 1)), acked)
    check(connack_of(g, "beta", "two") == 0x9c)
    wait_for(lambda: ask(d, "/state")["connections"] == 0, "the last connection's end")
    check(ask(d, "/state")["drain"] == "draining" and ask(d, "/state")["unread_bytes"] > 0)
    acknowledge(f"{d}/spool", BUILD)
    wait_for(lambda: ask(d, "/state")["drain"] == "drained", "drained")
    taken = len(payloads(d))
    check(len(acked) <= taken <= 20, acked, taken)
    check(g.stop() == 0)


def test_a_drain_holds_over_a_kill_until_it_is_undone(d):
    """a gateway that was drained and killed is drained when it comes back; undone, it takes sessions at once"""
    g = Gateway(d)
    ask(d, "/drain", "POST")
    g.kill()
    g = Gateway(d)
    check("still drained" in g.words(), g.words())
    check(connack_of(g, "alpha", "one") == 0x9c)
    check(ask(d, "/undrain", "POST")["drain"] == "open")
    check(connack_of(g, "alpha", "one") == 0)
    check(ask(d, "/undrain", "POST")["drain"] == "open")
    g.kill()
    g = Gateway(d)
    check(connack_of(g, "alpha", "one") == 0)
    check(g.stop() == 0)


if __name__ == "__main__":
    sys.exit(main(globals()))
