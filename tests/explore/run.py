#!/usr/bin/env python3
"""The explorer: every world whole and unbroken, in the builds of both compilers with the same counts and digests; the
counterexamples of faults that were mended replay without a breach; an event that is kept from happening is noticed.
Usage: run.py [long]"""
import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
RELEASE = pathlib.Path(os.environ.get("HOLDFAST_BIN", TOP / "build/release/bin")) / "holdfast-explore"
CLANG = TOP / "build/clang/bin/holdfast-explore"
BLIND = {"admit": "forge", "received": "cut", "spool": "lost", "enrol": "unanswered", "sequence": "take", "broker": "keep"}

passed = failed = skipped = 0


def tell(is_good, what, more=""):
    global passed, failed
    passed += is_good
    failed += not is_good
    print(f"{'ok  ' if is_good else 'FAIL'} {what}")
    if not is_good:
        print("\n".join("    " + line for line in more.splitlines()[-60:]))


def counts(output):
    return [line for line in output.splitlines() if line.startswith("count ")]


def explore(is_long):
    global skipped
    programs = [p for p in (RELEASE, CLANG) if p.exists()]
    runs = [subprocess.Popen([p] + (["--long"] if is_long else []), stdout=subprocess.PIPE, text=True) for p in programs]
    outputs = [run.communicate()[0] for run in runs]
    print(outputs[0])
    for program, run, output in zip(programs, runs, outputs):
        where = program.relative_to(TOP) if program.is_relative_to(TOP) else program
        tell(run.returncode == 0 and len(counts(output)) > 0, f"every world is whole and unbroken: {where}", output)
    if len(programs) == 2:
        tell(counts(outputs[0]) == counts(outputs[1]), "both compilers' builds find the same states", "\n".join(outputs))
    else:
        skipped += 1
        print("skipped: one build only, nothing to compare its states with (build/clang)")


def replay():
    traces = sorted((TOP / "sim/explore/traces").glob("*.trace"))
    tell(len(traces) > 0, f"{len(traces)} traces of mended faults")
    for trace in traces:
        done = subprocess.run([RELEASE, "--replay", trace], stdout=subprocess.PIPE, text=True)
        tell(done.returncode == 0, f"{trace.stem} breaks nothing any more", done.stdout)


def notice_blindness():
    for world, kind in BLIND.items():
        done = subprocess.run([RELEASE, "--world", world, "--blind", kind, "--quiet"], stdout=subprocess.PIPE, text=True)
        tell(done.returncode == 1 and "NOT REACHED" in done.stdout,
             f"{world}: that \"{kind}\" never happens is noticed", done.stdout)


explore("long" in sys.argv[1:])
replay()
notice_blindness()
print(f"{passed} passed, {failed} failed, {skipped} skipped")
sys.exit(1 if failed else 0)
