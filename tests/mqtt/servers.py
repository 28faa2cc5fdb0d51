"""MQTT servers that tests start, stop by their id, kill and start again: Mosquitto, and the gateway beside it. Each has `root`,
below which a test may publish and subscribe, and `dial()`, a connection without a word said on it. An address of a server that
somebody else runs is `Outside`."""
import hashlib
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[1]
START_S = 20.0


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def plain(port, host="127.0.0.1"):
    stream = socket.create_connection((host, port), 15)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


def wait_for_port(port, process, words):
    end = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if time.monotonic() > end or process.poll() is not None:
                raise RuntimeError(f"does not listen on port {port}: {words()}") from None
            time.sleep(0.02)


class Server:
    root = "conformance/"
    is_complete = True           # announces nothing as missing
    takes_any_client_id = True   # also ones of 65,535 bytes
    keeps = False                # sessions and messages outlive the process
    forbidden = None             # a topic that the client may not publish to
    name = "server"

    def dial(self):
        raise NotImplementedError

    def stop(self):
        pass


class Outside(Server):
    """A server at an address; over TLS where there is a CA, with a certificate of ours where there is one."""

    def __init__(self, address, ca=None, certificate=None, key=None, root="conformance/", name="outside"):
        self.host, _, port = address.rpartition(":")
        self.host, self.port, self.root, self.name = self.host or "127.0.0.1", int(port), root, name
        self.context = None
        if ca:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self.context.load_verify_locations(ca)
            if certificate:
                self.context.load_cert_chain(certificate, key)

    def dial(self):
        stream = plain(self.port, self.host)
        return self.context.wrap_socket(stream, server_hostname="localhost") if self.context else stream


class Mosquitto(Server):
    """Debian's mosquitto, plain TCP on loopback, everything allowed; it keeps its sessions in a file when asked to."""
    name = "mosquitto"

    def __init__(self, more=""):
        self.dir = tempfile.mkdtemp(prefix="holdfast-mosquitto-")
        self.port = free_port()
        with open(f"{self.dir}/conf", "w") as f:
            f.write(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 0\n"
                    f"max_keepalive 65535\nlog_dest stderr\nuser root\nretain_available true\n{more}")
        self.process = None
        self.start()

    def start(self):
        binary = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
        with open(f"{self.dir}/err", "a") as log:
            self.process = subprocess.Popen([binary, "-c", f"{self.dir}/conf"], stderr=log, stdout=log)
        wait_for_port(self.port, self.process, lambda: open(f"{self.dir}/err").read()[-2000:])

    def dial(self):
        return plain(self.port)

    def tls(self):
        """None, or (CA, certificate, key) that a client needs."""
        return None

    def stop(self):
        self.process.terminate()
        self.process.wait(START_S)
        shutil.rmtree(self.dir, ignore_errors=True)


class MosquittoTls(Mosquitto):
    """The same over mutual TLS, with the certificates that the gateway's tests have."""

    def __init__(self):
        lab = gateway_lab()
        self.pki = tempfile.mkdtemp(prefix="holdfast-mosquitto-pki-")
        lab.make_pki(self.pki)
        self.context = client_context(self.pki, "alpha")
        with open(f"{self.pki}/chain.pem", "w") as f:
            f.write(open(f"{self.pki}/issuer.pem").read() + open(f"{self.pki}/root.pem").read())
        super().__init__(f"cafile {self.pki}/chain.pem\ncertfile {self.pki}/gateway.pem\nkeyfile {self.pki}/gateway.key\n"
                         "require_certificate true\n")

    def tls(self):
        return f"{self.pki}/root.pem", f"{self.pki}/alpha.pem", f"{self.pki}/alpha.key"

    def dial(self):
        return self.context.wrap_socket(plain(self.port), server_hostname="localhost")

    def stop(self):
        super().stop()
        shutil.rmtree(self.pki, ignore_errors=True)


def gateway_lab(build=None):
    """tests/system/gateway.py as a module: certificates, the process of a gateway."""
    sys.path.insert(0, str(TOP / "tests" / "system"))
    if build:
        os.environ["HOLDFAST_BUILD"] = str(build)
    import gateway
    return gateway


def client_context(d, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(f"{d}/root.pem")
    context.load_cert_chain(f"{d}/{name}.pem", f"{d}/{name}.key")
    return context


class Gateway(Server):
    """The gateway's role as a process of its own (tests/system/gateway_process.c), met as an application that may publish,
    subscribe and be called what it likes."""
    name = "gateway"
    keeps = True
    forbidden = "$SYS/x"

    def __init__(self, *options, build=None):
        lab = gateway_lab(build)
        self.lab, self.options = lab, options
        self.dir = tempfile.mkdtemp(prefix="holdfast-mqtt-gateway-")
        lab.make_pki(self.dir)
        self.client = make_application(lab, self.dir, "suite")
        self.context = client_context(self.dir, self.client)
        self.process = None
        self.start()

    def tls(self):
        return f"{self.dir}/root.pem", f"{self.dir}/{self.client}.pem", f"{self.dir}/{self.client}.key"

    def start(self):
        self.process = self.lab.Gateway(self.dir, "per_device", 1000, *self.options)
        if self.process.port is None:
            raise RuntimeError(f"the gateway has not started: {self.process.words()[-2000:]}")
        self.port = self.process.port

    def kill(self):
        os.kill(self.process.pid(), signal.SIGKILL)
        self.process.process.wait(START_S)

    def dial(self):
        return self.context.wrap_socket(plain(self.port), server_hostname="localhost")

    def stop(self):
        code = self.process.stop()
        words = self.process.words()
        shutil.rmtree(self.dir, ignore_errors=True)
        if code != 0:
            raise RuntimeError(f"the gateway ended with status {code}: {words[-2000:]}")


def make_application(lab, d, name):
    """A certificate of an application, and the grants file that lets its key do everything (src/codec/grants.h)."""
    lab.make_leaf(d, name, "issuer", f"subjectAltName=URI:spiffe://holdfast.local/app/{name}\nextendedKeyUsage=clientAuth\n"
                  "keyUsage=digitalSignature")
    der = subprocess.run(["openssl", "pkey", "-in", f"{d}/{name}.key", "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
    os.makedirs(f"{d}/grants", exist_ok=True)
    with open(f"{d}/grants/applications.toml", "w") as f:
        f.write(f'number = 1\n[[application]]\nname = "{name}"\npublish = ["#"]\nsubscribe = ["#", "$test/#"]\n'
                f'client_ids = ["*"]\nkeys = ["{hashlib.sha256(der).hexdigest()}"]\n')
    return name
