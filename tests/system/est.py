#!/usr/bin/env python3
"""EST on the running platform with curl and the openssl command line: a device of the accepted manufacturer enrols, asks
again, renews, is in the registry with its entries; what must be refused is refused in words. Usage: est.py"""
import os
import shlex
import signal
import subprocess

from lib import Failed, Platform, Script, is_gone, need, wait_for

EST = "/.well-known/est/"


class Client:
    """A folder with an IDevID, and a shell in it."""

    def __init__(self, platform, serial):
        self.platform, self.serial, self.dir = platform, serial, platform.dir / serial
        platform.cli("factory", "idevid", serial, "--dir", str(platform.data / "factory"), "--out", str(self.dir))
        self.sh(f"cp {shlex.quote(platform.up()['root'])} root.pem")

    def sh(self, command, check=True):
        done = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=self.dir, capture_output=True, text=True, timeout=60)
        if check and done.returncode != 0:
            raise Failed(f"{command}: {done.stderr.strip() or done.returncode}")
        return done.stdout

    def request(self, name, options="-subj /CN=ignored"):
        """A fresh key NAME.key and a request for it in base64, NAME.csr."""
        self.sh(f"openssl ecparam -name prime256v1 -genkey -noout -out {name}.key && "
                f"openssl req -new -key {name}.key {options} -outform DER | openssl base64 -A >{name}.csr")

    def renewal(self, name, of):
        self.sh(f"openssl ecparam -name prime256v1 -genkey -noout -out {name}.key && openssl x509 -x509toreq -in {of}.pem "
                f"-signkey {name}.key -copy_extensions copy -out r.pem && openssl req -in r.pem -outform DER | openssl base64 >{name}.csr")

    def call(self, operation, identity=None, body=None, more=""):
        """Status and body of an answer; status 0 where the connection was refused."""
        command = f"curl -s --tlsv1.3 --cacert root.pem -o answer -w '%{{http_code}}' {more} "
        if identity:
            command += f"--cert {identity}.pem --key {identity}.key "
        if body:
            command += f"-H 'Content-Type: application/pkcs10' --data-binary @{body} "
        (self.dir / "answer").write_bytes(b"")
        url = self.platform.up()["devices_url"] + (operation if operation.startswith("/") else EST + operation)
        status = int(self.sh(command + shlex.quote(url), check=False) or 0)
        return status, (self.dir / "answer").read_bytes()

    def take(self, name):
        self.sh(f"openssl base64 -d -A <answer | openssl pkcs7 -inform DER -print_certs | openssl x509 -out {name}.pem")


def enrols(c):
    status, _ = c.call("cacerts")
    need(status == 200, f"cacerts: {status}")
    c.sh("openssl base64 -d -A <answer | openssl pkcs7 -inform DER -print_certs >ca.pem")
    c.request("one")
    status, first = c.call("simpleenroll", "idevid", "one.csr")
    need(status == 200, f"simpleenroll: {status} {first!r}")
    c.take("one")
    c.sh("openssl verify -x509_strict -purpose sslclient -CAfile root.pem -untrusted ca.pem one.pem")
    status, again = c.call("simpleenroll", "idevid", "one.csr")
    need((status, again) == (200, first), f"the same request got another answer: {status}")


def is_registered(c):
    device = c.platform.api(f"/devices/{c.serial}")
    text = c.sh("openssl x509 -in one.pem -noout -text")
    need(f"/device/{device['id']}" in text, f"the certificate does not name {device['id']}")
    need(device["identity"] == "enrolled", f"identity is {device['identity']}")
    need(len(device["certificates"]) == 1, f"{len(device['certificates'])} certificates for two equal requests")


def survives(c):
    """kill -9 of keeper and control: the platform starts them again, and the same request gets the same certificate."""
    _, before = c.call("simpleenroll", "idevid", "one.csr")
    for role in ("keeper", "control"):
        pid = c.platform.pid(role)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: is_gone(pid), 10, f"the end of {role}")

    def answered():
        status, after = c.call("simpleenroll", "idevid", "one.csr")
        return status == 200 and (after,)
    after, = wait_for(answered, 30, "an answer after both were killed")
    need(after == before, "another certificate after the restart")

    def issued():
        c.request("fresh")
        status, _ = c.call("simpleenroll", "idevid", "fresh.csr")
        return status == 200
    wait_for(issued, 30, "a new certificate from the new keeper")
    c.take("one")
    c.sh("cp fresh.key one.key")  # the device goes on with the newest


def renews(c):
    c.renewal("two", "one")
    status, body = c.call("simplereenroll", "one", "two.csr")
    need(status == 200, f"simplereenroll: {status} {body!r}")
    c.take("two")
    c.sh("openssl verify -CAfile root.pem -untrusted ca.pem two.pem")
    names = [c.sh(f"openssl x509 -in {n}.pem -noout -subject -ext subjectAltName") for n in ("one", "two")]
    need(names[0] == names[1], f"renewal changed the names: {names}")


def refuses(c, other):
    c.request("three")
    need(c.call("simpleenroll", None, "three.csr")[0] == 403, "a stranger was not refused with 403")
    status, body = other.call("simpleenroll", "idevid", f"../{c.serial}/two.csr")
    need(status == 403 and b"HF-3217" in body, f"another device's key: {status} {body!r}")
    c.sh("openssl base64 -d -A <three.csr >three.der; cat three.der three.der | openssl base64 -A >double.csr")
    status, body = c.call("simpleenroll", "idevid", "double.csr")
    need(status == 400 and b"octets follow" in body, f"two requests in one: {status} {body!r}")
    c.sh("printf '[req]\\nprompt=no\\ndistinguished_name=dn\\nattributes=at\\n[dn]\\nCN=x\\n[at]\\nchallengePassword=%064d\\n' 7 >c.cnf && "
         "openssl req -new -config c.cnf -key three.key -outform DER | openssl base64 -A >finished.csr")
    status, body = c.call("simpleenroll", "idevid", "finished.csr")
    need(status == 403 and b"HF-3210" in body and b"enrolment.md" in body, f"a Finished value as link: {status} {body!r}")
    need(c.call("cacerts", None, None, "-H 'Early-Data: 1'")[0] == 425, "early data was not refused with 425")
    need(c.call("serverkeygen", None, "three.csr")[0] == 404 and c.call("fullcmc", None, "three.csr")[0] == 404, "serverkeygen or fullcmc")
    # CRLF lines and a Content-Transfer-Encoding field are harmless (RFC 8951 3).
    c.sh("openssl base64 <three.der | sed 's/$/\\r/' >crlf.csr")
    status, body = c.call("simpleenroll", "idevid", "crlf.csr", "-H 'Content-Transfer-Encoding: base64'")
    need(status == 200, f"CRLF base64: {status} {body!r}")


def speaks_tls13_only(c):
    host = c.platform.up()["devices_url"].split("//")[1]
    said = c.sh(f"openssl s_client -connect {host} -tls1_2 </dev/null 2>&1 || true")
    need("alert number 70" in said, f"a TLS 1.2 hello was not answered with protocol_version: {said[-200:]}")
    said = c.sh(f"openssl s_client -connect {host} -CAfile root.pem -sess_out session </dev/null 2>&1 || true")
    need("Verify return code: 0" in said, "the server's certificate does not verify")
    need("Post-Handshake New Session Ticket arrived" not in said and not (c.dir / "session").exists(), "a ticket was given: sessions could be resumed")


def main():
    script = Script()
    with Platform(devices=1, name="est") as platform:
        c, other = Client(platform, "est-one"), Client(platform, "est-two")
        script.run("a stock client enrols with its IDevID, and gets the same certificate for the same request", enrols, c)
        script.run("the registry has the device, once, with one certificate", is_registered, c)
        script.run("killed keeper and control come back and give the same answer", survives, c)
        script.run("a certificate is renewed with itself and keeps its names", renews, c)
        script.run("what must be refused is refused in words", refuses, c, other)
        script.run("TLS 1.3 alone, and no tickets", speaks_tls13_only, c)
        script.run("no invariant was violated", lambda: need(not platform.violations(), str(platform.violations())))
    script.end()


if __name__ == "__main__":
    main()
