#!/usr/bin/env python3
"""The control plane as a real process on a site of its own: its API against docs/openapi.json, signing in, event streams,
metrics, and input that must be refused. Usage: api.py [PART OF A NAME]

Each test is a function whose first line says what must hold. Programs come from HOLDFAST_BUILD (default build/sanitize,
build/release or build/debug).
"""
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.parse

TOP = pathlib.Path(__file__).resolve().parents[2]
OPENAPI = json.loads((TOP / "docs" / "openapi.json").read_text())
DEADLINE = 20.0 * float(os.environ.get("HOLDFAST_TEST_SLOWER", "1"))


def build_dir():
    named = os.environ.get("HOLDFAST_BUILD")
    for at in [pathlib.Path(named)] if named else [TOP / "build" / p for p in ("sanitize", "release", "debug")]:
        if (at / "system" / "control_site").exists():
            return at
    print("api.py: control_site is not built\n0 passed, 1 failed, 0 skipped")
    sys.exit(1)


PROGRAM = str(build_dir() / "system" / "control_site")


def wait_for(condition, what):
    end = time.monotonic() + DEADLINE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {DEADLINE:g} s: {what}")
        time.sleep(0.02)


class Site:
    def __init__(self, folder, devices=20):
        self.dir = folder
        made = subprocess.run([PROGRAM, "make", folder, str(devices)], check=True, capture_output=True, text=True)
        self.token, self.reader = made.stdout.split()
        self.process = None
        self.start()

    def start(self):
        ready = pathlib.Path(self.dir, "ready")
        ready.unlink(missing_ok=True)
        self.log = open(f"{self.dir}/log", "ab")
        self.process = subprocess.Popen([PROGRAM, "run", self.dir], stdout=self.log, stderr=self.log)
        wait_for(lambda: ready.exists() or self.process.poll() is not None, "control is ready")
        assert self.process.poll() is None, "control ended at once"
        ports = json.loads(ready.read_text())
        self.port, self.metrics_port = ports["console"], ports["metrics"]
        self.origin = f"http://localhost:{self.port}"
        # First uses of certificates are noted after the start, some at a time: all but the device never heard of.
        wait_for(lambda: self.good("/fleet")["identities"]["enrolled"] <= 1, "first uses are noted")

    def report(self, gateway, turn, wall_ms=None):
        """What the gateway's process would write once a second; its clocks are those of this machine unless said otherwise."""
        wall_ms = int(time.time() * 1000) if wall_ms is None else wall_ms
        kind = "# TYPE holdfast_{0} gauge\nholdfast_{0} {1}\n".format
        text = (kind("gateway_sessions", 3) + kind("gateway_wall_clock_milliseconds", wall_ms) + kind("gateway_clock_quality", 2)
                + kind("gateway_monotonic_clock_milliseconds", int(time.clock_gettime(time.CLOCK_MONOTONIC) * 1000))
                + f"holdfast_reports_total {turn}\n")
        new = pathlib.Path(self.dir, "run", f"{gateway}.new")
        new.write_text(text)
        new.rename(new.with_suffix(".metrics"))

    def gateways_report(self):
        """Both gateways live until their silence is noticed."""
        for turn in (1, 2):
            for gateway in ("gw-1", "gw-2"):
                self.report(gateway, turn)
            state = "unknown" if turn == 1 else "connected"
            wait_for(lambda: [g["state"] for g in self.good("/gateways")["items"]] == [state] * 2, f"the gateways are {state}")

    def stop(self, signal_number=signal.SIGTERM):
        self.process.send_signal(signal_number)
        self.process.wait(DEADLINE)
        self.log.close()
        return self.process.returncode

    def add(self, name, count):
        subprocess.run([PROGRAM, "add", self.dir, name, str(count)], check=True)

    def ask(self, method, path, body=None, headers=None, port=None):
        connection = http.client.HTTPConnection("localhost", port or self.port, timeout=DEADLINE)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def api(self, path, token=None, **query):
        if query:
            path += "?" + urllib.parse.urlencode({k.rstrip("_"): v for k, v in query.items()})
        status, _, body = self.ask("GET", "/api/v1" + path, headers={"Authorization": f"Bearer {token or self.token}"})
        return status, json.loads(body)

    def good(self, path, **query):
        status, value = self.api(path, **query)
        assert status == 200, (path, status, value)
        return value

    def raw(self, data):
        with socket.create_connection(("localhost", self.port), timeout=DEADLINE) as s:
            s.sendall(data)
            got = b""
            while chunk := s.recv(65536):
                got += chunk
        return got

    def link(self):
        status, _, body = self.ask("POST", "/api/v1/login-links", headers={"Authorization": f"Bearer {self.token}"})
        assert status == 201, body
        return json.loads(body)

    def sign_in(self):
        code = self.link()["code"]
        status, headers, _ = self.ask("GET", f"/?login={code}")
        assert status == 303 and headers["location"] == "/", (status, headers)
        return headers["set-cookie"].split(";")[0]


# ---- schemas ----

def resolve(schema):
    while "$ref" in schema:
        schema = OPENAPI["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


KINDS = {"string": str, "number": (int, float), "integer": int, "boolean": bool, "array": list, "object": dict, "null": type(None)}


def hold(value, schema, where):
    """The part of JSON Schema that docs/openapi.json uses; and no member that it does not name."""
    schema = resolve(schema)
    kinds = schema.get("type")
    if kinds is not None:
        kinds = [kinds] if isinstance(kinds, str) else kinds
        fits = any(isinstance(value, KINDS[k]) and not (isinstance(value, bool) and k != "boolean") for k in kinds)
        assert fits, f"{where} is {value!r}, not {kinds}"
    if value is None:
        return
    if "enum" in schema:
        assert value in schema["enum"], f"{where} is {value!r}"
    if "const" in schema:
        assert value == schema["const"], f"{where} is {value!r}"
    if schema.get("format") == "date-time":
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value), f"{where} is {value!r}"
    if "pattern" in schema:
        assert re.search(schema["pattern"], value), f"{where} is {value!r}"
    if isinstance(value, list):
        for i, item in enumerate(value):
            hold(item, schema["items"], f"{where}[{i}]")
    if isinstance(value, dict):
        missing = set(schema.get("required", [])) - set(value)
        assert not missing, f"{where} has no {missing}"
        named = schema.get("properties")
        for key, item in value.items():
            if named is not None and key in named:
                hold(item, named[key], f"{where}.{key}")
            elif "additionalProperties" in schema:
                hold(item, schema["additionalProperties"], f"{where}.{key}")
            else:
                assert named is None, f"{where}.{key} is not described"


EXAMPLES = {"/gateways/{NAME}": "/gateways/gw-1", **{f"/gateways/{{NAME}}/{what}": f"/gateways/gw-1/{what}" for what in
                                                      ("refusals", "sessions", "trace", "drain", "undrain")},
            "/grants/{NAME}": "/grants/hmi", "/grants/{NAME}/withdraw": "/grants/hmi/withdraw",
            "/devices/{NAME}": "/devices/press-001", "/devices/{NAME}/entries": "/devices/press-001/entries",
            "/devices/{NAME}/links": "/devices/press-001/links", "/devices/{NAME}/boots": "/devices/press-001/boots",
            "/data/series": "/data/series?device=press-001", "/data/last": "/data/last?device=press-001",
            "/data/points": "/data/points?device=press-001&stream=s&name=temperature&limit=5",
            "/data/buckets": "/data/buckets?device=press-001&stream=s&name=temperature&buckets=7"}


# Asked of a running gateway: gateways.py holds their answers against the same description.
OF_A_GATEWAY = ("/gateways/{NAME}", "/gateways/{NAME}/refusals", "/gateways/{NAME}/sessions", "/gateways/{NAME}/trace")


def test_every_described_route_answers_as_described(site):
    """Every GET of docs/openapi.json exists, and its answer holds what its schema says and nothing else."""
    for path, methods in OPENAPI["paths"].items():
        if "get" not in methods or path == "/events" or path in OF_A_GATEWAY:
            continue
        content = methods["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        hold(site.good(EXAMPLES.get(path, path)), content, path)


def test_every_route_is_described(site):
    """The routes in the source and those in docs/openapi.json are the same, with the same rights."""
    source = (TOP / "src" / "role" / "control_api.c").read_text()
    rows = re.findall(r'\{HTTP_(\w+),\s*"([^"]+)",\s*(\w+),', source)
    assert len(rows) > 10
    words = {"0": None, "ACCESS_READ": "read", "ACCESS_OPERATE": "operate", "ACCESS_ADMIN": "admin"}
    have = {(m.lower(), p, words[n]) for m, p, n in rows}
    told = {(m, re.sub(r"\{\w+\}", "*", p), d.get("x-needs")) for p, ms in OPENAPI["paths"].items() for m, d in ms.items()}
    assert have == told, have ^ told


def test_errors_have_code_title_why_and_do(site):
    """Each refusal is a problem as docs/openapi.json describes it, with the status and code of its case."""
    problem = OPENAPI["components"]["schemas"]["Problem"]
    problem = {**problem, "properties": {**problem["properties"], "suggestion": {"type": ["string", "null"]}, "at": {"type": "integer"}}}
    rows = [
        ("/nothing", 404, "HF-3002"), ("/devices/nobody", 404, "HF-3001"), ("/devices/nobody/entries", 404, "HF-3001"),
        ("/devices?q=stat:unknown", 400, "HF-3102"), ("/devices?q=(", 400, "HF-3102"), ("/devices?q=%zz", 400, "HF-3004"),
        ("/devices?q=%ff", 400, "HF-3101"), ("/devices?q=" + "a" * 1100, 400, "HF-3101"), ("/devices?sort=colour", 400, "HF-3104"),
        ("/devices?limit=0", 400, "HF-3101"), ("/devices?limit=201", 400, "HF-3101"), ("/devices?limit=x", 400, "HF-3101"),
        ("/devices?cursor=zzz", 400, "HF-3103"), ("/devices?cursor=p:-1", 400, "HF-3103"), ("/data/series", 400, "HF-3101"),
        ("/data/series?device=nobody", 404, "HF-3001"), ("/data/points?series=999999", 404, "HF-3105"),
        ("/data/points?series=-1", 400, "HF-3101"), ("/data/points", 400, "HF-3101"), ("/data/points?device=press-001", 400, "HF-3101"),
        ("/data/points?device=press-001&stream=s&name=colour", 404, "HF-3105"), ("/data/points?series=1&from=yesterday", 400, "HF-3101"),
        ("/data/points?series=1&cursor=1", 400, "HF-3103"), ("/data/points?series=1&limit=10001", 400, "HF-3101"),
        ("/data/buckets?series=1&buckets=0", 400, "HF-3101"), ("/data/buckets?series=1&from=5&to=5", 400, "HF-3101"),
        ("/data/buckets?series=1&from=-8640000000000000&to=8640000000000000", 400, "HF-3101"),
        ("/deadletters?device=nobody", 404, "HF-3001"), ("/events?since=x", 400, "HF-3101"), ("/events?device=nobody", 404, "HF-3001"),
        ("/devices/%00", 400, "HF-3101"), ("/devices/", 404, "HF-3002"), ("/login", 405, "HF-3003"), ("/devices/a/b/c", 404, "HF-3002"),
        ("/grants/nobody", 404, "HF-3604"), ("/gateways/nobody", 404, "HF-3701"),
        ("/gateways/nobody/sessions", 404, "HF-3701"), ("/grants/" + "a" * 200, 404, "HF-3604"),
    ]
    for path, status, code in rows:
        got, value = site.api(path)
        assert (got, value.get("code")) == (status, code), (path, got, value)
        hold(value, problem, path)
        assert value["status"] == status
    _, value = site.api("/devices", q="gatway:gw-1")
    assert value["suggestion"] == "gateway" and value["at"] == 0 and "gateway" in value["why"], value


def test_lists_are_filtered_sorted_and_cut_on_the_server(site):
    """Pages of a list, one behind the other, are the whole list once, in every order; total counts all that match."""
    whole = [d["name"] for d in site.good("/devices")["items"]]
    assert whole == sorted(whole) and len(whole) == 20
    for sort in ("name", "-name", "last_seen", "-points_per_s", "state", "gateway", "boot"):
        names, cursor, pages = [], None, 0
        while cursor is not None or pages == 0:
            page = site.good("/devices", sort=sort, limit=7, **({"cursor": cursor} if cursor else {}))
            assert page["total"] == 20
            names += [d["name"] for d in page["items"]]
            cursor, pages = page["next"], pages + 1
        assert sorted(names) == whole and pages == 3, (sort, names)
    assert [d["name"] for d in site.good("/devices", sort="-name")["items"]] == whole[::-1]
    for sort in ("name", "-last_seen"):
        all_of = site.good("/devices", sort=sort)["items"]
        middle = site.good("/devices", sort=sort, limit=5, cursor="p:9")["items"]
        assert [d["name"] for d in middle] == [d["name"] for d in all_of[9:14]], sort
    assert site.good("/devices", cursor="p:99")["items"] == []
    site.gateways_report()
    some = site.good("/devices", q="state:degraded OR connected:no", limit=1)
    assert some["total"] == 4 and len(some["items"]) == 1 and some["next"]
    assert {d["state"] for d in site.good("/devices", q="state:degraded")["items"]} == {"degraded"}
    assert [d["name"] for d in site.good("/devices", q="press-003")["items"]] == ["press-003"]


def test_list_detail_and_fleet_tell_the_same(site):
    """A device's row is the same in list and detail, and the fleet's totals are those of the list."""
    rows = site.good("/devices")["items"]
    fleet = site.good("/fleet")
    for row in rows:
        detail = site.good("/devices/" + row["name"])
        for key in set(row) - {"last_seen_age_s"}:
            assert detail[key] == row[key], (row["name"], key)
        assert (detail["state_why"] == "") == (detail["state"] == "healthy")
    for state, count in fleet["states"].items():
        assert count == sum(r["state"] == state for r in rows)
    for identity, count in fleet["identities"].items():
        assert count == sum(r["identity"] == identity for r in rows)
    assert fleet["connected"] == sum(r["connected"] for r in rows) and fleet["total"] == len(rows)
    for kind, key in (("gateway", "gateway"), ("model", "model"), ("version", "agent")):
        for cohort in fleet["cohorts"][kind]:
            assert cohort["devices"] == sum(r[key] == cohort["name"] for r in rows)
    assert {a["severity"] for a in fleet["attention"]} == {"unknown", "degraded"}
    for notice in fleet["attention"]:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(notice["href"]).query)["q"][0]
        assert str(site.good("/devices", q=query)["total"]) in notice["what"]


def test_points_come_whole_in_order_and_once(site):
    """600 points, page by page, are the 600 in order; buckets count them all; a shorter time gives fewer."""
    points, cursor = [], None
    while cursor is not None or not points:
        page = site.good("/data/points", series=1, limit=77, **({"cursor": cursor} if cursor else {}))
        points += page["items"]
        cursor = page["next"]
    times = [p["time"] for p in points]
    assert len(points) == 600 and times == sorted(set(times))
    buckets = site.good("/data/buckets", series=1, buckets=13)
    assert sum(buckets["count"]) == 600 and len(buckets["t"]) == 13
    assert abs(min(p["value"] for p in points) - min(buckets["min"])) < 1e-12
    some = site.good("/data/points", series=1, from_=times[100], to=times[110])
    assert [p["time"] for p in some["items"]] == times[100:110]
    empty = site.good("/data/buckets", series=1, from_="2001-01-01T00:00:00Z", to="2001-01-02T00:00:00Z", buckets=3)
    assert empty["count"] == [0, 0, 0] and empty["min"] == [None] * 3


def test_what_ingest_commits_is_seen(site):
    """New points in the store are in last values, rows and totals without a restart, and the first use of a certificate is an entry."""
    before = site.good("/devices/press-001")
    assert before["identity"] == "active" and before["certificates"][0]["state"] == "in-use"
    assert any(e["kind"] == "certificate-seen" for e in before["entries"])
    never = site.good("/devices/press-020")
    assert never["state"] == "unknown" and never["identity"] == "enrolled" and never["last_seen"] is None
    site.add("press-001", 5)
    site.add("press-020", 5)
    wait_for(lambda: site.good("/devices/press-001")["points"] == before["points"] + 10, "the new points are counted")
    wait_for(lambda: site.good("/devices/press-020")["identity"] == "active", "the new device is active")
    assert site.good("/data/points", series=1, limit=10000)["total"] == 605


# ---- signing in ----

def test_nothing_is_told_to_who_is_not_signed_in(site):
    """Every route but the sign-in answers 401 without a credential and with a wrong one, and 403 without the right."""
    wrong = site.token[:-1] + ("0" if site.token[-1] != "0" else "1")
    for path, methods in OPENAPI["paths"].items():
        for method, described in methods.items():
            if "x-needs" not in described:
                continue
            url = "/api/v1" + EXAMPLES.get(path, path)
            status, _, body = site.ask(method.upper(), url)
            assert status == 401 and json.loads(body)["code"] == "HF-3301", (path, status)
            for bearer in (wrong, "", "hft_", site.token + "0", site.token.replace("hft", "hfs")):
                status, _, body = site.ask(method.upper(), url, headers={"Authorization": f"Bearer {bearer}"})
                assert status == 401, (path, bearer, status)
            if described["x-needs"] != "read":
                status, _, body = site.ask(method.upper(), url, headers={"Authorization": f"Bearer {site.reader}"})
                assert status == 403 and json.loads(body)["code"] == "HF-3304", (path, status)


def test_a_login_link_works_once(site):
    """The first use gives a session, every further one and every wrong one goes to the sign-in page."""
    link = site.link()
    assert link["url"] == f"{site.origin}/?login={link['code']}"
    status, headers, _ = site.ask("GET", f"/?login={link['code']}")
    assert status == 303 and headers["location"] == "/"
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie
    assert cookie.startswith(f"holdfast_session_{site.port}=")
    status, _, body = site.ask("GET", "/api/v1/whoami", headers={"Cookie": "a=b; " + cookie.split(";")[0]})
    assert status == 200 and json.loads(body)["name"] == "operator-1"
    for code in (link["code"], "0000-0000-0000-0000", "", "%00", "a" * 300):
        status, headers, _ = site.ask("GET", f"/?login={code}")
        assert status == 303 and headers["location"].startswith("/login") and "set-cookie" not in headers, code


def test_a_session_survives_a_restart_and_ends_with_logout(site):
    """Sessions are in the registry: kill -9 leaves them, logout ends them for good."""
    cookie = site.sign_in()
    site.stop(signal.SIGKILL)
    site.start()
    # The site's port is another one now, and so is the name of its cookie: what it holds is the same.
    cookie = f"holdfast_session_{site.port}=" + cookie.split("=", 1)[1]
    status, _, _ = site.ask("GET", "/api/v1/whoami", headers={"Cookie": cookie})
    assert status == 200
    own = {"Cookie": cookie, "Origin": site.origin, "X-Holdfast": "1"}
    status, headers, _ = site.ask("POST", "/api/v1/logout", headers=own)
    assert status == 204 and "Max-Age=0" in headers["set-cookie"]
    status, _, body = site.ask("GET", "/api/v1/whoami", headers={"Cookie": cookie})
    assert status == 401 and json.loads(body)["code"] == "HF-3302"


def test_a_cookie_changes_nothing_for_another_site(site):
    """With a cookie a change needs our Origin and X-Holdfast; another Origin gets nothing at all."""
    cookie = site.sign_in()
    own = {"Cookie": cookie, "Origin": site.origin, "X-Holdfast": "1"}
    for change in ({"Origin": None}, {"X-Holdfast": None}, {"Origin": "http://evil.example"}, {"Origin": "null"},
                   {"Origin": site.origin + "0"}, {"X-Holdfast": "0"}, {"Sec-Fetch-Site": "cross-site"}):
        headers = {k: v for k, v in {**own, **change}.items() if v is not None}
        status, _, body = site.ask("POST", "/api/v1/login-links", headers=headers)
        assert status == 403 and json.loads(body)["code"] == "HF-3303", (change, status)
    status, _, _ = site.ask("GET", "/api/v1/devices", headers={"Cookie": cookie, "Origin": "http://evil.example"})
    assert status == 403
    status, _, _ = site.ask("POST", "/api/v1/login-links", headers=own)
    assert status == 201


def test_signing_in_by_code_needs_the_console_and_is_slowed(site):
    """POST /login takes a code once, from our own pages only; after twenty wrong codes in a minute it looks at none."""
    own = {"Origin": site.origin, "X-Holdfast": "1", "Content-Type": "application/json"}
    code = site.link()["code"]
    body = json.dumps({"token": code.lower().replace("-", "")})
    status, _, _ = site.ask("POST", "/api/v1/login", body, {**own, "Origin": "http://evil.example"})
    assert status == 403
    status, headers, answer = site.ask("POST", "/api/v1/login", body, own)
    assert status == 200 and "set-cookie" in headers and json.loads(answer)["name"] == "operator-1"
    status, _, answer = site.ask("POST", "/api/v1/login", body, own)
    assert status == 401 and json.loads(answer)["code"] == "HF-3305"
    for bad in ("", "{", "[]", "{}", '{"token":1}', '{"token":"a","token":"b"}', '{"token":"a","x":1}', '{"token":"a"} 1'):
        status, _, answer = site.ask("POST", "/api/v1/login", bad, own)
        assert status == 400 and json.loads(answer)["code"] == "HF-3005", (bad, status)
    status, _, answer = site.ask("POST", "/api/v1/login", body, {**own, "Content-Type": "text/plain"})
    assert status == 415
    tries = [site.ask("POST", "/api/v1/login", '{"token":"0000-0000-0000-0000"}', own)[0] for _ in range(45)]
    assert 429 in tries and set(tries) == {401, 429}, tries


# ---- events ----

class Stream:
    def __init__(self, site, query=""):
        self.socket = socket.create_connection(("localhost", site.port), timeout=DEADLINE)
        self.socket.sendall(f"GET /api/v1/events{query} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {site.token}\r\n\r\n".encode())
        self.file = self.socket.makefile("rb")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.file.readline()
        assert b" 200 " in head and b"text/event-stream" in head, head

    def next(self, kind, accept=lambda data: True):
        """The next event of a kind that is accepted: (id, data)."""
        event = {}
        while True:
            line = self.file.readline().decode()
            assert line != "", "the stream ended"
            if line == "\n":
                if event.get("event") == kind and accept(data := json.loads(event["data"])):
                    return int(event["id"]), data
                event = {}
            elif not line.startswith(":"):
                key, _, value = line.rstrip("\n").partition(": ")
                event[key] = value

    def close(self):
        self.socket.close()


def test_a_stream_tells_what_changed_and_goes_on_where_it_was(site):
    """A change comes as one row; a stream that is opened again with the last id gets what it missed, and no older row."""
    stream = Stream(site)
    site.add("press-003", 5)
    seen, row = stream.next("device")
    assert row["name"] == "press-003"
    hold({k: v for k, v in row.items() if k != "now"}, OPENAPI["components"]["schemas"]["Device"], "row")
    _, part = stream.next("fleet")
    for key, value in part.items():
        if key not in ("v", "now"):
            hold(value, OPENAPI["components"]["schemas"]["Fleet"]["properties"][key], key)
    stream.close()
    site.add("press-004", 5)
    site.add("press-005", 5)
    wait_for(lambda: site.good("/devices/press-005")["points"] == 1210, "the new points are counted")
    stream = Stream(site, f"?since={seen}")
    first, row = stream.next("device")
    second, other = stream.next("device")
    assert [row["name"], other["name"]] == ["press-004", "press-005"] and seen < first < second
    stream.close()


def test_an_id_of_an_earlier_process_gets_every_row(site):
    """After a restart of control a browser that resumes misses nothing."""
    stream = Stream(site)
    site.add("press-003", 5)
    seen, _ = stream.next("device")
    stream.close()
    site.stop()
    site.start()
    stream = Stream(site, f"?since={seen}")
    names = {stream.next("device")[1]["name"] for _ in range(20)}
    assert len(names) == 20
    stream.close()


def test_a_device_stream_has_its_last_values_and_nobody_elses(site):
    """With ?device= there are only that device's rows and points."""
    stream = Stream(site, "?device=press-006")
    site.add("press-007", 5)
    site.add("press-006", 5)
    _, row = stream.next("device")
    assert row["name"] == "press-006"
    _, points = stream.next("point")
    assert {p["name"] for p in points["items"]} == {"temperature", "pressure"}
    for item in points["items"]:
        hold(item, OPENAPI["components"]["schemas"]["Last"], "point")
    last = {i["name"]: i["value"] for i in site.good("/data/last", device="press-006")["items"]}
    assert last == {i["name"]: i["value"] for i in points["items"]}
    stream.close()


def test_streams_have_a_limit(site):
    """The 65th stream is refused with 503, and one that goes makes room."""
    streams = [Stream(site) for _ in range(64)]
    status, value = site.api("/events")
    assert status == 503 and value["code"] == "HF-3008"
    streams.pop().close()
    wait_for(lambda: b"holdfast_api_streams 63" in site.ask("GET", "/metrics", port=site.metrics_port)[2], "the stream is gone")
    streams.append(Stream(site))
    for stream in streams:
        stream.close()


# ---- the console, metrics, bad input ----

HEADERS = {"content-security-policy": "default-src 'none'", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer",
           "cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin"}


def test_the_consoles_files_are_those_of_web(site):
    """Every file below web/ comes byte for byte, plain and gzip, with its ETag and the headers that bind the browser."""
    import gzip
    count = 0
    for file in sorted((TOP / "web").rglob("*")):
        if file.is_dir():
            continue
        path = "/" + str(file.relative_to(TOP / "web"))
        status, headers, body = site.ask("GET", path)
        assert status == 200 and body == file.read_bytes(), path
        for name, begin in HEADERS.items():
            assert headers[name].startswith(begin), (path, name)
        assert "unsafe" not in headers["content-security-policy"]
        status, packed, body = site.ask("GET", path, headers={"Accept-Encoding": "br, gzip"})
        if packed.get("content-encoding") == "gzip":
            assert gzip.decompress(body) == file.read_bytes() and packed["etag"] != headers["etag"], path
        for etag in (headers["etag"], packed["etag"], "W/" + headers["etag"]):
            status, _, body = site.ask("GET", path, headers={"If-None-Match": etag})
            assert status == 304 and body == b"", path
        count += 1
    assert count > 10
    index = (TOP / "web" / "index.html").read_bytes()
    for route in ("/", "/login", "/devices", "/devices?q=state%3Aunknown", "/devices/press-001", "/devices/a%20b"):
        status, headers, body = site.ask("GET", route)
        assert status == 200 and body == index and headers["content-type"].startswith("text/html"), route
    for path in ("/nothing", "/../etc/passwd", "/devices/a/b", "/%2e%2e/x", "/views/", "/api", "/api/v2/x"):
        assert site.ask("GET", path)[0] == 404, path
    assert site.ask("POST", "/", b"")[0] == 405
    status, headers, _ = site.ask("GET", "/devices?q=a", headers={"Host": f"127.0.0.1:{site.port}"})
    assert status == 303 and headers["location"] == f"{site.origin}/devices?q=a"


SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\.)*",?)*\})? (-?[0-9.e+-]+|NaN|[+-]Inf)$')


def test_metrics_are_the_sum_of_all_roles_in_a_valid_form(site):
    """Each family once with help and type, its samples together, none twice; counters of two roles are added; no device's name."""
    for role, value in (("gw-1", 3), ("gw-2", 4)):
        pathlib.Path(site.dir, "run", f"{role}.metrics").write_text(
            "# HELP holdfast_gateway_sessions Live MQTT sessions.\n# TYPE holdfast_gateway_sessions gauge\n"
            f"holdfast_gateway_sessions {value}\n# HELP holdfast_gateway_refusals_total Refused.\n"
            f'# TYPE holdfast_gateway_refusals_total counter\nholdfast_gateway_refusals_total{{reason="expired"}} {value}\nbroken line\n'
            f"# HELP holdfast_reports_total Reports.\n# TYPE holdfast_reports_total counter\nholdfast_reports_total {value}\n")
    wait_for(lambda: len(site.good("/gateways")["items"]) == 2, "the gateways are seen")
    status, headers, body = site.ask("GET", "/metrics", port=site.metrics_port)
    text = body.decode()
    assert status == 200 and headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8" and text.endswith("\n")
    kinds, helps, family, seen, done = {}, set(), None, set(), set()
    for line in text.splitlines():
        if line.startswith("# "):
            _, word, name, rest = line.split(" ", 3)
            assert (word == "TYPE" and name not in kinds) or (word == "HELP" and name not in helps), line
            if word == "TYPE":
                assert rest in ("counter", "gauge", "histogram") and (rest != "counter" or name.endswith("_total")), line
                kinds[name] = rest
            else:
                helps.add(name)
            if name != family:
                done.add(family)
                assert name not in done, f"{name} stands twice"
                family = name
            continue
        match = SAMPLE.match(line)
        assert match, line
        name, labels = match.group(1), match.group(2) or ""
        base = re.sub(r"_(bucket|sum|count)$", "", name) if kinds.get(name) is None else name
        assert base == family and kinds[base] and base in helps, line
        assert (name, labels) not in seen, line
        seen.add((name, labels))
        assert "press-" not in line and "hf1:" not in line, line
    assert 'holdfast_gateway_sessions 7\n' in text and 'holdfast_gateway_refusals_total{reason="expired"} 7\n' in text
    assert 'holdfast_devices{state="unknown"} 2\n' in text and "holdfast_invariant_violations_total" in text
    assert 'holdfast_api_seconds_bucket{le="+Inf"}' in text and 'holdfast_store_dead_letters_total{reason="bad-mac"} 1\n' in text
    fleet = site.good("/fleet")
    assert fleet["refusals"][0]["reason"] == "expired" and fleet["refusals"][0]["total"] == 7
    assert {g["name"]: g["sessions"] for g in fleet["gateways"]} == {"gw-1": 3, "gw-2": 4}
    assert site.ask("GET", "/", port=site.metrics_port)[0] == 404
    assert site.ask("POST", "/metrics", port=site.metrics_port)[0] == 405


def test_a_gateway_that_stops_reporting_is_silent_and_its_gauges_go(site):
    """An old file proves nothing: after 10 s without a new report the gateway is silent, told, and out of the sum."""
    file = pathlib.Path(site.dir, "run", "gw-1.metrics")
    for turn in (1, 2, 3):
        file.write_text(f"# TYPE holdfast_gateway_sessions gauge\nholdfast_gateway_sessions 3\nholdfast_reports_total {turn}\n")
        expected = ["connected"] if turn > 1 else ["unknown", "silent"]
        wait_for(lambda: [g["state"] for g in site.good("/gateways")["items"]][:1] in [[e] for e in expected], f"gw-1 is {expected}")
    wait_for(lambda: site.good("/gateways")["items"][0]["state"] == "silent", "gw-1 is silent")
    assert any("gw-1 is silent" in a["what"] for a in site.good("/fleet")["attention"])
    assert b"holdfast_gateway_sessions" not in site.ask("GET", "/metrics", port=site.metrics_port)[2]


def test_a_device_is_connected_only_while_its_gateway_reports(site):
    """By the word of a gateway that is silent a device is not connected: its link is unknown, in row, list, totals and detail."""
    assert site.good("/fleet")["connected"] == 0 and site.good("/devices/press-001")["link"] == "unknown"
    site.gateways_report()
    row = site.good("/devices/press-001")
    assert row["link"] == "connected" and row["connected"] and row["history"]["links"][0]["state"] == "connected", row
    assert site.good("/devices/press-010")["link"] == "silent"
    assert site.good("/fleet")["connected"] == site.good("/devices", q="connected:yes")["total"] == 18
    wait_for(lambda: site.good("/devices/press-001")["link"] == "unknown", "the link of a silent gateway's device is unknown")
    row = site.good("/devices/press-001")
    assert not row["connected"] and row["linked_at"] is None and row["history"]["links"][0]["state"] == "unknown", row
    assert site.good("/fleet")["connected"] == 0


def test_where_a_device_was_linked_and_how_that_ended_is_told(site):
    """Links and boots of a device, newest first, in detail and in pages of their own."""
    detail = site.good("/devices/press-010")
    last, before = detail["history"]["links"]
    assert (last["gateway"], last["state"], last["why"]) == ("gw-2", "silent", "lost") and last["until"] > last["from"], last
    assert (before["gateway"], before["why"]) == ("gw-3", "keep alive") and before["until"] < last["from"], before
    first = site.good("/devices/press-010/links", limit=1)
    assert first["items"] == [last]
    assert site.good("/devices/press-010/links", limit=1, cursor=first["next"])["items"] == [before]
    assert [b["boot"] for b in detail["history"]["boots"]] == [3, 2, 1]
    page = site.good("/devices/press-010/boots", limit=2)
    assert [b["boot"] for b in page["items"]] == [3, 2] and page["next"]
    page = site.good("/devices/press-010/boots", limit=2, cursor=page["next"])
    assert [b["boot"] for b in page["items"]] == [1] and page["next"] is None
    assert site.good("/status")["host"] == socket.gethostname()


def test_a_gateways_clock_is_compared_with_ours(site):
    """The offset of a gateway's wall clock, and that it is unknown where its report has no clock or an impossible one."""
    def told():
        return {g["name"]: (g["clock_offset_s"], g["clock_quality"]) for g in site.good("/gateways")["items"]}
    site.report("gw-1", 1, int(time.time() * 1000) - 3410)
    site.report("gw-2", 1)
    wait_for(lambda: len(told()) == 2, "the gateways are seen")
    assert abs(told()["gw-1"][0] + 3.41) < 0.2 and abs(told()["gw-2"][0]) < 0.2 and told()["gw-1"][1] == "synced", told()
    pathlib.Path(site.dir, "run", "gw-1.metrics").write_text("holdfast_gateway_sessions 3\nholdfast_reports_total 9\n")
    wait_for(lambda: told()["gw-1"] == (None, "unknown"), "no clock, no offset")


def test_http_that_could_be_read_in_two_ways_is_refused(site):
    """Each class of smuggling gets a 400 with its rule and the end of the connection; what stands behind is not read."""
    behind = b"GET /api/v1/whoami HTTP/1.1\r\nHost: localhost\r\n\r\n"
    rows = [b"GET / HTTP/1.1\nHost: a\n\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n"]
    for row in rows:
        got = site.raw(row + behind)
        assert got.startswith(b"HTTP/1.1 400 ") and got.count(b"HTTP/1.1 ") == 1, (row, got[:200])
        problem = json.loads(got.split(b"\r\n\r\n", 1)[1])
        assert problem["code"] == "HF-3004" and len(problem["why"]) > 10
    got = site.raw(b"POST /api/v1/login HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 413 ") and b"HF-3006" in got
    got = site.raw(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20000 + b"\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 431 ")


def test_control_stops_cleanly_and_its_files_are_nobody_elses(site):
    """SIGTERM ends it with 0; registry and store are readable by their owner alone; credentials are kept as digests."""
    cookie = site.sign_in()
    assert site.stop() == 0
    for file in pathlib.Path(site.dir, "control").iterdir():
        assert file.stat().st_mode & 0o077 == 0, file
        data = file.read_bytes()
        assert site.token.encode() not in data and cookie.split("=", 1)[1].encode() not in data
    log = pathlib.Path(site.dir, "log").read_text().splitlines()
    assert [line for line in log if " keeps rights to " not in line] == [], log  # builds with sanitizers say so
    site.start()


def main():
    wanted = sys.argv[1:]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    base = tempfile.mkdtemp(prefix="holdfast-api-")
    for name, test in [(n, t) for n, t in globals().items() if n.startswith("test_")]:
        if wanted and not any(w in name for w in wanted):
            continue
        site = None
        try:
            site = Site(f"{base}/{name}")
            test(site)
            counts["passed"] += 1
        except Exception as why:
            print(f"FAILED {name}: {test.__doc__}\n  {type(why).__name__}: {why}")
            traceback.print_exc(limit=-2)
            if site is not None:
                print("  log:", pathlib.Path(site.dir, "log").read_text()[-3000:])
            counts["failed"] += 1
        finally:
            if site is not None and site.process.poll() is None and site.stop() != 0:
                print(f"FAILED {name}: control ended with {site.process.returncode}")
                print("  log:", pathlib.Path(site.dir, "log").read_text()[-3000:])
                counts["failed"] += 1
    shutil.rmtree(base, ignore_errors=True)
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % counts)
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
