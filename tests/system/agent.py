#!/usr/bin/python3
"""The agent as a real process, against a real gateway and an enrolment service written here. What it published is
read from the gateway's spool and verified by hashlib, cbor2 and the openssl command line alone: signatures, key
agreement, every MAC, every number. Usage: agent.py [PART OF A NAME]"""
import base64, hashlib, hmac, http.server, json, os, re, shutil, signal, ssl, subprocess, sys, tempfile, threading, time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from spool import KINDS, STARTED, acknowledge, records  # noqa: E402
from gateway import BUILD, DEADLINE, Gateway, Skip, check, make_ca, make_leaf, openssl  # noqa: E402
from operate import ask  # noqa: E402

try:
    import cbor2
except ImportError:
    if sys.executable != "/usr/bin/python3" and os.path.exists("/usr/bin/python3"):
        os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])  # where Debian's packages are
    print("skipped: python3-cbor2 is not there")
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(0)

AGENT = f"{BUILD}/bin/holdfast-agent"
SHARED = os.environ.get("HOLDFAST_SHARED", "")
P256_SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")


def out_of(*command, data=b""):
    return subprocess.run(command, input=data, check=True, capture_output=True).stdout


def wait_for(what, condition):
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)  # between looks at what is waited for
    raise AssertionError("never came: " + what)


def encode(value):
    return cbor2.dumps(value, canonical=True)


# ---- a site: certificates, enrolment service, trust list ----

class Site:
    def __init__(self, d):
        self.d = d
        make_ca(d, "root")
        make_ca(d, "issuer", "root")
        make_ca(d, "maker")
        names = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth"
        for server in ("gateway", "devices"):
            make_leaf(d, server, "root", names)
        make_leaf(d, "idevid", "maker", "keyUsage=critical,digitalSignature")
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "trust.key", cwd=d)
        openssl("req", "-new", "-key", "trust.key", "-subj", "/CN=holdfast trust", "-out", "trust.csr", cwd=d)
        with open(f"{d}/trust.ext", "w") as f:
            f.write("keyUsage=critical,digitalSignature\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
        openssl("x509", "-req", "-in", "trust.csr", "-CA", "root.pem", "-CAkey", "root.key", "-days", "30", "-out",
                "trust.pem", "-extfile", "trust.ext", cwd=d)
        self.new_ingest_key()
        self.number = 1
        self.start = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() - 3600))
        self.end = "20400101000000Z"
        self.issuer = "issuer"
        self.renewals = None  # start and issuer of renewed certificates, where they are to be others
        self.drop_answers = 0
        self.fail_answers = 0
        self.requests = []
        spki = out_of("openssl", "x509", "-in", f"{d}/idevid.pem", "-pubkey", "-noout")
        spki = out_of("openssl", "pkey", "-pubin", "-outform", "DER", data=spki)
        self.id = hashlib.sha256(b"holdfast device 1\0" + spki).digest()[:16]
        self.id_text = "hf1:" + self.id.hex()

    def new_ingest_key(self):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ingest.key", cwd=self.d)
        self.ingest_point = out_of("openssl", "ec", "-in", f"{self.d}/ingest.key", "-pubout", "-outform", "DER")[-65:]

    def der(self, name):
        return out_of("openssl", "x509", "-in", f"{self.d}/{name}.pem", "-outform", "DER")

    def trust_list(self):
        chain = encode(self.der("trust"))
        protected = b"\xa2\x01\x26\x18\x21" + chain
        payload = encode({1: self.number, 2: [self.ingest_point], 3: [self.der("issuer")]})
        to_sign = encode(["Signature1", protected, b"holdfast trust 1", payload])
        der = out_of("openssl", "dgst", "-sha256", "-sign", f"{self.d}/trust.key", data=to_sign)
        r_len = der[3]
        parts = (der[4:4 + r_len], der[6 + r_len:])
        signature = b"".join(int.from_bytes(p, "big").to_bytes(32, "big") for p in parts)
        return encode(cbor2.CBORTag(18, [protected, {}, payload, signature]))

    def issue(self, csr, is_renewal):
        start, issuer = self.renewals if is_renewal and self.renewals else (self.start, self.issuer)
        with open(f"{self.d}/ask.ext", "w") as f:
            f.write(f"subjectAltName=URI:spiffe://holdfast.local/device/{self.id_text}\nextendedKeyUsage=clientAuth\n"
                    "keyUsage=critical,digitalSignature\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
        with open(f"{self.d}/ask.csr", "wb") as f:
            f.write(csr)
        openssl("req", "-in", "ask.csr", "-inform", "DER", "-verify", "-noout", cwd=self.d)
        with open(f"{self.d}/ca.cnf", "w") as f:
            f.write("[ca]\ndefault_ca=c\n[c]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\n"
                    "default_md=sha256\npolicy=p\nunique_subject=no\n[p]\nserialNumber=optional\n")
        open(f"{self.d}/index.txt", "a").close()
        openssl("req", "-in", "ask.csr", "-inform", "DER", "-out", "ask.pem", cwd=self.d)
        openssl("ca", "-config", "ca.cnf", "-in", "ask.pem", "-cert", f"{issuer}.pem", "-keyfile", f"{issuer}.key", "-batch",
                "-startdate", start, "-enddate", self.end, "-extfile", "ask.ext", "-notext", "-out",
                "issued.pem", cwd=self.d)
        return base64.b64encode(out_of("openssl", "crl2pkcs7", "-nocrl", "-certfile", f"{self.d}/issued.pem",
                                       "-certfile", f"{self.d}/issuer.pem", "-outform", "DER"))


class Service:
    """EST and the trust list over TLS 1.3, with the device's certificate."""

    def __init__(self, site):
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, status, kind, body):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                service.seen.append("GET " + self.path)
                self.answer(200, "application/cose", service.site.trust_list())

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.seen.append("POST " + self.path)
                issued = service.site.issue(base64.b64decode(body), self.path.endswith("/simplereenroll"))
                service.site.requests.append(out_of("openssl", "req", "-inform", "DER", "-pubkey", "-noout",
                                                    data=base64.b64decode(body)))
                if service.site.drop_answers > 0:
                    service.site.drop_answers -= 1
                    self.close_connection = True
                    self.connection.close()
                    return
                if service.site.fail_answers > 0:
                    service.site.fail_answers -= 1
                    self.answer(500, "text/plain", b"the registry failed\n")
                    return
                self.answer(200, "application/pkcs7-mime; smime-type=certs-only", issued)

            def log_message(self, *args):
                pass

        self.site, self.seen = site, []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0
        context.load_cert_chain(f"{site.d}/devices.pem", f"{site.d}/devices.key")
        context.verify_mode = ssl.CERT_REQUIRED
        for anchor in ("maker", "issuer", "root"):
            context.load_verify_locations(f"{site.d}/{anchor}.pem")
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *args: None
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Agent:
    running = []

    def __init__(self, site, service, gateways, *options):
        gateways = gateways if isinstance(gateways, list) else [gateways]
        self.log_path = f"{site.d}/agent.err"
        self.log = open(self.log_path, "a")
        self.process = subprocess.Popen(
            [AGENT, "--state", f"{site.d}/state", "--idevid", f"{site.d}/idevid.pem", "--idevid-key",
             f"{site.d}/idevid.key", "--root", f"{site.d}/root.pem", "--devices-url",
             f"https://localhost:{service.port}", "--gateway", ",".join(f"localhost:{g.port}" for g in gateways), *options],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self.log)
        Agent.running.append(self.process)

    def words(self):
        with open(self.log_path) as f:
            return f.read()

    def end(self):
        self.process.stdin.close()
        code = self.process.wait(DEADLINE)
        self.log.close()
        return code

    def stop(self):
        self.process.terminate()
        return self.end()

    def kill(self):
        self.process.kill()
        self.process.wait(DEADLINE)
        self.process.stdin.close()
        self.log.close()


# ---- what the gateway holds, verified ----

def spool_records(d):
    """Of devices: that the gateway itself has started is no word of theirs."""
    for r in records(f"{d}/spool", BUILD):
        if r.kind == STARTED:
            continue
        yield KINDS[r.kind], r.device_text(), r.topic, r.payload, r.rest.hex()


def verify_signature(site, hello, topic):
    protected, _, payload, signature = hello
    leaf = cbor2.loads(protected)[33]
    key = out_of("openssl", "x509", "-inform", "DER", "-pubkey", "-noout", data=leaf)
    r, s = (int.from_bytes(signature[i:i + 32], "big") for i in (0, 32))

    def integer(n):
        raw = n.to_bytes(33, "big").lstrip(b"\0") or b"\0"
        raw = b"\0" + raw if raw[0] & 0x80 else raw
        return b"\x02" + bytes([len(raw)]) + raw
    body = integer(r) + integer(s)
    files = {"v.key": key, "v.sig": b"\x30" + bytes([len(body)]) + body}
    for name, content in files.items():
        with open(f"{site.d}/{name}", "wb") as f:
            f.write(content)
    out_of("openssl", "dgst", "-sha256", "-verify", f"{site.d}/v.key", "-signature", f"{site.d}/v.sig",
           data=encode(["Signature1", protected, topic, payload]))


def mac_key(site, claims):
    with open(f"{site.d}/peer.der", "wb") as f:
        f.write(P256_SPKI + claims[3])
    openssl("pkey", "-pubin", "-inform", "DER", "-in", "peer.der", "-out", "peer.pem", cwd=site.d)
    shared = out_of("openssl", "pkeyutl", "-derive", "-inkey", f"{site.d}/ingest.key", "-peerkey",
                    f"{site.d}/peer.pem")
    check(claims[6] == hashlib.sha256(site.ingest_point).digest()[:8], "another ingest key")
    prk = hmac.new(site.id + claims[1].to_bytes(4, "big"), shared, hashlib.sha256).digest()
    return hmac.new(prk, b"holdfast mac 1\x01", hashlib.sha256).digest()


class Received:
    """Everything in the spools, as ingest would take it: by (device, seq) once, each MAC verified."""

    def __init__(self, site, *more):
        self.packs, self.boots, self.repeated, self.streams = {}, {}, 0, set()
        keys, exporters = {}, set()
        waiting = []
        for kind, device, topic, payload, exporter in [r for d in (site.d, *more) for r in spool_records(d)]:
            if kind == "started":
                continue
            check(device == site.id_text, "another device")
            if kind == "linked":
                exporters.add(exporter)
            if kind != "published":
                continue
            message = cbor2.loads(payload)
            if message.tag == 18:
                verify_signature(site, message.value, topic)
                claims = cbor2.loads(message.value[2])
                check(claims[4].hex() in exporters, "a hello bound to no connection")
                known = self.boots.setdefault(claims[1], claims)
                check(known[2] == claims[2] and known[3] == claims[3], "one boot with two keys or beginnings")
                keys[claims[1]] = mac_key(site, claims)
            else:
                waiting.append((topic, message))
        for topic, message in waiting:
            protected, _, pack, tag = message.value
            header = cbor2.loads(protected)
            boot, seq = header[-70001], header[-70002]
            check(header[1] == 5 and boot in keys, "a message of an unknown boot", boot)
            want = hmac.new(keys[boot], encode(["MAC0", protected, topic, pack]), hashlib.sha256).digest()
            check(hmac.compare_digest(want, tag), "a MAC that does not verify")
            check(seq >= self.boots[boot][2], "a seq below its boot's first")
            if seq in self.packs:
                check(self.packs[seq] == (boot, pack), "a seq used twice")
                self.repeated += 1
            self.packs[seq] = (boot, pack)
            self.streams.add(topic.decode().rsplit("/", 1)[1])
        firsts = sorted((c[1], c[2]) for c in self.boots.values())
        check(firsts == sorted(firsts, key=lambda x: x[1]), "a later boot with an earlier beginning")

    def rows(self):
        """(time, {name: value}) of each message, by seq."""
        for seq in sorted(self.packs):
            records = cbor2.loads(self.packs[seq][1])
            yield records[0].get(-3), {r[0]: r.get(2, r.get(3)) for r in records}


def write_csv(d, count):
    with open(f"{d}/run.csv", "w") as f:
        f.write("datetime;Current;Volume Flow RateRMS;note\n")
        for i in range(count):
            f.write(f"2020-03-09 10:{i // 60 % 60:02}:{i % 60:02};{i / 7!r};{i * 1000};n{i}\n")
    return f"{d}/run.csv"


def check_rows(received, count):
    rows = list(received.rows())
    check(len(rows) == count, len(rows), "rows arrived, not", count)
    for i, (at, values) in enumerate(rows):
        check(at == 1583748000 + i % 3600, "row", i, "at", at)
        check(values == {"Current": i / 7, "Volume_Flow_RateRMS": i * 1000, "note": f"n{i}"}, "row", i, values)


# ---- tests ----

def test_a_recording_arrives_complete_in_order_and_verifiable(site, service):
    """From a bare folder: enrolled, hello, every row of the file once, each MAC good."""
    gateway = Gateway(site.d)
    path = write_csv(site.d, 500)
    agent = Agent(site, service, gateway, "--source", f"csv:{path},rate=0", "--stream", "pump", "--once")
    check(agent.end() == 0, agent.words())
    gateway.stop()
    received = Received(site)
    check_rows(received, 500)
    check(received.streams == {"pump"} and received.repeated == 0, "repeated", received.repeated)
    check(service.seen[0] == "POST /.well-known/est/simpleenroll", service.seen)
    check(os.stat(f"{site.d}/state/identity.pem").st_mode & 0o777 == 0o600, "the key is readable by others")


def test_kills_lose_no_row_and_use_no_number_twice(site, service):
    """Agent and gateway killed in turn, in mid-file: rows in = rows out, in order, no seq with two contents."""
    count = 3000
    path = write_csv(site.d, count)
    gateway = Gateway(site.d)
    kills = 0
    for turn in range(12):
        agent = Agent(site, service, gateway, "--source", f"csv:{path},rate=800", "--once")
        wait_for("a live session", lambda: agent.words().count("is live") > turn or agent.process.poll() is not None)
        time.sleep(0.03 * (turn % 5))  # somewhere in its work: where does not matter
        if turn % 3 == 2:
            gateway.kill()
            time.sleep(0.15)  # the agent goes on measuring without a gateway
            gateway = Gateway(site.d)
        if agent.process.poll() is None:
            kills += 1
        agent.kill()
    agent = Agent(site, service, gateway, "--source", f"csv:{path},rate=0", "--once")
    check(agent.end() == 0, agent.words())
    gateway.stop()
    check(kills >= 8, "only", kills, "kills")
    received = Received(site)
    check_rows(received, count)
    check(len(received.boots) >= 5, "boots", sorted(received.boots))


def second_gateway(site):
    folder = f"{site.d}/second"
    os.makedirs(folder, exist_ok=True)
    for name in ("gateway.pem", "gateway.key", "issuer.pem"):
        shutil.copy(f"{site.d}/{name}", folder)
    return Gateway(folder)


def test_another_gateway_takes_over_without_loss_or_doubles(site, service):
    """A gateway killed in mid-file, then one drained: the agent goes to the other, every row arrives once by number."""
    count = 3000
    path = write_csv(site.d, count)
    first, second = Gateway(site.d), second_gateway(site)
    agent = Agent(site, service, [first, second], "--source", f"csv:{path},rate=400", "--once")
    wait_for("messages at the first", lambda: stored(site.d) > 100)
    check(stored(second.d) == 0, "the second has some, too")
    first.kill()
    wait_for("messages at the second", lambda: stored(second.d) > 100)
    first = Gateway(site.d)
    ask(second.d, "/drain", "POST")
    wait_for("its end", lambda: ask(second.d, "/state")["connections"] == 0)
    # The first has another port now, which the agent cannot know: opened again, the second takes it back.
    taken = stored(second.d)
    check(agent.process.poll() is None, "the agent ended while nobody took its rows")
    ask(second.d, "/undrain", "POST")
    wait_for("more at the second", lambda: stored(second.d) > taken or agent.process.poll() is not None)
    check(agent.end() == 0, agent.words())
    first.stop()
    second.stop()
    received = Received(site, second.d)
    check_rows(received, count)
    check(len(received.boots) == 1, "boots", sorted(received.boots))


def test_a_drained_gateway_hands_its_device_to_the_other(site, service):
    """A drain in mid-file: the agent is live at the other within seconds, and the drained one is not asked again."""
    count = 2000
    path = write_csv(site.d, count)
    first, second = Gateway(site.d), second_gateway(site)
    agent = Agent(site, service, [first, second], "--source", f"csv:{path},rate=400", "--once")
    wait_for("messages at the first", lambda: stored(site.d) > 100)
    ask(site.d, "/drain", "POST")
    wait_for("messages at the second", lambda: stored(second.d) > 100)
    check(ask(site.d, "/state")["connections"] == 0, "somebody is left")
    check(agent.end() == 0, agent.words())
    refused = [line for line in refusals(site.d) if "another-server" in line]
    check(refused == [], "the drained gateway was asked again:", refused)
    acknowledge(f"{site.d}/spool", BUILD)
    wait_for("drained", lambda: ask(site.d, "/state")["drain"] == "drained")
    first.stop()
    second.stop()
    received = Received(site, second.d)
    check_rows(received, count)
    check(received.repeated == 0, "a drain finishes what is under way, but", received.repeated, "came twice")


def metrics(d):
    try:
        with open(f"{d}/gateway.metrics", "rb") as f:
            return f.read()
    except FileNotFoundError:
        return b""


def stored(d):
    found = re.search(rb'holdfast_gateway_messages_total\{qos="1"\} (\d+)', metrics(d))
    return int(found.group(1)) if found else 0


def refusals(d):
    try:
        with open(f"{d}/gateway.refusals") as f:
            return f.read().splitlines()
    except FileNotFoundError:
        return []


def test_a_lost_answer_is_asked_for_again_with_the_same_key(site, service):
    """The certificate was issued, the answer never came: the next request carries the same public key."""
    site.drop_answers = 2
    gateway = Gateway(site.d)
    agent = Agent(site, service, gateway, "--source", "host")
    wait_for("a live session", lambda: "is live" in agent.words())
    check(agent.stop() == 0, agent.words())
    gateway.stop()
    check(len(site.requests) == 3 and len(set(site.requests)) == 1, len(site.requests), "requests")


def test_services_that_failed_are_asked_again_soon_with_the_same_key(site, service):
    """A 500 is no verdict: the certificate may be there, and nobody has to change anything."""
    site.fail_answers = 2
    gateway = Gateway(site.d)
    agent = Agent(site, service, gateway, "--source", "host")
    wait_for("a live session", lambda: "is live" in agent.words())
    check(agent.stop() == 0, agent.words())
    gateway.stop()
    check(len(site.requests) == 3 and len(set(site.requests)) == 1, len(site.requests), "requests")


def test_a_certificate_past_half_its_life_is_renewed_with_a_new_key(site, service):
    """Renewal asks simplereenroll with the present certificate; the session goes on with the new one."""
    gateway = Gateway(site.d)
    fresh, site.start = site.start, "20000101000000Z"
    agent = Agent(site, service, gateway, "--source", "host")
    wait_for("an enrolment", lambda: "has a certificate" in agent.words())
    site.start = fresh
    wait_for("a renewal", lambda: "POST /.well-known/est/simplereenroll" in service.seen)
    wait_for("a live session", lambda: "is live" in agent.words())
    check(agent.stop() == 0, agent.words())
    gateway.stop()
    check(len(set(site.requests)) == len(site.requests) >= 2, "the same key was certified again")
    check("has used its new certificate" in agent.words(), agent.words())
    left = sorted(f for f in os.listdir(f"{site.d}/state") if f.endswith((".pem", ".key")))
    check(left == ["identity.pem"], left)
    check(key_of(site, "identity.pem") == site.requests[-1], "the identity is another key than the last one certified")


def key_of(site, name):
    """The public key of a file of the agent's folder: of its private key and of its certificate, which must agree."""
    path = f"{site.d}/state/{name}"
    public = out_of("openssl", "pkey", "-in", path, "-pubout")
    check(out_of("openssl", "x509", "-in", path, "-pubkey", "-noout") == public, "certificate and key do not belong together")
    return public


def test_a_renewed_certificate_that_is_refused_leaves_the_old_key_in_use(site, service):
    """Both generations are kept until a session with the new one was live: over a refusal, a kill and a restart."""
    make_ca(site.d, "other")
    site.renewals = site.start, "other"  # what the gateway does not know
    site.start = "20000101000000Z"  # past half of its life: renewed at once
    gateway = Gateway(site.d)
    site.drop_answers = 0
    agent = Agent(site, service, gateway, "--source", "host,period=100ms")
    wait_for("an enrolment", lambda: "has a certificate" in agent.words())
    first = wait_for("an identity", lambda: os.path.exists(f"{site.d}/state/identity.pem") and key_of(site, "identity.pem"))
    wait_for("a renewal", lambda: os.path.exists(f"{site.d}/state/renewed.pem"))
    wait_for("the refusal", lambda: "lost the gateway" in agent.words())
    lives = agent.words().count("is live")
    wait_for("a session with the old key", lambda: agent.words().count("is live") > lives)
    check(key_of(site, "identity.pem") == first and key_of(site, "renewed.pem") != first, "the old key was given up")
    agent.kill()
    renewed = key_of(site, "renewed.pem")
    lives = agent.words().count("is live")
    agent = Agent(site, service, gateway, "--source", "host,period=100ms")
    wait_for("a session after the kill", lambda: agent.words().count("is live") > lives)
    check(key_of(site, "identity.pem") == first and key_of(site, "renewed.pem") == renewed, "a generation was lost")
    check(agent.stop() == 0, agent.words())
    gateway.stop()
    with open(f"{site.d}/issuer.pem", "a") as f, open(f"{site.d}/other.pem") as other:
        f.write(other.read())  # the gateway learns of the other issuer
    gateway = Gateway(site.d)
    agent = Agent(site, service, gateway, "--source", "host,period=100ms")
    wait_for("the switch", lambda: "has used its new certificate" in agent.words())
    check(key_of(site, "identity.pem") == renewed and not os.path.exists(f"{site.d}/state/renewed.pem"), "no switch")
    check(agent.stop() == 0, agent.words())
    gateway.stop()


def test_a_device_whose_certificate_has_expired_comes_back_with_its_idevid(site, service):
    """Off for longer than its certificate lived: it enrols anew, as the hardware it is, and goes on."""
    gateway = Gateway(site.d)
    site.end, end = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + 4)), site.end
    agent = Agent(site, service, gateway, "--source", "host,period=100ms")
    first = wait_for("an identity", lambda: os.path.exists(f"{site.d}/state/identity.pem") and key_of(site, "identity.pem"))
    agent.kill()
    asked = service.seen.count("POST /.well-known/est/simpleenroll")
    wait_for("the certificate's end", lambda: time.strftime("%Y%m%d%H%M%SZ", time.gmtime()) > site.end)
    site.end = end
    lives = agent.words().count("is live")
    agent = Agent(site, service, gateway, "--source", "host,period=100ms")
    wait_for("a session", lambda: agent.words().count("is live") > lives)
    check(service.seen.count("POST /.well-known/est/simpleenroll") > asked, service.seen)
    check(key_of(site, "identity.pem") != first, "the expired key is in use")
    check(agent.stop() == 0, agent.words())
    gateway.stop()


def test_a_clean_stop_leaves_no_gap_between_boots(site, service):
    """What was reserved and not used is given back."""
    gateway = Gateway(site.d)
    for rows in (20, 40):
        path = write_csv(site.d, rows)
        agent = Agent(site, service, gateway, "--source", f"csv:{path},rate=0", "--once")
        check(agent.end() == 0, agent.words())
    gateway.stop()
    received = Received(site)
    check(sorted(received.packs) == list(range(1, 41)), sorted(received.packs))
    check(sorted(received.boots) == [1, 2], received.boots.keys())


def test_lines_on_stdin_arrive_and_bad_ones_are_left_out(site, service):
    """Flat objects and SenML packs, one a line."""
    gateway = Gateway(site.d)
    agent = Agent(site, service, gateway, "--source", "stdin", "--once")
    agent.process.stdin.write(b'{"time":"2026-11-23T14:00:00Z","temp":21.5,"on":true}\nnot json\n\n'
                              b'[{"n":"a","v":1,"bt":1770000000}]\n{"last":3}')
    check(agent.end() == 0, agent.words())
    gateway.stop()
    rows = [values for _, values in Received(site).rows()]
    check([sorted(r) for r in rows] == [["on", "temp"], ["a"], ["last"]], rows)


def test_the_hosts_own_sensors_are_sent_each_second(site, service):
    """CPU, load, memory and disk of this machine."""
    gateway = Gateway(site.d)
    agent = Agent(site, service, gateway, "--source", "host,period=100ms")
    wait_for("a live session", lambda: "is live" in agent.words())
    wanted = {"cpu", "load_1m", "memory_used", "disk_free"}  # the load of the processor is what changed since the sample before
    wait_for("every kind of sample", lambda: wanted <= set().union(*(values for _, values in Received(site).rows())))
    check(agent.stop() == 0, agent.words())
    gateway.stop()


def test_a_new_ingest_key_begins_a_new_boot(site, service):
    """A later trust list with another key: the next boot seals for it."""
    gateway = Gateway(site.d)
    path = write_csv(site.d, 10)
    agent = Agent(site, service, gateway, "--source", f"csv:{path},rate=0", "--once")
    check(agent.end() == 0, agent.words())
    first = Received(site)
    check_rows(first, 10)
    old = site.ingest_point
    site.new_ingest_key()
    site.number = 2
    agent = Agent(site, service, gateway, "--source", "host,period=100ms")
    key_id = hashlib.sha256(site.ingest_point).digest()[:8]

    def has_new_hello():
        for kind, _, _, payload, _ in spool_records(site.d):
            if kind == "published":
                message = cbor2.loads(payload)
                if message.tag == 18 and cbor2.loads(message.value[2])[6] == key_id:
                    return True
        return False
    wait_for("a hello for the new key", has_new_hello)
    check(agent.stop() == 0 and old != site.ingest_point, agent.words())
    gateway.stop()


def test_two_agents_never_share_a_folder(site, service):
    """The second one ends at once and says why."""
    gateway = Gateway(site.d)
    agent = Agent(site, service, gateway, "--source", "host")
    wait_for("a live session", lambda: "is live" in agent.words())
    second = Agent(site, service, gateway, "--source", "host")
    check(second.end() == 9 and "in use" in second.words(), second.words())
    check(agent.stop() == 0, agent.words())
    gateway.stop()


def test_a_spoilt_sequence_file_stops_the_agent(site, service):
    """Both copies spoilt: which numbers were used is not known, so none may be used."""
    gateway = Gateway(site.d)
    path = write_csv(site.d, 5)
    agent = Agent(site, service, gateway, "--source", f"csv:{path},rate=0", "--once")
    check(agent.end() == 0, agent.words())
    with open(f"{site.d}/state/sequence", "r+b") as f:
        for at in (20, 4096 + 20):
            f.seek(at)
            f.write(b"\xff\xff")
    agent = Agent(site, service, gateway, "--source", "host")
    check(agent.end() == 74 and "damaged" in agent.words(), agent.words())
    gateway.stop()


def test_a_trust_list_of_a_stranger_is_refused(site, service):
    """Signed by a certificate that the root did not issue: nothing is sent."""
    make_ca(site.d, "stranger")
    os.rename(f"{site.d}/root.pem", f"{site.d}/real-root.pem")
    os.rename(f"{site.d}/real-root.pem", f"{site.d}/root.pem")
    openssl("x509", "-req", "-in", "trust.csr", "-CA", "stranger.pem", "-CAkey", "stranger.key", "-days", "30", "-out",
            "trust.pem", "-extfile", "trust.ext", cwd=site.d)
    gateway = Gateway(site.d)
    agent = Agent(site, service, gateway, "--source", "host")
    wait_for("the refusal", lambda: "trust list is refused" in agent.words())
    check(agent.stop() == 0, agent.words())
    check({kind for kind, *_ in spool_records(site.d)} <= {"started"}, "something was sent")
    gateway.stop()


def test_an_older_trust_list_is_refused_although_the_newest_was_removed(site, service):
    """The floor of its number is with the counters: who removes the list, or puts an old one there, gains nothing."""
    gateway = Gateway(site.d)
    path = write_csv(site.d, 5)
    site.number = 7
    agent = Agent(site, service, gateway, "--source", f"csv:{path},rate=0", "--once")
    check(agent.end() == 0, agent.words())
    site.number = 6
    for old in (None, site.trust_list()):
        if old is None:
            os.remove(f"{site.d}/state/trust.cbor")
        else:
            with open(f"{site.d}/state/trust.cbor", "wb") as f:
                f.write(old)
        before = len(agent.words())
        refusals = 1 if old is None else 2  # of the list that is offered, and of the one that lies there
        agent = Agent(site, service, gateway, "--source", "host,period=100ms")
        wait_for("the refusals", lambda a=agent, at=before, n=refusals: a.words()[at:].count("its number went back") >= n)
        check(agent.stop() == 0 and "is live" not in agent.words()[before:], agent.words()[before:])
    site.number = 7
    before = len(agent.words())
    agent = Agent(site, service, gateway, "--source", "host,period=100ms")
    wait_for("a live session", lambda: "is live" in agent.words()[before:])
    check(agent.stop() == 0, agent.words())
    gateway.stop()


def test_a_real_recording_arrives_value_by_value(site, service):
    """SKAB valve1/0, where the folder beside the checkout has it."""
    path = os.path.join(SHARED, "data/skab/valve1-0.csv")
    if not os.path.exists(path):
        raise Skip("no SKAB recording at " + path)
    gateway = Gateway(site.d)
    agent = Agent(site, service, gateway, "--source", f"csv:{path},rate=0", "--stream", "valve1", "--once")
    check(agent.end() == 0, agent.words())
    gateway.stop()
    with open(path) as f:
        header = f.readline().strip().split(";")
        want = [line.strip().split(";") for line in f]
    rows = list(Received(site).rows())
    check(len(rows) == len(want), len(rows), len(want))
    for (at, values), cells in zip(rows, want):
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))
        check(stamp == cells[0], stamp, cells[0])
        check(values == {n.replace(" ", "_"): float(c) for n, c in zip(header[1:], cells[1:])}, values, cells)


def main():
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    passed = failed = skipped = 0
    for name, test in list(globals().items()):
        if not name.startswith("test_") or part not in name:
            continue
        with tempfile.TemporaryDirectory(prefix="holdfast-agent-", ignore_cleanup_errors=True) as d:
            site = Site(d)
            service = Service(site)
            try:
                test(site, service)
                passed += 1
            except Skip as why:
                print(f"skipped: {name}: {why}")
                skipped += 1
            except Exception:
                failed += 1
                print(f"FAILED {name}: {test.__doc__}")
                traceback.print_exc()
                if os.path.exists(f"{d}/agent.err"):
                    with open(f"{d}/agent.err") as f:
                        print("".join(f.readlines()[-20:]))
            finally:
                for process in Agent.running:
                    process.kill()
                    process.wait(DEADLINE)
                Agent.running.clear()
                service.stop()
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
