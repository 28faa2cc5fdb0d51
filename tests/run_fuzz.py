#!/usr/bin/env python3
"""Every fuzz target over its corpus (sanitizer build), then for some seconds each on new input (fuzz build).
Usage: run_fuzz.py SANITIZE_BUILD [FUZZ_BUILD SECONDS]"""
import os
import pathlib
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[1]


def targets(build):
    folder = pathlib.Path(build) / "fuzz"
    return sorted(p for p in folder.iterdir() if os.access(p, os.X_OK) and p.is_file()) if folder.exists() else []


def corpus(name):
    folder = TOP / "tests" / "fuzz" / "corpus" / name
    return sorted(str(p) for p in folder.iterdir() if p.is_file()) if folder.exists() else []


def replay(path):
    files = corpus(path.name)
    if not files:
        print(f"{path.name}: has no corpus")
        return False
    done = subprocess.run([str(path), *files], capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        print(f"--- {path.name}\n{(done.stdout + done.stderr)[-3000:]}")
    return done.returncode == 0


def explore(path, seconds):
    with tempfile.TemporaryDirectory() as found:
        folder = TOP / "tests" / "fuzz" / "corpus" / path.name
        done = subprocess.run(
            [str(path), f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=2048",
             f"-artifact_prefix={found}/", "-print_final_stats=0", found, str(folder)],
            capture_output=True, text=True, errors="replace")
        if done.returncode != 0:
            print(f"--- {path.name}\n{done.stderr[-3000:]}")
            for crash in pathlib.Path(found).glob("crash-*"):
                print(f"input that breaks it, in hex: {crash.read_bytes()[:512].hex()}")
        return done.returncode == 0


def main():
    results = [replay(path) for path in targets(sys.argv[1])]
    if len(sys.argv) > 3:
        results += [explore(path, int(sys.argv[3])) for path in targets(sys.argv[2])]
    print(f"{results.count(True)} passed, {results.count(False)} failed, 0 skipped")
    return 1 if False in results or not results else 0


if __name__ == "__main__":
    sys.exit(main())
