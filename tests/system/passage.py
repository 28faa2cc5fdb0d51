#!/usr/bin/env python3
"""The pass-through in front of a real platform: an agent enrols through it end to end; who asks for another server, sends no
TLS, is slow, comes too often or sends too much is cut, counted and told in words; nothing is changed on the way."""
import hashlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading

from lib import Platform, Script, need, wait_for

NAME = "plain.example"


class Passage:
    """holdfast run --role passage, with a configuration of its own beside that of the platform."""

    def __init__(self, platform, to, names, where):
        self.data = platform.dir / where
        (self.data / "run").mkdir(parents=True)
        config = self.data / "holdfast.toml"
        quoted = ", ".join(f'"{name}"' for name in names)
        config.write_text(f'[site]\ndata = "{self.data}"\n[[gateway]]\nname = "gw-1"\npassage = ["tls://localhost:0"]\n'
                          f'passage_to = "{to}"\npassage_names = [{quoted}]\n')
        self.process = subprocess.Popen([platform.program(), "run", "--role", "passage", "--name", "gw-1", "--config", str(config)],
                                        stdout=subprocess.PIPE, text=True)
        platform.others.append(self.process)
        line = self.process.stdout.readline()
        self.port = int(re.fullmatch(r"passage gw-1 listens on localhost:(\d+)\n", line).group(1))

    def metric(self, name):
        text = (self.data / "run" / "gw-1-passage.metrics").read_text()
        return int(re.search(rf"^{re.escape(name)} (\d+)$", text, re.M).group(1))

    def refusals(self):
        file = self.data / "run" / "gw-1-passage.refusals"
        return file.read_text() if file.exists() else ""

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


class Service(threading.Thread):
    """A TLS server that answers each connection with the SHA-256 of all it got, after `back` octets of its own."""

    def __init__(self, folder, back):
        super().__init__(daemon=True)
        self.back, self.folder = back, folder
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                        f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", "service.key", "-out", "service.pem"],
                       cwd=folder, check=True, capture_output=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.seen = 0

    def run(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "service.pem", self.folder / "service.key")
        while True:
            raw, _ = self.listener.accept()
            self.seen += 1
            try:
                with context.wrap_socket(raw, server_side=True) as link:
                    size, digest = int.from_bytes(link.recv(4), "big"), hashlib.sha256()
                    while size > 0:
                        part = link.recv(min(size, 65536))
                        if not part:
                            break
                        digest.update(part)
                        size -= len(part)
                    link.sendall(digest.digest() + bytes(range(256)) * (self.back // 256))
            except OSError:
                pass  # cut on purpose


def call(port, folder, name=NAME):
    context = ssl.create_default_context(cafile=folder / "service.pem")
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 20), server_hostname=name)


def is_cut(link):
    try:
        return link.recv(1) == b""
    except (ConnectionError, ssl.SSLError):
        return True


def enrols(platform, passage):
    agent = platform.agent("passed-1", "host", f"localhost:{platform.gateway_port('gw-1')}",
                           devices_url=f"https://localhost:{passage.port}")
    wait_for(lambda: any(row["name"] == "passed-1" and row["identity"] == "active" for row in platform.items("/devices")), 30,
             "the agent is active")
    wait_for(lambda: passage.metric("holdfast_passage_bytes_total{way=\"down\"}") > 1000, 10, "bytes passed are counted")
    agent.send_signal(signal.SIGTERM)
    need(agent.wait(20) == 0, "the agent stops")


def passes_unchanged(platform, passage, service):
    body = os.urandom(3 << 20)
    with call(passage.port, platform.dir) as link:
        link.sendall(len(body).to_bytes(4, "big") + body)
        got = b""
        while True:
            part = link.recv(65536)
            if not part:
                break
            got += part
    need(got[:32] == hashlib.sha256(body).digest(), "3 MiB came up as they were sent")
    need(got[32:] == bytes(range(256)) * (service.back // 256), f"{len(got) - 32} octets came down")


def strangers(platform, passage, service):
    seen = service.seen
    for name, bytes_sent in (("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), ("no hello", b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00")):
        with socket.create_connection(("127.0.0.1", passage.port), 20) as link:
            link.sendall(bytes_sent)
            need(is_cut(link), f"{name} is cut")
    for name in ("elsewhere.example", None):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        raw = socket.create_connection(("127.0.0.1", passage.port), 20)
        try:
            context.wrap_socket(raw, server_hostname=name).close()
            need(False, f"a client that asks for {name} is passed on")
        except OSError:
            raw.close()
    wait_for(lambda: passage.metric('holdfast_passage_ended_total{end="stranger"}') == 4, 10, "four strangers are counted")
    wait_for(lambda: "no ClientHello" in passage.refusals() and "a server name that is not passed through" in passage.refusals(), 10,
             "they are told in words")
    need(service.seen == seen, "nothing reached the service")


def slow(passage):
    with socket.create_connection(("127.0.0.1", passage.port), 20) as link:
        link.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        need(is_cut(link), "who does not finish a ClientHello is cut")
    wait_for(lambda: passage.metric('holdfast_passage_ended_total{end="too-slow"}') == 1, 10, "and counted")


def crowd(passage):
    links = [socket.create_connection(("127.0.0.1", passage.port), 20) for _ in range(20)]
    wait_for(lambda: passage.metric("holdfast_passage_crowded_total") == 4, 10, "the 17th to 20th of one address are refused")
    need(passage.metric("holdfast_passage_connections") == 16, "sixteen are there")
    for link in links:
        link.close()
    wait_for(lambda: passage.metric("holdfast_passage_connections") == 0, 10, "and leave their places")


def too_much(platform, passage):
    with call(passage.port, platform.dir) as link:
        link.sendall((64 << 20).to_bytes(4, "big"))
        try:
            for _ in range(4096):
                link.sendall(bytes(16384))
            need(False, "64 MiB went through")
        except OSError:
            pass
    wait_for(lambda: passage.metric('holdfast_passage_ended_total{end="too-much"}') == 1, 10, "it is counted")


def unreached(platform):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    alone = Passage(platform, f"https://localhost:{port}", [NAME], "unreached")
    context = ssl.create_default_context()
    try:
        context.wrap_socket(socket.create_connection(("127.0.0.1", alone.port), 20), server_hostname=NAME)
        need(False, "a service that is not there answered")
    except OSError:
        pass
    wait_for(lambda: alone.metric('holdfast_passage_ended_total{end="unreached"}') == 1, 10, "it is counted")
    wait_for(lambda: "the service cannot be reached" in alone.refusals(), 10, "it is told in words")
    need(alone.stop() == 0, "SIGTERM ends it")


def main():
    script = Script()
    with Platform(devices=1, name="passage") as platform:
        passage = Passage(platform, platform.up()["devices_url"], ["localhost"], "passage")
        script.run("an agent enrols through the pass-through, end to end", enrols, platform, passage)
        script.run("SIGTERM ends it", lambda: need(passage.stop() == 0, "its status"))
        service = Service(platform.dir, 3 << 20)
        service.start()
        passage = Passage(platform, f"https://localhost:{service.port}", ["other.example", NAME], "plain")
        script.run("what passes is not changed, and a slow end slows the other", passes_unchanged, platform, passage, service)
        script.run("strangers are cut before anything is passed on", strangers, platform, passage, service)
        script.run("a slow hello is cut", slow, passage)
        script.run("one address has its share of places", crowd, passage)
        script.run("a connection passes 4 MiB each way and no more", too_much, platform, passage)
        script.run("a service that is not there is told from one that ended", unreached, platform)
        script.run("SIGTERM ends it with connections open", lambda: need(passage.stop() == 0, "its status"))
    script.end()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
