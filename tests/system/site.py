#!/usr/bin/env python3
"""A site without the demo, as the README tells it: a manufacturer, init, run, an agent; console and API over https."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import lib
from lib import need, wait_for


class Site:
    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-site-"))
        self.base = lib.free_port_base()
        self.data = self.dir / "site"
        self.processes = []

    def holdfast(self, *args, status=0):
        done = subprocess.run([str(lib.BIN / "holdfast"), *args], capture_output=True, text=True, cwd=self.dir, env=self.env(), timeout=60)
        need(done.returncode == status, f"holdfast {' '.join(args)}: status {done.returncode}: {done.stderr}")
        return done.stdout + done.stderr

    def env(self):
        path = self.data / "env"
        if not path.exists():
            return dict(os.environ)
        done = subprocess.run(["bash", "-c", f"set -a; . '{path}' >/dev/null; env -0"], capture_output=True, check=True)
        return dict(item.split("=", 1) for item in done.stdout.decode().split("\0") if "=" in item)

    def start(self, *command):
        process = subprocess.Popen(command, cwd=self.dir, stdout=open(self.dir / "run.log", "ab"), stderr=subprocess.STDOUT)
        self.processes.append(process)
        return process

    def stop(self):
        for process in reversed(self.processes):
            with contextlib.suppress(OSError):
                process.send_signal(signal.SIGTERM)
            process.wait(30)
        statuses = [process.returncode for process in self.processes]
        self.processes = []
        return statuses


def makes(site):
    site.holdfast("factory", "ca", "--dir", "factory", "--manufacturer", "Hydra Machines")
    site.holdfast("factory", "ca", "--dir", "factory", status=6)
    said = site.holdfast("init", "--dir", "site", "--site", "Northsea Pressings", "--manufacturer", "factory/manufacturer.pem",
                         "--port-base", str(site.base))
    need("root.key" in said, "init says what to keep safe")
    site.holdfast("init", "--dir", "site", status=6)
    for path in [*site.data.glob("keeper/*.key"), *site.data.glob("keys/*/*.key"), site.data / "operator.token", site.data / "env"]:
        need(path.stat().st_mode & 0o077 == 0, f"{path} is readable by others")
    site.holdfast("check", "--config", "site/holdfast.toml")


def reissue(site, name, days, age_days=0):
    """The server certificate NAME.pem once more, with the same key and names, as if made `age_days` ago."""
    pki = site.data / "pki"
    role = {"gateway": "gateway", "devices": "control"}[name]
    times = [time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + 86400 * d)) for d in (-age_days, days)]
    (site.dir / "index.txt").touch()
    (site.dir / "ca.cnf").write_text(
        f"[ca]\ndefault_ca=c\n[c]\ndatabase={site.dir}/index.txt\nnew_certs_dir={site.dir}\nrand_serial=yes\ndefault_md=sha256\n"
        "policy=p\nunique_subject=no\ncopy_extensions=copyall\n[p]\ncommonName=optional\norganizationName=optional\n")
    subprocess.run(["openssl", "x509", "-x509toreq", "-copy_extensions", "copyall", "-signkey", f"../keys/{role}/{name}.key", "-out",
                    site.dir / "new.csr"],
                   cwd=pki, input=(pki / f"{name}.pem").read_bytes(), check=True, capture_output=True)
    subprocess.run(["openssl", "ca", "-config", site.dir / "ca.cnf", "-in", site.dir / "new.csr", "-cert", "services.pem", "-keyfile",
                    "../keeper/services.key", "-startdate", times[0], "-enddate", times[1], "-preserveDN", "-batch", "-notext", "-out",
                    site.dir / "new.pem"], cwd=pki, check=True, capture_output=True)
    return (site.dir / "new.pem").read_text() + (pki / "services.pem").read_text()


def says_what_ends_soon(site):
    """A server certificate that cannot be renewed, for want of the services key: `status` says so, and `check`."""
    away = site.data / "services.key.away"
    (site.data / "pki" / "gateway.pem").write_text(reissue(site, "gateway", 40, age_days=358))
    (site.data / "keeper" / "services.key").rename(away)
    runs(site)
    wait_for(lambda: "pki/gateway.pem ends in 39 d" in site.holdfast("status"), 30, "status says what ends soon")
    need("pki/devices.pem" not in site.holdfast("status"), "status says what does not end soon")
    need("pki/gateway.pem ends in 39 d and cannot be renewed" in site.holdfast("check", "--config", "site/holdfast.toml"), "check says why")
    away.rename(site.data / "keeper" / "services.key")


def runs(site):
    site.start(str(lib.BIN / "holdfast"), "run", "--config", "site/holdfast.toml")
    wait_for(lambda: (site.data / "run" / "control.ready").exists(), 30, "control is ready")
    need(json.loads(site.holdfast("status", "--json"))["v"] == 1, "status over https")


def https_only(site):
    url = f"https://localhost:{site.base}"
    context = ssl.create_default_context(cafile=str(site.data / "pki" / "root.pem"))
    with urllib.request.urlopen(url + "/", context=context, timeout=20) as answer:
        need(answer.headers["Content-Security-Policy"].startswith("default-src 'none'"), "the console has its policy")
    try:
        urllib.request.urlopen(url + "/", context=ssl.create_default_context(), timeout=20)
        raise lib.Failed("a client without our root trusted the server")
    except OSError:
        pass
    request = urllib.request.Request(url + "/api/v1/status")
    try:
        urllib.request.urlopen(request, context=context, timeout=20)
        raise lib.Failed("the API answered without a credential")
    except urllib.error.HTTPError as refused:
        need(refused.code == 401, f"status {refused.code}")


def enrols(site):
    site.holdfast("factory", "idevid", "press-001", "--dir", "factory", "--out", "press-001")
    site.start(str(lib.BIN / "holdfast-agent"), "--state", "press-001", "--idevid", "press-001/idevid.pem", "--idevid-key",
               "press-001/idevid.key", "--root", "site/pki/root.pem", "--devices-url", f"https://localhost:{site.base + 1}",
               "--gateway", f"localhost:{site.base + 10}", "--source", "host")
    wait_for(lambda: "active" in site.holdfast("device", "list", "--query", "identity:active"), 60, "the device is active")
    wait_for(lambda: "cpu" in site.holdfast("data", "keys", "press-001"), 60, "its points are stored")


def bundles(site):
    """A bundle asked for again with its key is the same certificate; with another key the name is taken."""
    ask = ("device", "bundle", "meter-1", "--out", "meter-1", "--gateway", f"localhost:{site.base + 10}")
    site.holdfast(*ask)
    first = {f.name: f.read_bytes() for f in (site.dir / "meter-1").iterdir()}
    (site.dir / "meter-1" / "meter-1.pem").unlink()  # as if the answer had never come
    site.holdfast(*ask)
    need({f.name: f.read_bytes() for f in (site.dir / "meter-1").iterdir()} == first, "another bundle than before")
    (site.dir / "meter-1" / "meter-1.key").unlink()
    site.holdfast(*ask, status=6)
    need(site.holdfast("device", "list").count("meter-1") == 1, "meter-1 is there once")


def served_end(site, port):
    """The end of the certificate that a server shows."""
    shown = subprocess.run(["openssl", "s_client", "-connect", f"localhost:{port}", "-CAfile", "site/pki/root.pem", "-servername", "localhost"],
                           cwd=site.dir, stdin=subprocess.DEVNULL, capture_output=True)
    done = subprocess.run(["openssl", "x509", "-noout", "-enddate"], input=shown.stdout, capture_output=True)
    return done.stdout.decode().strip()


def takes_renewed_certificates(site):
    """A server certificate that is another one is shown to the next client; who is connected stays."""
    pki = site.data / "pki"
    ports = {"gateway": site.base + 10, "devices": site.base + 1}
    ends = {name: served_end(site, port) for name, port in ports.items()}
    device = json.loads(site.holdfast("device", "show", "press-001", "--json"))
    devices = reissue(site, "devices", 1000)
    (pki / "devices.pem").write_text("no certificate\n")
    (pki / "gateway.pem").write_text(reissue(site, "gateway", 1000))
    wait_for(lambda: served_end(site, ports["gateway"]) not in ("", ends["gateway"]), 40, "the gateway shows its new certificate")
    wait_for(lambda: "keeps the manufacturers and the certificate it has" in (site.data / "log" / "control.log").read_text(), 40, "control says that it cannot use what is there")
    need(served_end(site, ports["devices"]) == ends["devices"], "the last good one was given up")
    (pki / "devices.pem").write_text(devices)
    for port in (ports["devices"], site.base):
        wait_for(lambda: served_end(site, port) not in ("", ends["devices"]), 40, "control shows its new certificate")
    now = json.loads(site.holdfast("device", "show", "press-001", "--json"))
    need(now["connected"] and now["linked_at"] == device["linked_at"], "the device's connection was not cut")
    need("holds for" in site.holdfast("check", "--config", "site/holdfast.toml"), "check says how long they hold")


def takes_another_manufacturer(site):
    """A manufacturer accepted while everything runs: its devices enrol, without a restart."""
    (site.data / "pki" / "manufacturers" / "other.pem").write_bytes((site.dir / "other" / "manufacturer.pem").read_bytes())
    ask = ["curl", "-s", "-o", "answer", "-w", "%{http_code}", "--cacert", "site/pki/root.pem", "--cert", "rogue-1/idevid.pem",
           "--key", "rogue-1/idevid.key", "-H", "Content-Type: application/pkcs10", "--data-binary", "@rogue-1/new.b64",
           f"https://localhost:{site.base + 1}/.well-known/est/simpleenroll"]
    wait_for(lambda: subprocess.run(ask, cwd=site.dir, capture_output=True, text=True).stdout == "200", 40, "its device is enrolled")


def strangers_stay_out(site):
    """An IDevID of a manufacturer nobody accepted gets no certificate."""
    site.holdfast("factory", "ca", "--dir", "other", "--manufacturer", "Somebody")
    site.holdfast("factory", "idevid", "rogue-1", "--dir", "other", "--out", "rogue-1")
    subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                    "rogue-1/new.key", "-subj", "/serialNumber=rogue-1", "-outform", "DER", "-out", "rogue-1/new.csr"],
                   cwd=site.dir, check=True, capture_output=True)
    subprocess.run(["openssl", "base64", "-A", "-in", "rogue-1/new.csr", "-out", "rogue-1/new.b64"], cwd=site.dir, check=True)
    done = subprocess.run(["curl", "-s", "-o", "answer", "-w", "%{http_code}", "--cacert", "site/pki/root.pem", "--cert", "rogue-1/idevid.pem",
                           "--key", "rogue-1/idevid.key", "-H", "Content-Type: application/pkcs10", "--data-binary", "@rogue-1/new.b64",
                           f"https://localhost:{site.base + 1}/.well-known/est/simpleenroll"], cwd=site.dir, capture_output=True, text=True)
    need(done.stdout in ("000", "403"), f"a stranger got {done.stdout}")
    need("rogue-1" not in site.holdfast("device", "list"), "the stranger is not in the registry")


def stops(site):
    statuses = site.stop()
    need(all(status == 0 for status in statuses), f"statuses {statuses}")


def main():
    if lib.BIN is None:
        print("skipped: HOLDFAST_BIN names no build\n0 passed, 0 failed, 1 skipped")
        return
    script = lib.Script()
    site = Site()
    try:
        for function in (makes, says_what_ends_soon, https_only, enrols, bundles, strangers_stay_out, takes_another_manufacturer, takes_renewed_certificates, stops):
            if not script.run(function.__name__.replace("_", " "), function, site):
                print((site.dir / "run.log").read_text()[-2000:] if (site.dir / "run.log").exists() else "")
                for log in sorted(site.data.glob("log/*.log")):
                    print(f"--- {log.name}\n{log.read_text()[-800:]}")
    finally:
        site.stop()
        shutil.rmtree(site.dir, ignore_errors=True)
    script.end()


if __name__ == "__main__":
    main()
