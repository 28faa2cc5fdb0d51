#!/usr/bin/env python3
"""The conformance suite: every test against one server, in both versions of MQTT.

  run.py mosquitto | gateway [WORD]...                     starts it, runs the tests whose names contain one of the words
  run.py --address HOST:PORT [--ca FILE [--certificate FILE --key FILE]] [--root TOPIC/] [WORD]...    a server that runs already
  run.py --list                                            what there is, with the statements each test shows

Options: --slow no (leaves out what takes seconds of time), --threads N. What a server is known not to do is in
known/NAME.txt, a test a line with the reason: it is run all the same, and one that works by now fails the run. A line `*` stands
for all tests, until most of them work.
"""
import concurrent.futures
import importlib
import pathlib
import sys
import threading
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import case  # noqa: E402
import servers  # noqa: E402

for module in sorted(HERE.glob("case_*.py")):
    importlib.import_module(module.stem)

VERSION = {4: "3.1.1", 5: "5.0"}


def known_of(name):
    """{test [version]: reason}"""
    path = HERE / "known" / f"{name}.txt"
    if not path.exists():
        return {}
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {key.strip(): reason.strip() for key, _, reason in (line.partition(":") for line in lines)}


class Run:
    def __init__(self, server, known):
        self.server, self.known = server, known
        self.lock = threading.Lock()
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}
        self.used = set()

    def one(self, test, version):
        one = case.Case(self.server, version)
        began = time.monotonic()
        words = None
        try:
            test.function(one)
        except Exception as why:
            words = f"{type(why).__name__}: {why}"
            if not isinstance(why, AssertionError):
                words += "\n" + traceback.format_exc(limit=-4)
            else:
                places = [f for f in traceback.extract_tb(why.__traceback__) if "case_" in f.filename]
                words = f"{pathlib.Path(places[-1].filename).name}:{places[-1].lineno}: {words}" if places else words
        finally:
            try:
                one.close()
            except OSError:
                pass
        self.tell(test, version, words, time.monotonic() - began)

    def tell(self, test, version, words, took):
        keys = [test.name, f"{test.name} {VERSION[version]}"]
        key = next((k for k in [*keys, "*"] if k in self.known), None)
        with self.lock:
            if words is None and key is None:
                self.counts["passed"] += 1
            elif words is None:
                self.used.add((key, True))
                self.counts["passed"] += 1
            elif key is not None:
                self.used.add((key, False))
                self.counts["skipped"] += 1
                if key != "*":
                    print(f"skipped: {test.name} {VERSION[version]}: {self.known[key]}")
            else:
                self.counts["failed"] += 1
                print(f"FAILED {test.name} {VERSION[version]} ({took:.1f} s)\n  {words}", flush=True)

    def end(self, is_whole):
        """What is known not to work, and works: the list is older than the server."""
        for key in self.known if is_whole else ():
            if key == "*":
                print(f"skipped: {self.counts['skipped']} tests: {self.known[key]}")
                is_old = self.counts["passed"] > self.counts["skipped"]
            else:
                is_old = (key, False) not in self.used
            if is_old:
                print(f"FAILED {key}: is said not to work and does")
                self.counts["failed"] += 1


def option(args, name, default=None):
    if name not in args:
        return default
    at = args.index(name)
    value = args[at + 1]
    del args[at:at + 2]
    return value


def main():
    args = sys.argv[1:]
    if "--list" in args:
        for test in case.TESTS:
            print(f"{test.name}: {' '.join(test.v5)}" + (f"; 3.1.1: {' '.join(test.v3)}" if test.v3 else ""))
        return 0
    threads, slow = int(option(args, "--threads", "8")), option(args, "--slow", "yes") == "yes"
    address, root = option(args, "--address"), option(args, "--root", "conformance/")
    ca, certificate, key = (option(args, name) for name in ("--ca", "--certificate", "--key"))
    if address:
        server = servers.Outside(address, ca, certificate, key, root)
    else:
        server = {"mosquitto": servers.Mosquitto, "gateway": servers.Gateway}[args.pop(0)]()
    run = Run(server, known_of(server.name))
    try:
        chosen = [(t, v) for t in case.TESTS for v in t.versions
                  if (not args or any(w in t.name for w in args)) and (slow or not t.slow)
                  and (not t.restarts or hasattr(server, "kill"))]
        chosen.sort(key=lambda tv: (tv[0].restarts, not tv[0].slow))
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:  # those that restart the server come last and alone
            list(pool.map(lambda tv: run.one(*tv), [tv for tv in chosen if not tv[0].restarts]))
        for test, version in chosen:
            if test.restarts:
                run.one(test, version)
        run.end(not args and slow)
    finally:
        server.stop()
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % run.counts)
    return 1 if run.counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
