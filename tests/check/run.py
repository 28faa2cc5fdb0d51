#!/usr/bin/env python3
"""Each checker on histories by hand: good ones pass, each way of being wrong is found. Usage: run.py [CHECKER]"""
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import finding  # noqa: E402

CHECKERS = ("telemetry", "unique", "registry", "liveness", "invariants")


def main():
    passed = failed = 0
    for name in sys.argv[1:] or CHECKERS:
        module = __import__(name)
        good, bad = finding.prove(name, module.check, module.cases())
        print(f"{name}: {good} histories judged as they must be, {bad} not")
        passed, failed = passed + good, failed + bad
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
