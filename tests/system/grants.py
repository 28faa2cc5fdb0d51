#!/usr/bin/env python3
"""Applications: a grant by command and by configuration, its certificate, the file that gateways read, and its end, on a site of
real processes."""
import hashlib
import http.client
import importlib.util
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import lib
from lib import need, wait_for

SPEC = importlib.util.spec_from_file_location("site_test", pathlib.Path(__file__).resolve().parent / "site.py")  # `site` is Python's
SITE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(SITE)


class Refused(Exception):
    def __init__(self, status, problem):
        super().__init__(f"{status} {problem}")
        self.status, self.code, self.why = status, problem["code"], problem["why"]


def api(site, path, method="GET", body=None):
    env = site.env()
    request = urllib.request.Request(env["HOLDFAST_URL"] + "/api/v1" + path, method=method,
                                     data=json.dumps(body).encode() if body is not None else None,
                                     headers={"Authorization": "Bearer " + env["HOLDFAST_TOKEN"], "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        raise Refused(refused.code, json.loads(refused.read())) from None


def file_of(site):
    text = (site.data / "grants/applications.toml").read_text()
    number = int(re.search(r"^number = (\d+)", text, re.M).group(1))
    return number, {m.group(1): re.findall(r'"([0-9a-f]{64})"', m.group(2))
                    for m in re.finditer(r'^name = "(.*)"\n(?:.*\n){3}keys = \[(.*)\]', text, re.M)}


def key_digest(site, folder, name):
    spki = subprocess.run(["openssl", "x509", "-in", site.dir / folder / f"{name}.pem", "-pubkey", "-noout"], check=True, capture_output=True)
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=spki.stdout, check=True, capture_output=True)
    return hashlib.sha256(der.stdout).hexdigest()


def begin(site):
    site.holdfast("init", "--dir", "site", "--port-base", str(site.base), "--plain-console")
    with open(site.data / "holdfast.toml", "a") as f:
        f.write('\n[[application]]\nname = "hmi"\nsubscribe = ["plant/#"]\nclient_ids = ["hmi-*"]\n')
    site.holdfast("check", "--config", "site/holdfast.toml")
    site.start(str(lib.BIN / "holdfast"), "run", "--config", str(site.data / "holdfast.toml"))
    wait_for(lambda: (site.data / "run/control.ready").exists(), 30, "control")
    wait_for(lambda: (site.data / "run/gw-1.sock").exists(), 30, "the gateway")


def refuses_what_cannot_be_granted(site):
    """What is no name, filter or pattern, what would speak for devices, and what may do nothing is refused, and leaves nothing."""
    before = file_of(site)
    for args, words in ((["a b", "--subscribe", "x"], "HF-3601"), (["-x", "--subscribe", "x"], "HF-"),
                        (["historian"], "may publish nothing"), (["historian", "--subscribe", "a/#/b"], "no topic filter"),
                        (["historian", "--publish", "hf/1/+/c"], "below hf/"),
                        (["historian", "--subscribe", "$share/g/x"], "$share"), (["historian", "--subscribe", "x" * 201], "200 bytes"),
                        (["historian", "--subscribe", "x", "--client-id", ""], "pattern"),
                        (["historian", "--subscribe", "x", "--days", "399"], "HF-1101"), (["hmi", "--subscribe", "x"], "HF-3602")):
        done = subprocess.run([str(lib.BIN / "holdfast"), "grant", *args, "--out", "refused"], capture_output=True, text=True,
                              cwd=site.dir, env=site.env(), timeout=60)
        need(done.returncode != 0 and words in done.stderr + done.stdout, f"grant {args}: {done.returncode}: {done.stderr}")
    need([g["name"] for g in api(site, "/grants")["items"]] == ["hmi"], "nothing was granted")
    need(file_of(site) == before, "the gateways' file is as it was")
    for body, code in (({"name": "x"}, "HF-3502"), ({"csr": "x"}, "HF-3005"), ({"name": "x", "csr": "x", "more": 1}, "HF-3005"),
                       ({"name": "x", "csr": "no"}, "HF-3502"), ({"name": "x", "csr": "no", "subscribe": ["a"] * 17}, "HF-3005")):
        try:
            api(site, "/grants", "POST", body)
            need(False, f"{body} was taken")
        except Refused as refused:
            need(refused.code == code, f"{body}: {refused}")


def grants(site):
    """A grant is in the gateways' file with its key before it is answered, and asked again is the same certificate."""
    said = site.holdfast("grant", "historian", "--subscribe", "hf/1/+/t/#", "--subscribe", "x", "--publish", "plant/historian/#",
                         "--client-id", "historian-*", "--days", "30", "--out", "h")
    need("granted" in said, said)
    number, keys = file_of(site)
    need(keys["historian"] == [key_digest(site, "h", "historian")], keys)
    first = (site.dir / "h/historian.pem").read_bytes()
    text = subprocess.run(["openssl", "x509", "-in", site.dir / "h/historian.pem", "-noout", "-text"], check=True, capture_output=True,
                          text=True).stdout
    need("URI:spiffe://holdfast.local/app/historian" in text and "TLS Web Client Authentication" in text, text)
    subprocess.run(["openssl", "verify", "-CAfile", site.data / "pki/root.pem", "-untrusted", site.data / "pki/issuer.pem",
                    site.dir / "h/historian.pem"], check=True, capture_output=True)
    site.holdfast("grant", "historian", "--out", "h")
    need((site.dir / "h/historian.pem").read_bytes() == first and file_of(site) == (number, keys), "asked again, nothing changes")
    site.holdfast("grant", "historian", "--subscribe", "hf/1/+/t/#", "--out", "h")
    need((site.dir / "h/historian.pem").read_bytes() == first and file_of(site)[0] > number, "rights change under the same key")
    need(api(site, "/grants/historian")["publish"] == [], "the new rights took the place of the old")
    wait_for(lambda: api(site, "/grants/historian")["gateways"] == [{"name": "gw-1", "in_force": True}], 30, "the gateway goes by it")
    kinds = [e["kind"] for e in entries(site, "historian")]
    need(kinds.count("application-granted") == 3, kinds)


def entries(site, about):
    db = sqlite3.connect(f"file:{site.data}/control/registry.db?mode=ro", uri=True)
    rows = db.execute("SELECT kind, actor, detail FROM entries WHERE object = ? ORDER BY idx", (about,)).fetchall()
    db.close()
    return [dict(zip(("kind", "actor", "detail"), row)) for row in rows]


def mosquitto(site, program, name, folder, *args):
    return ["mosquitto_" + program, "-h", "localhost", "-p", str(site.base + 10), "-V", "mqttv5", "--cafile", str(site.dir / folder / "root.pem"),
            "--cert", str(site.dir / folder / f"{name}.pem"), "--key", str(site.dir / folder / f"{name}.key"), *args]


def is_entered(site, client_id):
    return any(s["client_id"] == client_id and s["application"] == "viewer" for s in api(site, "/gateways/gw-1/sessions")["items"])


def lets_stock_clients_in(site):
    """A stock client with the certificate does what was granted and nothing else, and hears at once that its grant is withdrawn."""
    if shutil.which("mosquitto_sub") is None:
        return "mosquitto-clients are not installed"
    site.holdfast("grant", "viewer", "--subscribe", "plant/#", "--publish", "plant/viewer/#", "--client-id", "viewer-*", "--out", "v")
    wait_for(lambda: api(site, "/grants/viewer")["gateways"] == [{"name": "gw-1", "in_force": True}], 30, "the gateway goes by it")
    wrong = subprocess.run(mosquitto(site, "sub", "viewer", "v", "-i", "somebody", "-t", "plant/#", "-W", "5"), capture_output=True, text=True, timeout=30)
    need(wrong.returncode not in (0, 27), f"a client id beyond its pattern: {wrong.returncode} {wrong.stderr}")
    denied = subprocess.run(mosquitto(site, "sub", "viewer", "v", "-i", "viewer-1", "-t", "other/#", "-E", "-d"), capture_output=True, text=True, timeout=30)
    need("135" in denied.stdout, f"a filter beyond its grant: {denied.stdout}")
    live = subprocess.Popen(["stdbuf", "-oL"] + mosquitto(site, "sub", "viewer", "v", "-i", "viewer-2", "-t", "plant/#", "-q", "1", "-d"), stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)
    try:
        wait_for(lambda: is_entered(site, "viewer-2"), 30, "its session, by its name")
        need(any("Subscribed" in live.stdout.readline() for _ in range(6)), "it is subscribed")
        for topic, code in (("plant/viewer/note", 0), ("plant/other/note", 135), ("hf/1/x/t/y", 135)):
            said = subprocess.run(mosquitto(site, "pub", "viewer", "v", "-i", "viewer-3", "-t", topic, "-q", "1", "-m", "hello", "-d"), timeout=30,
                                  capture_output=True, text=True)
            need(f"RC:{code}" in said.stdout, f"{topic}: {said.stdout}")
        need(any("hello" in live.stdout.readline() for _ in range(4)), "what one instance says reaches the other")
        site.holdfast("grant", "withdraw", "viewer")
        told = [live.stdout.readline() for _ in range(2)]
        need(any("DISCONNECT (135)" in line for line in told), f"cut, and told why: {told}")
        wait_for(lambda: not is_entered(site, "viewer-2"), 30, "the end of its session")
    finally:
        if live.poll() is None:
            live.kill()
            live.wait(30)
        live.stdout.close()
    again = subprocess.run(mosquitto(site, "sub", "viewer", "v", "-i", "viewer-2", "-t", "plant/#", "-W", "5"), capture_output=True, text=True, timeout=30)
    need(again.returncode not in (0, 27), f"let in after it was withdrawn: {again.returncode}")


def overlaps_two_generations(site):
    """A second key is let in beside the first, a third takes the first one's place."""
    for folder in ("h2", "h3"):
        site.holdfast("grant", "historian", "--out", folder)
    need(sorted(file_of(site)[1]["historian"]) == sorted(key_digest(site, d, "historian") for d in ("h2", "h3")), file_of(site))


def keeps_devices_and_applications_apart(site):
    """A key of a device is refused an application's certificate, and a key of an application a device's."""
    site.holdfast("device", "bundle", "plc-7", "--for", "mosquitto", "--out", "plc")
    (site.dir / "mixed").mkdir()
    for source, target, command in ((site.dir / "plc/plc-7.key", site.dir / "mixed/stolen.key", ["grant", "stolen", "--subscribe", "x"]),
                                    (site.dir / "h3/historian.key", site.dir / "mixed/press-8.key", ["device", "bundle", "press-8"])):
        target.write_bytes(source.read_bytes())
        target.chmod(0o600)
        done = subprocess.run([str(lib.BIN / "holdfast"), *command, "--out", "mixed"], capture_output=True, text=True, cwd=site.dir,
                              env=site.env(), timeout=60)
        need(done.returncode == 6, f"{command}: {done.returncode}: {done.stderr}")


def withdraws(site):
    """A withdrawn grant is out of the gateways' file before it is answered, stays out over kill -9 of control, and its keys with it."""
    site.holdfast("grant", "withdraw", "nobody", status=5)
    said = site.holdfast("grant", "withdraw", "historian")
    need("withdrawn" in said, said)
    number, keys = file_of(site)
    need("historian" not in keys, keys)
    site.holdfast("grant", "withdraw", "historian", status=6)
    site.holdfast("grant", "historian", "--out", "h3", status=6)
    site.holdfast("grant", "hmi", "--out", "hmi")
    need(len(file_of(site)[1]["hmi"]) == 1, "the configured application has its key")
    pid = int(re.findall(r"control runs as process (\d+)", (site.dir / "run.log").read_text())[-1])
    os.kill(pid, signal.SIGKILL)

    def is_back():
        try:
            return api(site, "/grants/historian")["state"] == "withdrawn" and file_of(site)[0] > number
        except (OSError, http.client.HTTPException):
            return False
    wait_for(is_back, 30, "control after its kill")
    need("historian" not in file_of(site)[1] and len(file_of(site)[1]["hmi"]) == 1, file_of(site))
    site.holdfast("grant", "historian", "--subscribe", "y", "--out", "h4")
    need(file_of(site)[1]["historian"] == [key_digest(site, "h4", "historian")], "a new grant has its new key alone")
    need([e["kind"] for e in entries(site, "historian")].count("application-withdrawn") == 1, entries(site, "historian"))


def stops(site):
    need(site.stop() == [0], "a clean stop")


def main():
    if lib.BIN is None:
        print("skipped: HOLDFAST_BIN names no build\n0 passed, 0 failed, 1 skipped")
        return
    script = lib.Script()
    site = SITE.Site()
    try:
        for step in (begin, refuses_what_cannot_be_granted, grants, lets_stock_clients_in, overlaps_two_generations, keeps_devices_and_applications_apart,
                     withdraws, stops):
            if not script.run(step.__name__.replace("_", " "), step, site):
                for log in sorted(site.data.glob("log/*.log")):
                    print(f"--- {log.name}\n{log.read_text()[-800:]}")
    finally:
        site.stop()
        shutil.rmtree(site.dir, ignore_errors=True)
    script.end()


if __name__ == "__main__":
    main()
