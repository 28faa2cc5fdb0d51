#!/usr/bin/env python3
"""The gateway as a real process: real TLS, real files, real and raw clients. Usage: gateway.py [PART OF A NAME]

Each test is a function whose first line says what must hold. Nothing waits by sleeping: every wait is for an
event, with a deadline. Programs come from HOLDFAST_BUILD (default build/sanitize, build/release or build/debug).
"""
import hashlib, os, re, select, shutil, signal, socket, ssl, struct, subprocess, sys, tempfile, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from spool import KINDS, acknowledge, records  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEADLINE = 20.0


def build_dir():
    named = os.environ.get("HOLDFAST_BUILD")
    for at in [named] if named else [os.path.join(TOP, "build", p) for p in ("sanitize", "release", "debug")]:
        if os.path.exists(os.path.join(at, "system/gateway_process")):
            return at
    sys.exit("gateway.py: no gateway_process is built")


BUILD = build_dir()
SHIM = os.path.join(BUILD, "shim/failfs.so")


class Skip(Exception):
    pass


def check(condition, *words):
    if not condition:
        raise AssertionError(" ".join(str(w) for w in words) or "does not hold")


# ---- certificates, by the openssl command line ----

def openssl(*args, cwd):
    subprocess.run(["openssl", *args], cwd=cwd, check=True, capture_output=True)


def make_ca(d, name, issuer=None):
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", name + ".key", cwd=d)
    if issuer is None:
        openssl("req", "-x509", "-new", "-key", name + ".key", "-subj", "/CN=" + name, "-days", "30", "-out",
                name + ".pem", "-addext", "basicConstraints=critical,CA:TRUE", cwd=d)
        return
    make_leaf(d, name, issuer, "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign")


def make_leaf(d, name, issuer, extensions, days="30"):
    if not os.path.exists(f"{d}/{name}.key"):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", name + ".key", cwd=d)
    with open(f"{d}/{name}.ext", "w") as f:
        f.write(extensions + "\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
    openssl("req", "-new", "-key", name + ".key", "-subj", "/serialNumber=" + name, "-out", name + ".csr", cwd=d)
    openssl("x509", "-req", "-in", name + ".csr", "-CA", issuer + ".pem", "-CAkey", issuer + ".key", "-days", days,
            "-out", name + ".pem", "-extfile", name + ".ext", cwd=d)


def device_id(name):
    return "hf1:" + hashlib.sha256(name.encode()).hexdigest()[:32]


def device_extensions(name):
    return (f"subjectAltName=URI:spiffe://holdfast.local/device/{device_id(name)}\n"
            "extendedKeyUsage=clientAuth\nkeyUsage=digitalSignature")


def make_pki(d):
    make_ca(d, "root")
    make_ca(d, "issuer", "root")
    make_ca(d, "stranger")
    make_leaf(d, "gateway", "root", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth")
    for name in ("alpha", "beta"):
        make_leaf(d, name, "issuer", device_extensions(name))
    make_leaf(d, "foreign", "stranger", device_extensions("foreign"))
    make_leaf(d, "nameless", "issuer", "extendedKeyUsage=clientAuth\nkeyUsage=digitalSignature")
    make_leaf(d, "elsewhere", "issuer", "extendedKeyUsage=clientAuth\nkeyUsage=digitalSignature\n"
              f"subjectAltName=URI:spiffe://other.example/device/{device_id('alpha')}")
    make_leaf(d, "server-only", "issuer", device_extensions("alpha").replace("clientAuth", "serverAuth"))


# ---- the process ----

class Gateway:
    def __init__(self, d, *options, env=None, wrap=()):
        self.d = d
        self.wrapped = bool(wrap)
        self.log = open(f"{d}/gateway.err", "a")
        command = [*wrap, f"{BUILD}/system/gateway_process", d, "127.0.0.1:0", *map(str, options)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        env={**os.environ, **(env or {})})
        line = self.process.stdout.readline()
        found = re.search(r"listens on .*:(\d+)", line)
        self.port = int(found.group(1)) if found else None

    def stop(self):
        if self.process.poll() is None:
            os.kill(self.pid(), signal.SIGTERM)
        code = self.process.wait(DEADLINE)
        self.process.stdout.close()
        self.log.close()
        return code

    def pid(self):
        """Of the gateway itself, also below strace."""
        if not self.wrapped:
            return self.process.pid
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as f:
            return int(f.read().split()[0])

    def kill(self):
        self.process.kill()
        self.process.wait(DEADLINE)
        self.process.stdout.close()
        self.log.close()

    def words(self):
        with open(f"{self.d}/gateway.err") as f:
            return f.read()

    def wait_metric(self, name, least):
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            try:
                with open(f"{self.d}/gateway.metrics") as f:
                    for line in f:
                        if line.startswith(name + " ") and int(float(line.split()[-1])) >= least:
                            return
            except FileNotFoundError:
                pass
            time.sleep(0.02)  # between looks at the file, which is the event
        raise AssertionError(f"{name} never reached {least}")

    def refusals(self):
        with open(f"{self.d}/gateway.refusals") as f:
            return f.read()


def spool(d):
    return [{"kind": KINDS[r.kind], "device": r.device_text(), "topic": r.topic.decode("latin-1"),
             "payload": r.payload.decode("latin-1"), "digest": r.rest.hex()} for r in records(f"{d}/spool", BUILD)]


def payloads(d):
    return [r["payload"] for r in spool(d) if r["kind"] == "published"]


# ---- a client that can say anything ----

def string(text):
    data = text.encode() if isinstance(text, str) else text
    return struct.pack(">H", len(data)) + data


def packet(first, body):
    length, n = b"", len(body)
    while True:
        length += bytes([n % 128 | (128 if n > 127 else 0)])
        n //= 128
        if n == 0:
            return bytes([first]) + length + body


def connect_packet(version=5, client_id="", keep_alive=60, flags=0x02, properties=b"", rest=b""):
    body = string("MQTT") + bytes([version, flags]) + struct.pack(">H", keep_alive)
    if version == 5:
        body += bytes([len(properties)]) + properties
    return packet(0x10, body + string(client_id) + rest)


def publish_packet(topic, payload, packet_id=0, version=5, qos=1, flags=0, properties=b""):
    body = string(topic) + (struct.pack(">H", packet_id) if qos else b"")
    body += bytes([len(properties)]) + properties if version == 5 else b""
    return packet(0x30 | qos << 1 | flags, body + payload.encode())


class Client:
    def __init__(self, gateway, name="alpha", d=None, session=(None, None), source=None):
        d = d or gateway.d
        context, offered = session
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.load_verify_locations(f"{d}/root.pem")
            if name:
                context.load_cert_chain(f"{d}/{name}.pem", f"{d}/{name}.key")
        plain = socket.create_connection(("127.0.0.1", gateway.port), DEADLINE, source_address=source and (source, 0))
        self.socket = context.wrap_socket(plain, server_hostname="localhost", session=offered)
        self.socket.setblocking(False)
        self.lock = threading.Lock()
        self.name = name
        self.buffer = b""

    def own(self, rest):
        return f"hf/1/{device_id(self.name)}/{rest}"

    def turn(self, action):
        """Tries until the socket is ready for it. One thread reads while another writes, and OpenSSL allows only one at a time."""
        end = time.monotonic() + DEADLINE
        while True:
            try:
                with self.lock:
                    return action(self.socket)
            except ssl.SSLWantReadError:
                wanted = [self.socket], []
            except ssl.SSLWantWriteError:
                wanted = [], [self.socket]
            if not any(select.select(*wanted, [], max(0, end - time.monotonic()))):
                raise TimeoutError(f"nothing for {DEADLINE} s")

    def send(self, data):
        while data:
            data = data[self.turn(lambda s: s.send(data)):]

    def receive(self):
        """The next packet as (type, flags, body), or None at the end of the connection."""
        while True:
            taken = self.take()
            if taken is not None:
                return taken
            try:
                got = self.turn(lambda s: s.recv(65536))
            except (ConnectionError, ssl.SSLError):
                return None
            if got == b"":
                return None
            self.buffer += got

    def take(self):
        length, shift, at = 0, 0, 1
        while True:
            if at >= len(self.buffer):
                return None
            byte = self.buffer[at]
            length |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                break
        if len(self.buffer) < at + length:
            return None
        first, body = self.buffer[0], self.buffer[at:at + length]
        self.buffer = self.buffer[at + length:]
        return first >> 4, first & 15, body

    def connect(self, **options):
        self.send(connect_packet(**options))
        answer = self.receive()
        check(answer is not None and answer[0] == 2, "no CONNACK:", answer)
        return answer[2]

    def publish(self, payload, packet_id, version=5, rest="j/s"):
        self.send(publish_packet(self.own(rest), payload, packet_id, version))

    def puback(self):
        answer = self.receive()
        if answer is None:
            return None
        check(answer[0] == 4, "no PUBACK:", answer)
        return struct.unpack(">H", answer[2][:2])[0]

    def close(self):
        self.socket.close()


def refused(gateway, name):
    """Does TLS end before a CONNECT is answered?"""
    try:
        client = Client(gateway, name)
        client.send(connect_packet())
        return client.receive() is None
    except (ssl.SSLError, ConnectionError):
        return True


# ---- the tests ----

def test_stock_clients(d):
    """mosquitto_pub in both versions stores JSON on the device's own topic, and is told when it is not its own"""
    if shutil.which("mosquitto_pub") is None:
        raise Skip("mosquitto_pub is not installed")
    g = Gateway(d)
    base = ["mosquitto_pub", "-h", "localhost", "-p", str(g.port), "--cafile", f"{d}/root.pem", "--cert",
            f"{d}/alpha.pem", "--key", f"{d}/alpha.key", "-q", "1", "-d"]
    topic = f"hf/1/{device_id('alpha')}/j/line"
    for version in ("5", "311"):
        out = subprocess.run([*base, "-V", version, "-t", topic, "-m", '{"v":%s}' % version], timeout=DEADLINE,
                             capture_output=True, text=True).stdout
        check("received PUBACK (Mid: 1, RC:0)" in out, out)
    out = subprocess.run([*base, "-V", "5", "-t", f"hf/1/{device_id('beta')}/j/line", "-m", "x"], timeout=DEADLINE,
                         capture_output=True, text=True).stdout
    check("RC:135" in out, out)
    check(g.stop() == 0)
    check(payloads(d) == ['{"v":5}', '{"v":311}'], payloads(d))
    check({r["device"] for r in spool(d) if r["kind"] != "started"} == {device_id("alpha")})


def test_stock_subscriber(d):
    """mosquitto_sub is granted its own commands and is refused any other filter"""
    if shutil.which("mosquitto_sub") is None:
        raise Skip("mosquitto_sub is not installed")
    g = Gateway(d)
    base = ["mosquitto_sub", "-h", "localhost", "-p", str(g.port), "--cafile", f"{d}/root.pem", "--cert",
            f"{d}/alpha.pem", "--key", f"{d}/alpha.key", "-V", "5", "-E", "-d"]
    own = subprocess.run([*base, "-t", f"hf/1/{device_id('alpha')}/c", "-q", "1"], timeout=DEADLINE,
                         capture_output=True, text=True)
    check("QoS 1" in own.stdout or "Subscribed (mid: 1): 1" in own.stdout, own.stdout)
    other = subprocess.run([*base, "-t", "#"], timeout=DEADLINE, capture_output=True, text=True)
    check("Subscribed (mid: 1): 135" in other.stdout, other.stdout, other.stderr)
    check(g.stop() == 0)


def test_strangers(d):
    """only a certificate of our issuer that names a device of our domain gets as far as MQTT"""
    g = Gateway(d)
    for name in (None, "foreign", "gateway", "server-only"):
        check(refused(g, name), name, "got through TLS")
    for name in ("nameless", "elsewhere"):
        check(refused(g, name), name, "became a device")
    good = Client(g)
    check(good.connect()[1] == 0)
    g.wait_metric('holdfast_gateway_refusals_total{reason="tls"}', 4)
    g.wait_metric('holdfast_gateway_refusals_total{reason="identity"}', 2)
    good.close()
    check(g.stop() == 0)
    check(len([r for r in spool(d) if r["kind"] == "linked"]) == 1)


def test_link_records(d):
    """a session is linked in the journal before its first message, with the digest of its tls-exporter"""
    g = Gateway(d)
    topic = f"hf/1/{device_id('alpha')}/hello"
    data = connect_packet(client_id="x") + publish_packet(topic, "hi", 1)
    s = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{g.port}", "-CAfile", f"{d}/root.pem",
                          "-cert", f"{d}/alpha.pem", "-key", f"{d}/alpha.key", "-tls1_3", "-keymatexport",
                          "EXPORTER-Channel-Binding", "-keymatexportlen", "32"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    s.stdin.write(data)
    s.stdin.flush()
    g.wait_metric('holdfast_gateway_acks_total{outcome="stored"}', 1)
    s.kill()
    out = s.communicate()[0].decode(errors="replace")
    material = bytes.fromhex(re.search(r"Keying material: ([0-9A-F]{64})", out).group(1))
    g.wait_metric('holdfast_gateway_session_ends_total{cause="lost"}', 1)
    check(g.stop() == 0)
    rows = spool(d)
    check([r["kind"] for r in rows] == ["started", "linked", "published", "unlinked"], rows)
    check(rows[1]["digest"] == hashlib.sha256(material).hexdigest(), "another exporter")
    certificate = subprocess.run(["openssl", "x509", "-in", f"{d}/alpha.pem", "-outform", "der"], check=True,
                                 capture_output=True).stdout
    check(rows[1]["payload"].encode("latin-1") == certificate, "another certificate")
    check(rows[3]["payload"] == "lost")


def test_start_record(d):
    """each process of a gateway says in the journal that it began, before every link: its devices' earlier links are over"""
    g = Gateway(d)
    first = Client(g)
    check(first.connect()[1] == 0)
    g.process.kill()
    g.process.wait()
    g = Gateway(d)
    second = Client(g)
    check(second.connect()[1] == 0)
    check(g.stop() == 0)
    check([r["kind"] for r in spool(d)] == ["started", "linked", "started", "linked", "unlinked"], spool(d))


def test_order_of_system_calls(d):
    """the message is written, then synced, and only then does a PUBACK leave the process"""
    if shutil.which("strace") is None:
        raise Skip("strace is not installed")
    trace = f"{d}/trace"
    env = {"ASAN_OPTIONS": "detect_leaks=0"}  # LeakSanitizer cannot run under ptrace
    g = Gateway(d, env=env, wrap=["strace", "-f", "-s", "4096", "-o", trace, "-e",
                         "trace=write,writev,sendto,sendmsg,pwrite64,fsync,fdatasync,accept4,accept"])
    client = Client(g)
    client.connect()
    for i in range(1, 21):
        client.publish(f"marker-{i:04}-end", i)
        check(client.puback() == i)
    client.close()
    check(g.stop() == 0)
    lines = open(trace).read().splitlines()
    accepted = next(l for l in lines if re.search(r"accept4?\(.*= \d+$|<\.\.\. accept4? resumed.*= \d+$", l))
    fd = accepted.rsplit(" ", 1)[1]
    sends = [i for i, l in enumerate(lines) if re.match(rf"\d+ +(write|writev|sendto|sendmsg)\({fd},", l)]
    synced = [i for i, l in enumerate(lines) if re.search(r"(fsync|fdatasync).*= 0$", l)]
    for i in range(1, 21):
        written = next(n for n, l in enumerate(lines) if "pwrite64" in l and f"marker-{i:04}-end" in l)
        sync = next(n for n in synced if n > written)
        early = [n for n in sends if written < n < sync]
        check(not early, "sent between write and sync:", [lines[n] for n in early])
        check(any(n > sync for n in sends), "no PUBACK")


def test_failed_sync(d):
    """after a failed sync no PUBACK leaves, and the process ends at once with status 74 and words"""
    stopped = 0
    for at in range(1, 15):
        shutil.rmtree(f"{d}/spool", ignore_errors=True)
        g = Gateway(d, env={"LD_PRELOAD": SHIM, "HOLDFAST_FAIL": f"fdatasync@spool:{at}:EIO:forever",
                            "ASAN_OPTIONS": "verify_asan_link_order=0"})
        sent = acked = 0
        if g.port is not None:
            try:
                client = Client(g)
                client.connect()
                while sent < 200:
                    sent += 1
                    client.publish(f"m{sent}", sent)
                    if client.puback() is None:
                        break
                    acked += 1
            except (OSError, AssertionError):
                pass
        code = g.process.wait(DEADLINE)
        check(code == 74, f"fdatasync {at}: status {code}")
        check("stops" in g.words() or "not started" in g.words())
        check(acked < sent or sent == 0, f"fdatasync {at}: {acked} of {sent} acknowledged")
        stopped += sent > 0
        g.stop()
        kept = payloads(d) if os.path.exists(f"{d}/spool/mark") else []
        check(kept[:acked] == [f"m{i}" for i in range(1, acked + 1)], f"fdatasync {at}: acknowledged and not kept")
    check(stopped >= 3, "the fault came before the first message every time")


def test_slow_sync(d):
    """a PUBACK waits as long as the sync takes, and what came meanwhile is one batch"""
    g = Gateway(d, env={"LD_PRELOAD": SHIM, "HOLDFAST_FAIL": "fdatasync@spool:1:100ms:forever",
                        "ASAN_OPTIONS": "verify_asan_link_order=0"})
    client = Client(g)
    client.connect()
    began = time.monotonic()
    for i in range(1, 51):
        client.publish(f"s{i}", i)
    check([client.puback() for _ in range(50)] == list(range(1, 51)))
    took = time.monotonic() - began
    check(took >= 0.1, f"{took:.3f} s: before the sync")
    check(took < 2.5, f"{took:.3f} s: not in batches")
    client.close()
    check(g.stop() == 0)


def test_kill(d):
    """what was acknowledged is there after kill -9, ten times in mid-stream, in order"""
    acked_all = []
    for round_number in range(10):
        g = Gateway(d)
        client = Client(g)
        client.connect()
        count, acked, enough = 0, [], threading.Event()

        def read():
            while True:
                packet_id = client.puback()
                if packet_id is None:
                    return
                acked.append(packet_id)
                if len(acked) > 100 + 37 * round_number:
                    enough.set()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            while not enough.is_set() and count < 60000:
                count += 1
                while count - len(acked) > 60 and not enough.is_set():
                    check(reader.is_alive(), "acknowledgements have stopped")
                    enough.wait(0.001)
                client.publish(f"r{round_number}-{count}", count)
        except (ConnectionError, ssl.SSLError):
            pass
        g.kill()
        reader.join(DEADLINE)
        client.close()
        check(len(acked) > 100)
        acked_all += [f"r{round_number}-{i}" for i in acked]
    kept = payloads(d)
    missing = set(acked_all) - set(kept)
    check(not missing, f"{len(missing)} of {len(acked_all)} acknowledged messages are gone")
    where = {p: i for i, p in enumerate(kept)}
    places = [where[p] for p in acked_all]
    check(places == sorted(places), "out of order")


def test_full_spool(d):
    """a full spool stops the reading: nothing is refused or lost, and it goes on when a reader has made room"""
    g = Gateway(d, "segment", 1 << 20, "budget", 2 << 20, "packet", 65536, "keep_alive", 2)
    client = Client(g)
    client.connect(keep_alive=2)
    acked, total = [], 120
    big = "x" * 40000

    def read():
        while len(acked) < total:
            packet_id = client.puback()
            if packet_id is None:
                return
            acked.append(packet_id)

    def write():
        for i in range(1, total + 1):
            while i - len(acked) > 60:
                if not threads[0].is_alive():
                    return
                time.sleep(0.005)
            client.publish(f"f{i}-" + big, i)

    threads = [threading.Thread(target=t, daemon=True) for t in (read, write)]
    for t in threads:
        t.start()
    g.wait_metric("holdfast_gateway_stalls_total", 2)
    check(len(acked) < total and g.process.poll() is None)
    first = len(acked)
    end = time.monotonic() + DEADLINE
    while len(acked) < total and time.monotonic() < end:
        acknowledge(f"{d}/spool", BUILD)
        time.sleep(0.05)
    for t in threads:
        t.join(DEADLINE)
    check(acked == list(range(1, total + 1)), f"{len(acked)} of {total}, {first} before there was room")
    client.close()
    check(g.stop() == 0)


def test_wrong_packets(d):
    """each thing a client must not do ends its connection with the standard's reason, and nobody else's"""
    g = Gateway(d, "packet", 2000)
    bystander = Client(g, "beta")
    bystander.connect()
    own = f"hf/1/{device_id('alpha')}/"
    rows = [
        (connect_packet(), 0x82),
        (publish_packet(own + "j/s", "x", 1, properties=b"\x23\x00\x11"), 0x94),
        (publish_packet("", "x", 1, properties=b"\x23\x00\x01"), 0x82),
        (publish_packet(own + "j/+", "x", 1), 0x90),
        (publish_packet(own + "j/s", "x", 0), 0x82),
        (publish_packet("", "x", 1), 0x82),
        (publish_packet(b"\xc0\x80", "x", 1), 0x81),
        (publish_packet(own + "j/s", "x" * 2000, 1), 0x95),
        (b"\x30\xff\xff\xff\x7f", 0x95),
        (b"\x30\x80\x80\x80\x80", 0x81),
        (b"\x00\x00", 0x81),
        (b"\x60\x02\x00\x01", 0x81),
        (b"\x20\x03\x00\x00\x00", 0x82),
        (b"\x90\x04\x00\x01\x00\x00", 0x82),
        (b"\xb0\x04\x00\x01\x00\x00", 0x82),
        (b"\xd0\x00", 0x82),
        (b"\xc0\x01\x00", 0x81),
        (b"\xf0\x06\x19\x04\x15\x00\x01x", 0x82),
        (packet(0x82, b"\x00\x01\x00" + string("a/#/b") + b"\x00"), 0x8f),
        (packet(0x82, b"\x00\x01\x00" + string("$share/g/" + own + "c") + b"\x04"), 0x82),
        (b"\xe0\x07\x00\x05\x11\x00\x00\x00\x01", 0x82),
    ]
    for data, reason in rows:
        client = Client(g)
        check(client.connect()[1] == 0)
        client.send(data)
        answer = client.receive()
        check(answer is not None and answer[0] == 14 and answer[2][0] == reason, data[:20].hex(), answer, hex(reason))
        check(client.receive() is None, "still open after", data[:20].hex())
        client.close()
        old = Client(g)  # 3.1.1 is told nothing: it is closed
        check(old.connect(version=4)[1] == 0)
        if data[0] >> 4 not in (8, 15, 14, 3, 2, 9, 11) or data[:2] in (b"\x30\xff", b"\x30\x80"):
            old.send(data if data[0] >> 4 != 1 else connect_packet(version=4))
            check(old.receive() is None, "3.1.1:", data[:20].hex())
        old.close()
    bystander.publish("unmoved", 1)
    check(bystander.puback() == 1)
    check(g.stop() == 0)
    check(payloads(d) == ["unmoved"])
    check("packet-too-large 0x95" in g.refusals() and "topic-alias-invalid 0x94" in g.refusals())


def test_before_connect(d):
    """what comes before a good CONNECT is closed without a DISCONNECT; a bad CONNECT gets its CONNACK"""
    g = Gateway(d, "connect_ms", 600)
    for data in (b"\xc0\x00", b"\xe0\x00", publish_packet("a", "x", 1), b"\x00", b"\x15\x00"):
        client = Client(g)
        client.send(data)
        check(client.receive() is None, data.hex())
        client.close()
    for data, want in (
            (connect_packet(version=3), (2, 0, b"\x00\x01")),
            (connect_packet(version=5, properties=b"\x15\x00\x01x"), 0x8c),
            (connect_packet(version=5, flags=0x06, rest=b"\x00" + string("w") + string("")), 0x87),
            (connect_packet(version=5, client_id="x" * 129), 0x85),
            (connect_packet(version=5, properties=b"\x21\x00\x00"), 0x82),
            (connect_packet(version=4, flags=0x00), (2, 0, b"\x00\x02"))):
        client = Client(g)
        client.send(data)
        answer = client.receive()
        good = answer == want if isinstance(want, tuple) else answer is not None and answer[2][1] == want
        check(good, data.hex(), answer)
        check(client.receive() is None)
        client.close()
    slow = Client(g)
    slow.send(connect_packet()[:7])
    check(slow.receive() is None, "half a CONNECT is waited for without end")
    check(g.stop() == 0)
    check([r["kind"] for r in spool(d)] == ["started"])


def test_session_limits(d):
    """takeover, quota of a device, inflight limit, keep alive: each by its own reason"""
    g = Gateway(d, "per_device", 2, "inflight", 4, "keep_alive", 1,
                env={"LD_PRELOAD": SHIM, "HOLDFAST_FAIL": "fdatasync@spool:1:30ms:forever",
                     "ASAN_OPTIONS": "verify_asan_link_order=0"})
    first = Client(g)
    first.connect(client_id="same", keep_alive=1)
    second = Client(g)
    second.connect(client_id="same", keep_alive=1)
    answer = first.receive()
    check(answer is not None and answer[2][0] == 0x8e, answer)
    third = Client(g)
    third.connect(client_id="other", keep_alive=1)
    fourth = Client(g)
    check(fourth.connect(client_id="one more")[1] == 0x97)
    other = Client(g, "beta")
    check(other.connect(client_id="same")[1] == 0)
    other.send(b"".join(publish_packet(other.own("j/s"), "x", i) for i in range(1, 30)))
    answers = []
    while (answer := other.receive()) is not None:
        answers.append(answer)
    check(answers[-1][0] == 14 and answers[-1][2][0] == 0x93, answers)
    old = Client(g, "beta")
    old.connect(version=4)
    old.send(b"".join(publish_packet(old.own("j/s"), "x", i, version=4) for i in range(1, 30)))
    check([old.puback() for _ in range(29)] == list(range(1, 30)), "3.1.1 is slowed, not cut")
    answer = third.receive()
    check(answer is not None and answer[2][0] == 0x8d, answer)
    check(g.stop() == 0)
    kinds = [(r["kind"], r["device"] == device_id("alpha")) for r in spool(d) if r["kind"] != "published"]
    check(kinds.count(("linked", True)) == 3 and kinds.count(("unlinked", True)) == 1, kinds)


def test_readers(d):
    """a client that never reads is cut and counted; one that leaves before its PUBACK is not held against it"""
    g = Gateway(d)
    for _ in range(20):
        hasty = Client(g)
        hasty.connect()
        hasty.send(b"".join(publish_packet(hasty.own("j/s"), "x", i) for i in range(1, 40)))
        hasty.close()
    g.wait_metric('holdfast_gateway_session_ends_total{cause="lost"}', 20)
    many = Client(g)  # reads, late but well
    many.connect()
    many.send(b"\xc0\x00" * 30000)
    check(all(many.receive() == (13, 0, b"") for _ in range(30000)), "cut although it reads")
    deaf = Client(g)
    deaf.connect()
    try:
        for _ in range(400):
            deaf.send(b"\xc0\x00" * 32768)
        cut = False
    except (ConnectionError, ssl.SSLError, TimeoutError):
        cut = True
    check(cut, "answers pile up without end")
    g.wait_metric('holdfast_gateway_refusals_total{reason="quota-exceeded"}', 1)
    check(g.stop() == 0)
    check(g.refusals().count("\n") == 1, g.refusals())


def test_address_rate(d):
    """an address that connects too often is reset before TLS, counted, told of once a second, and comes in again later"""
    g = Gateway(d, "address_connects", 2, "address_burst", 6)
    first = Client(g)
    check(first.connect()[1] == 0)
    got = []
    for _ in range(40):
        try:
            got.append(Client(g))
        except (ConnectionError, ssl.SSLError):
            pass
    check(5 <= len(got) <= 12, f"{len(got)} of 40 got through")
    g.wait_metric('holdfast_gateway_refusals_total{reason="address-rate"}', 28)
    first.publish("still here", 1)
    check(first.puback() == 1, "who is connected does not notice")
    end = time.monotonic() + DEADLINE
    while True:
        try:
            again = Client(g)
            break
        except (ConnectionError, ssl.SSLError):
            check(time.monotonic() < end, "never let in again")
    check(again.connect()[1] == 0)
    check(g.stop() == 0)
    lines = [line for line in g.refusals().splitlines() if " address-rate " in line]
    check(1 <= len(lines) <= 25 and "again in" in lines[0], lines[:2])


def test_device_rate(d):
    """a device that sends too fast waits, loses nothing and is not cut; what could never be waited for is refused"""
    g = Gateway(d, "device_packets", 20, "device_bytes", 2000, "keep_alive", 1, "inflight", 64)
    fast = Client(g)
    fast.connect(keep_alive=1)
    count = 120  # a burst of 80, then 20 a second: two seconds in which its keep alive cannot be heard
    fast.send(b"".join(publish_packet(fast.own("j/s"), f"n{i}", i) for i in range(1, 65)))
    for i in range(1, count + 1):
        check(fast.puback() == i, "lost or cut at", i)
        if i + 64 <= count:
            fast.publish(f"n{i + 64}", i + 64)
    g.wait_metric("holdfast_gateway_throttled_total", 1)
    other = Client(g, "beta")
    other.connect(keep_alive=1)
    other.send(publish_packet(other.own("j/s"), "y" * 14000, 1) + publish_packet(other.own("j/s"), "x", 2))
    check([other.puback(), other.puback()] == [1, 2], "cut while it was not read")  # three seconds later
    other.send(publish_packet(other.own("j/s"), "x" * 60000, 3))
    answer = other.receive()
    check(answer is not None and answer[0] == 14 and answer[2][0] == 0x96, answer)
    check(g.stop() == 0)
    taken = [p for p in payloads(d) if p[0] == "n"]
    check(taken == [f"n{i}" for i in range(1, count + 1)], len(taken))


def test_device_connections(d):
    """a device has so many connections, before their CONNECT too, and so many CONNECTs"""
    g = Gateway(d, "per_device", 2, "device_connects", 1)
    idle = [Client(g) for _ in range(4)]
    try:
        one_more = Client(g)
        check(one_more.receive() is None)
    except (ConnectionError, ssl.SSLError):
        pass
    g.wait_metric('holdfast_gateway_refusals_total{reason="device-connections"}', 1)
    check(Client(g, "beta").connect()[1] == 0, "another device is not its brother's keeper")
    for c in idle:
        c.close()
    codes = []
    for _ in range(130):
        c = Client(g, "beta")
        codes.append(c.connect(client_id="loop")[1])
        c.close()
    check(0x9f in codes and codes.count(0) <= 125, codes)
    g.wait_metric('holdfast_gateway_refusals_total{reason="connection-rate-exceeded"}', 1)
    check(g.stop() == 0)


def test_resumption(d):
    """a client comes back without its certificate, is the same device under another exporter, and not after a restart or another issuer"""
    g = Gateway(d)
    topic = f"hf/1/{device_id('alpha')}/j/x"
    first = Client(g)
    check(not first.socket.session_reused and first.connect(client_id="a")[1] == 0)
    context, session = first.socket.context, first.socket.session

    def again():
        nonlocal session
        client = Client(g, session=(context, session))
        check(client.connect(client_id="a")[1] == 0)
        client.send(publish_packet(topic, "from " + ("session" if client.socket.session_reused else "certificate"), 1))
        check(client.puback() == 1)
        session = client.socket.session
        reused = client.socket.session_reused
        client.close()
        return reused

    first.close()
    check(again() and again() and again(), "not resumed")
    g.wait_metric('holdfast_gateway_resumptions_total{outcome="resumed"}', 3)
    check(g.stop() == 0)
    g = Gateway(d)
    check(not again(), "a ticket outlived its process")
    check(again())
    with open(f"{d}/issuer.pem", "a") as f:
        f.write(open(f"{d}/stranger.pem").read())
    g.wait_metric('holdfast_gateway_tls_reloads_total{outcome="used"}', 1)
    check(not again(), "a ticket outlived the issuers in force")
    g.wait_metric('holdfast_gateway_resumptions_total{outcome="other-issuers"}', 1)
    check(again())
    check(g.stop() == 0)
    links = [r for r in spool(d) if r["kind"] == "linked"]
    check(len({r["digest"] for r in links}) == len(links) and len({r["payload"] for r in links}) == 1, "exporters or certificates")


def test_stop(d):
    """SIGTERM: what was taken is acknowledged, every client hears 0x8b, the status is 0"""
    g = Gateway(d)
    client, old = Client(g), Client(g, "beta")
    client.connect()
    old.connect(version=4)
    for i in range(1, 41):
        client.publish(f"t{i}", i)
    first = client.puback()
    g.process.send_signal(signal.SIGTERM)
    acked = [first]
    while True:
        answer = client.receive()
        if answer is None or answer[0] == 14:
            break
        acked.append(struct.unpack(">H", answer[2][:2])[0])
    check(answer is not None and answer[2][0] == 0x8b, answer)
    check(old.receive() is None)
    check(g.stop() == 0)
    kept = payloads(d)
    check(set(f"t{i}" for i in acked) == set(kept), len(acked), len(kept))
    check([r["payload"] for r in spool(d) if r["kind"] == "unlinked"] == ["stopping", "stopping"])


def test_bad_configuration(d):
    """a wrong certificate, address or limit starts nothing and says which"""
    for broken, word in (("gateway.key", "alpha.key"), ("gateway.pem", "gateway.ext"), ("issuer.pem", "gateway.ext")):
        shutil.copy(f"{d}/{broken}", f"{d}/kept")
        shutil.copy(f"{d}/{word}", f"{d}/{broken}")
        g = Gateway(d)
        check(g.port is None and g.process.wait(DEADLINE) == 9, broken)
        shutil.copy(f"{d}/kept", f"{d}/{broken}")
        g.stop()
    g = Gateway(d, "packet", 1 << 20)
    check(g.process.wait(DEADLINE) == 9 and "packet_max" in g.words())
    g.stop()
    a = Gateway(d)
    b = Gateway(d)
    check(b.process.wait(DEADLINE) == 74 and "in use by another process" in b.words(), "two gateways on one spool")
    b.stop()
    check(a.stop() == 0)


def main(tests=None):
    wanted = sys.argv[1:]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    base = tempfile.mkdtemp(prefix="holdfast-gateway-")
    make_pki(base)
    for name, test in [(n, t) for n, t in (tests or globals()).items() if n.startswith("test_")]:
        if wanted and not any(w in name for w in wanted):
            continue
        d = tempfile.mkdtemp(prefix=name + "-", dir=base)
        for f in os.listdir(base):
            if os.path.isfile(f"{base}/{f}"):
                shutil.copy(f"{base}/{f}", d)
        try:
            test(d)
            counts["passed"] += 1
        except Skip as why:
            print(f"skipped: {test.__doc__}: {why}")
            counts["skipped"] += 1
        except Exception as why:
            print(f"FAILED {name}: {test.__doc__}\n  {type(why).__name__}: {why}")
            import traceback
            traceback.print_exc(limit=-2)
            try:
                print("  stderr:", open(f"{d}/gateway.err").read()[-3000:])
            except OSError:
                pass
            counts["failed"] += 1
    shutil.rmtree(base, ignore_errors=True)
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % counts)
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
