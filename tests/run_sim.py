#!/usr/bin/env python3
"""The simulator as a test. Usage: run_sim.py BUILD_DIR scenarios|seeds|determinism [long]

scenarios    every plan of sim/scenarios must be well; those whose first line says "At scale" run in long alone
seeds        regression seeds first, then fresh ones that the commit decides, within what is promised and beyond it,
             until the time is up; a seed that fails prints its report and how to run it again
determinism  the same seeds twice, by gcc and by clang, unoptimised and optimised: the same hash of all events
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[1]
REGRESSIONS = list(range(1, 61))  # each has been looked at; the first bugs were found among them
CHUNK = 5
SEEDS_S, SEEDS_LONG_S = 40, 900
GATE_SEEDS = ["1..8", "57..57"]
SCALE = "# At scale"


def simulate(build, *arguments, limit=600):
    command = [str(build / "bin/holdfast-sim"), *arguments, "--report", "json"]
    env = dict(os.environ, HOLDFAST_SOURCE=str(TOP))
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, env=env)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")], done


def tell(report):
    print(f"{report['name']}: {report['outcome']} while {report['phase']} {report['breach']}")
    for finding in report["findings"]:
        print(f"    {finding}")
    print(f"    again: holdfast-sim {report['name']}")


def fresh_seeds():
    """Seeds of this commit alone: 32 bits each, so that a person can type them."""
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=TOP, capture_output=True, text=True).stdout
    number = int(hashlib.sha256(head.encode()).hexdigest()[:8], 16)
    while True:
        yield number
        number = (number + CHUNK) % 2**32


def run_seeds(build, is_long):
    until = time.monotonic() + (SEEDS_LONG_S if is_long else SEEDS_S)
    jobs = [(f"{a}..{a + CHUNK - 1}", beyond) for a in REGRESSIONS[::CHUNK] for beyond in (False, True)]
    fresh = fresh_seeds()
    reports, missing = [], 0

    def one(job):
        seeds, beyond = job
        found, done = simulate(build, "--seeds", seeds, *(["--beyond"] if beyond else []))
        if len(found) != CHUNK:
            print(f"seeds {seeds}{' beyond' if beyond else ''}: {len(found)} reports of {CHUNK}, ended with {done.returncode}\n{done.stderr[-2000:]}")
        return found, CHUNK - len(found)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        while jobs or time.monotonic() < until:
            if not jobs:
                first = next(fresh)
                jobs = [(f"{first}..{first + CHUNK - 1}", False), (f"{first}..{first + CHUNK - 1}", first % 5 == 0)]
            for found, lacks in pool.map(one, jobs[:4]):
                reports, missing = reports + found, missing + lacks
            jobs = jobs[4:]
    failed = [r for r in reports if r["outcome"] != "well"]
    for report in failed[:10]:
        tell(report)
    faults, promises = {}, {}
    for report in reports:
        for name, count in report["faults"].items():
            faults[name] = faults.get(name, 0) + count
        for name, counts in report["invariants"].items():
            promises[name] = promises.get(name, 0) + counts["evaluations"]
    print(f"figures: {len(reports)} seeds, {sum(r['events'] for r in reports):,} events, "
          f"{sum(r['steps'] for r in reports):,} core steps, {sum(r['virtual_ms'] for r in reports) / 3.6e6:.1f} h of virtual time")
    print("figures: faults " + ", ".join(f"{n} {c}" for n, c in sorted(faults.items())))
    print("figures: evaluations " + ", ".join(f"{n} {c:,}" for n, c in sorted(promises.items())))
    return len(reports) - len(failed), len(failed) + missing, 0


def run_scenarios(build, is_long):
    plans = sorted((TOP / "sim/scenarios").glob("*.plan"))
    chosen = [p for p in plans if is_long or not p.read_text().startswith(SCALE)]
    passed = failed = 0
    for plan in chosen:
        reports, done = simulate(build, "--scenario", plan.stem, "--limit", "3600", limit=4000)
        if reports and reports[0]["outcome"] == "well":
            passed += 1
            r = reports[0]
            print(f"figures: {plan.stem}: {r['devices']} devices, {r['events']:,} events, {r['steps_per_s']:,} core steps/s and "
                  f"{r['device_hours_per_s']} device-hours/s on one core, stood after {r['stood_ms'] / 1000} s")
        else:
            failed += 1
            if reports:
                tell(reports[0])
            print(done.stderr[-2000:])
    return passed, failed + (not chosen), 0


def run_determinism(build, _):
    """-O2 by gcc and clang are built already; -O0 is built here, the simulator alone."""
    for command in (["cmake", "--preset", "debug"], ["nice", "cmake", "--build", "--preset", "debug", "--target", "holdfast-sim"]):
        done = subprocess.run(command, cwd=TOP, capture_output=True, text=True)
        if done.returncode != 0:
            print(done.stdout[-3000:] + done.stderr[-1000:])
            return 0, 1, 0
    ways = {"gcc -O2": build, "gcc -O2, again": build, "clang -O2": build.parent / "clang", "gcc -O0": build.parent / "debug"}
    hashes = {}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [(way, folder, seeds, beyond) for way, folder in ways.items() for seeds in GATE_SEEDS for beyond in (False, True)]
        runs = pool.map(lambda j: simulate(j[1], "--seeds", j[2], *(["--beyond"] if j[3] else []))[0], jobs)
        for (way, *_rest), reports in zip(jobs, runs):
            for report in reports:
                hashes.setdefault(report["name"], {})[way] = report["hash"]
    seeds = sum(int(last) - int(first) + 1 for first, last in (s.split("..") for s in GATE_SEEDS))
    failed = 2 * seeds - len(hashes)  # within and beyond; those that no way reported
    for name, by_way in sorted(hashes.items()):
        if len(by_way) != len(ways) or len(set(by_way.values())) != 1:
            print(f"{name}: not the same each time: {by_way}")
            failed += 1
    print(f"figures: {len(hashes)} seeds, {len(ways)} ways each")
    return 2 * seeds - failed, failed, 0


def main():
    build, what, is_long = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2], "long" in sys.argv[3:]
    passed, failed, skipped = {"seeds": run_seeds, "scenarios": run_scenarios, "determinism": run_determinism}[what](build, is_long)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
