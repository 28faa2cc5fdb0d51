#!/usr/bin/env python3
"""Runs every unit test of a build, two at a time, and adds up what they say. Usage: run_units.py BUILD_DIR"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

LAST = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", re.M)
LIMIT_S = 300


def run(path):
    env = dict(os.environ, ASAN_OPTIONS="detect_leaks=1:abort_on_error=0", UBSAN_OPTIONS="print_stacktrace=1")
    try:
        done = subprocess.run([str(path)], capture_output=True, text=True, errors="replace", timeout=LIMIT_S, env=env)
        out, code = done.stdout + done.stderr, done.returncode
    except subprocess.TimeoutExpired as late:
        out, code = f"no end within {LIMIT_S} s\n{late.stdout or ''}", 124
    counts = [tuple(map(int, found)) for found in LAST.findall(out)]
    passed, failed, skipped = counts[-1] if counts else (0, 0, 0)
    if code != 0 and failed == 0:
        failed = 1
    if not counts and code == 0:
        failed = 1
        out += "\nsaid nothing of its tests"
    return path.name, passed, failed, skipped, out


def main():
    paths = sorted(p for p in (pathlib.Path(sys.argv[1]) / "unit").iterdir() if os.access(p, os.X_OK))
    total = [0, 0, 0]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for name, passed, failed, skipped, out in pool.map(run, paths):
            for i, n in enumerate((passed, failed, skipped)):
                total[i] += n
            if failed:
                print(f"--- {name}\n{out[-4000:]}")
            elif skipped:
                print("\n".join(line for line in out.splitlines() if "skipped" in line and not LAST.match(line)))
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return 1 if total[1] or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
