#!/usr/bin/env python3
"""Histories: the real platform under trouble that a seed decides, judged by the strict checkers of tests/check.

Usage: histories.py [SCENE ...] [--seed N] [--long]     without a scene all of them, side by side
       histories.py SCENE --seed N --blame CHECKER      fails where this checker finds something, and only there
       histories.py --list

Without --seed it is derived from the commit, so that every commit plays histories of its own; the seed is printed and
plays the same schedule again. The log of a history that fails is kept, a line of JSON per event on the true time.
"""
import argparse
import importlib
import os
import pathlib
import subprocess
import sys
import time
import traceback

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests" / "history"), str(TOP / "tests" / "system"), str(TOP / "tests" / "check")]
AT_ONCE = 3


def scenes():
    """All but the quick one, which is the canaries'."""
    names = {p.stem.removeprefix("scene_") for p in (TOP / "tests" / "history").glob("scene_*.py")}
    return sorted(names - {"quick"})


def seed_of_commit():
    done = subprocess.run(["git", "rev-parse", "--short=8", "HEAD"], cwd=TOP, capture_output=True, text=True)
    return int(done.stdout.strip() or "1", 16) if done.returncode == 0 else 1


def play(name, seed, long):
    """One scene in this process; its last line says how it went."""
    scene = importlib.import_module(f"scene_{name}")
    began = time.monotonic()
    try:
        said = scene.play(seed, long)
    except Exception as error:
        print(f"FAILED {name} (seed {seed}): {error}")
        if type(error).__name__ != "Failed":
            traceback.print_exc()
        print("0 passed, 1 failed, 0 skipped")
        return 1
    skipped = said.startswith("skipped")
    print(f"{name}: {said} ({time.monotonic() - began:.1f} s)")
    print(f"{0 if skipped else 1} passed, 0 failed, {1 if skipped else 0} skipped")
    return 0


def start(name, seed, long):
    command = [sys.executable, "-u", __file__, name, "--alone", "--seed", str(seed)] + (["--long"] if long else [])
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")


def play_all(names, seed, long):
    """Side by side: most of a history is waiting for something to happen."""
    waiting, running, totals = list(names), {}, [0, 0, 0]
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            name = waiting.pop(0)
            running[name] = start(name, seed, long)
        for name, process in list(running.items()):
            if process.poll() is None and len(running) == AT_ONCE or not waiting and process.poll() is None:
                continue
            if process.poll() is not None:
                take(process, totals)
                del running[name]
        time.sleep(0.05)  # between looks at children, whose end is the event
    print("{} passed, {} failed, {} skipped".format(*totals))
    return 1 if totals[1] else 0


def take(process, totals):
    lines = process.stdout.read().splitlines()
    counts = [int(word) for word in lines[-1].split() if word.isdigit()] if lines else []
    if len(counts) != 3:
        lines.append(f"ended with status {process.returncode}")
        counts = [0, 1, 0]
    for i, count in enumerate(counts):
        totals[i] += count
    print("\n".join(lines[:-1]), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", nargs="*")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--long", action="store_true", default=os.environ.get("HOLDFAST_TEST_LONG") == "yes")
    parser.add_argument("--blame")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--list", action="store_true")
    asked = parser.parse_args()
    if asked.list:
        print("\n".join(scenes()))
        return 0
    seed = asked.seed if asked.seed is not None else seed_of_commit()
    if asked.alone:
        return play(asked.scene[0], seed, asked.long)
    if asked.blame:
        play(asked.scene[0], seed, asked.long)
        blamed = importlib.import_module("world").blamed
        print(f"found something: {', '.join(sorted(blamed)) or 'nobody'}")
        return 1 if asked.blame in blamed else 0
    print(f"seed {seed}: histories.py --seed {seed}", flush=True)
    return play_all(asked.scene or scenes(), seed, asked.long)


if __name__ == "__main__":
    sys.exit(main())
