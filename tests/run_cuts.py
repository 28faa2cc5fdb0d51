#!/usr/bin/env python3
"""Power cuts and failing calls over everything durable (tests/cuts), on as many cores as there are.
Prints a line of figures for each thing and their sum. Usage: run_cuts.py BUILD_DIR WHAT [long]; WHAT: cuts, failures, rot"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time

LAST = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", re.M)
FIGURE = re.compile(r"(\d+) (operations|cuts|states|left out|violations|calls failed|recoveries|told|kept)\b")
LIMIT_S = 900


def run(program, options, what, name):
    command = [str(program), *options, what, name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=LIMIT_S)
        return name, done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as late:
        return name, 124, str(late.stdout or ""), f"no end within {LIMIT_S} s"


def main():
    folder = pathlib.Path(sys.argv[1]) / "cuts"
    what = sys.argv[2]
    options = ["--long"] if "long" in sys.argv[3:] else []
    things = []
    for program in [folder / "enrol_cuts"] * (what == "cuts") + [folder / "power_cuts"]:
        listed = subprocess.run([str(program), "--list"], capture_output=True, text=True, check=True)
        things += [(program, name) for name in listed.stdout.split()]
    began = time.monotonic()
    passed = failed = 0
    total = {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for name, code, out, err in pool.map(lambda t: run(t[0], options, what, t[1]), things):
            found = LAST.findall(out)
            good = code == 0 and found
            passed, failed = passed + int(found[-1][0] if good else 0), failed + (not good)
            for line in out.splitlines():
                if not LAST.match(line):
                    print(line)
            if not good:
                print(f"FAILED {what} {name} ({code})\n{err[-2000:]}")
            for number, unit in FIGURE.findall(out):
                total[unit] = total.get(unit, 0) + int(number)
    figures = ", ".join(f"{number} {unit}" for unit, number in total.items())
    print(f"figures: {figures}, {time.monotonic() - began:.0f} s")
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
