#!/usr/bin/env python3
"""Which branches of the deciders and codecs run in their tests. Usage: coverage.py BUILD_DIR [FOLDER=PERCENT ...]

Runs the unit tests of a build with -DHOLDFAST_COVERAGE=ON, every fuzz target over its corpus and the explorer, then reads
gcov's counts. Writes build/coverage.txt: a line for each file, then each branch that nothing took, by file and line.
Fails where less than PERCENT of a folder's branches were taken (95 of src/core and of src/codec when none are named).

Left out of the count, because no test can take them:
  - statements of INVARIANT, HOLDS, promise_holds and UNREACHABLE: the branch not taken is that we are wrong;
  - of a switch without a default, the value that its enum does not have;
  - a line that says COVERAGE(reason): the reasons are listed in the report.
"""
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[1]
REPORT = TOP / "build" / "coverage.txt"
WANTED = {"src/core": 95.0, "src/codec": 95.0}
STOPS = re.compile(r"\b(INVARIANT|HOLDS|promise_holds|UNREACHABLE|static_assert)\(")
MARK = re.compile(r"COVERAGE\(([^)]*)\)")
NOT_SHIPPED = ("src/core/ingest/craft.c",)  # makes records for tests
LIMIT_S = 600


def run(command, **how):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, errors="replace", timeout=LIMIT_S, **how)


def run_tests(build):
    """False where one of them fails: then the counts mean nothing."""
    for old in build.rglob("*.gcda"):
        old.unlink()
    said = run([sys.executable, TOP / "tests" / "run_units.py", build])
    sound = said.returncode == 0
    if not sound:
        print(said.stdout[-4000:])
    for target in sorted((build / "fuzz").iterdir()):
        corpus = sorted((TOP / "tests" / "fuzz" / "corpus" / target.name).glob("*"))
        if os.access(target, os.X_OK) and target.is_file() and corpus and run([target, *corpus]).returncode != 0:
            print(f"{target.name} fails over its corpus")
            sound = False
    return sound


class Source:
    """The text of a file, by numbers of lines, and what is not counted in it."""

    def __init__(self, path):
        self.lines = (TOP / path).read_text().splitlines()
        self.stops = set()
        self.switches = set()
        self.marked = {}
        for number, line in enumerate(self.lines, 1):
            if STOPS.search(line):
                self.stops.update(range(number, self.end_of_statement(number) + 1))
            if re.match(r"\s*switch \(", line) and not self.has_default(number):
                self.switches.add(number)
            mark = MARK.search(line)
            if mark:
                self.marked[number if not line.strip().startswith("/*") else number + 1] = mark.group(1)

    def end_of_statement(self, number):
        depth = 0
        for at in range(number, min(number + 8, len(self.lines)) + 1):
            line = self.lines[at - 1]
            depth += line.count("(") - line.count(")")
            if depth <= 0:
                return at
        return number

    def has_default(self, number):
        indent = len(self.lines[number - 1]) - len(self.lines[number - 1].lstrip())
        for line in self.lines[number:]:
            if line.startswith(" " * indent + "}"):
                return False
            if line.startswith(" " * indent + "default:"):
                return True
        return False


def counts_of(build):
    """{file: {line: [taken, ...]}} over all compilations of a file."""
    notes = [p for p in build.rglob("*.gcno") if "_test" not in p.name]

    def read(note):
        done = run(["gcov", "--json-format", "--stdout", "--branch-probabilities", note], cwd=build)
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    found = collections.defaultdict(dict)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for documents in pool.map(read, notes):
            for document in documents:
                for file in document["files"]:
                    path = os.path.normpath(os.path.join(document["current_working_directory"], file["file"]))
                    path = relative(path, file["file"])
                    for line in file["lines"]:
                        taken = [branch["count"] for branch in line["branches"] if not branch["throw"]]
                        before = found[path].get(line["line_number"])
                        if taken and before is not None and len(before) == len(taken):
                            taken = [a + b for a, b in zip(before, taken)]
                        if taken:
                            found[path][line["line_number"]] = taken
    return found


def relative(path, name):
    for known in (path, str(TOP / name)):
        if known.startswith(str(TOP) + "/") and os.path.exists(known):
            return os.path.relpath(known, TOP)
    return name


def judge(path, lines):
    """(branches, taken, [what nothing took])"""
    source = Source(path)
    branches = taken = 0
    missing = []
    for number, counts in sorted(lines.items()):
        if number in source.stops or number in source.marked:
            continue
        missed = sum(1 for c in counts if c == 0)
        total = len(counts)
        if number in source.switches and missed:
            missed, total = missed - 1, total - 1
        branches, taken = branches + total, taken + total - missed
        if missed:
            missing.append(f"{path}:{number}: {missed} of {total} not taken: {source.lines[number - 1].strip()}")
    marks = [f"{path}:{number}: {reason}" for number, reason in sorted(source.marked.items())]
    return branches, taken, missing, marks


def main():
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build/coverage").resolve()
    wanted = {f: float(p) for f, _, p in (a.partition("=") for a in sys.argv[2:])} or WANTED
    if not run_tests(build):
        print("0 passed, 1 failed, 0 skipped")
        return 1
    counts = {p: lines for p, lines in counts_of(build).items() if p.endswith((".c", ".h")) and (TOP / p).is_file()}
    report, left, marked = [], [], []
    failed = 0
    for folder, percent in wanted.items():
        all_branches = all_taken = 0
        for path in sorted(p for p in counts if p.startswith(folder + "/") and not p.endswith("_test.c") and p not in NOT_SHIPPED):
            branches, taken, missing, marks = judge(path, counts[path])
            all_branches, all_taken = all_branches + branches, all_taken + taken
            left += missing
            marked += marks
            if branches:
                report.append(f"{path:<44} {taken:>6} of {branches:>6} {100 * taken / branches:6.1f} %")
        reached = 100 * all_taken / max(all_branches, 1)
        line = f"{folder}: {all_taken} of {all_branches} branches, {reached:.2f} % (wanted: {percent:g} %)"
        report.append(line)
        print(line)
        if reached < percent:
            failed += 1
            print(f"    what is missing: {REPORT.relative_to(TOP)}")
    REPORT.write_text("\n".join([*report, "", "not taken:", *left, "", "marked, with the reason:", *marked, ""]))
    print(f"{len(wanted) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
