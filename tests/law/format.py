#!/usr/bin/env python3
"""Every C file is as clang-format leaves it. Usage: format.py [BUILD_DIR, unused]"""
import pathlib
import shutil
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]


def main():
    if shutil.which("clang-format") is None:
        print("skipped: clang-format is not installed")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    files = subprocess.run(["git", "ls-files", "*.c", "*.h"], cwd=TOP, capture_output=True, text=True).stdout.split()
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", *files], cwd=TOP, capture_output=True, text=True)
    wrong = sorted({line.split(":")[0] for line in done.stderr.splitlines() if "error:" in line})
    for name in wrong:
        print(f"{name}: clang-format -i would change it")
    print(f"{len(files)} files looked at")
    print(f"{0 if wrong else 1} passed, {1 if wrong else 0} failed, 0 skipped")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
