#!/usr/bin/env python3
"""docs/mqtt-conformance.md: each normative statement of MQTT 5.0 and 3.1.1 stands there once, in order, with the tests of
tests/mqtt that show it, or the reason why there is none; and each statement that a test claims has its row.
Usage: mqtt.py [BUILD_DIR, unused] | mqtt.py --write (fills in the tests)"""
import importlib
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
PAGE = TOP / "docs" / "mqtt-conformance.md"
ROW = re.compile(r"^\| (\d+\.\d+(?:\.\d+)?-\d+) \| ([^|]+) \| ([^|]*) \|$")
COUNTS = {5: 251, 4: 141}  # what the standards have, so that no row is lost unnoticed
REASONS = ("client's duty", "does not apply: ", "other tests: ")


def tests():
    """{version: {statement: [test]}}"""
    sys.path.insert(0, str(TOP / "tests" / "mqtt"))
    case = importlib.import_module("case")
    for module in sorted((TOP / "tests" / "mqtt").glob("case_*.py")):
        importlib.import_module(module.stem)
    shown = {5: {}, 4: {}}
    for test in case.TESTS:
        for version, ids in ((5, test.v5), (4, test.v3)):
            for statement in ids:
                shown[version].setdefault(statement, []).append(test.name)
    return shown, [t.name for t in case.TESTS]


def cell(names):
    return ", ".join(f"`{name.removeprefix('case_')}`" for name in sorted(names))


def key(statement):
    return [int(n) for n in re.split(r"[.-]", statement)]


def sections(text):
    """{version: [(line number, statement, words, cell)]}"""
    found, version = {5: [], 4: []}, None
    for number, line in enumerate(text.splitlines()):
        if line.startswith("## "):
            version = 4 if "3.1.1" in line else 5 if "5.0" in line else None
        row = ROW.match(line)
        if row and version:
            found[version].append((number, row[1], row[2].strip(), row[3].strip()))
    return found


def write(shown):
    lines = PAGE.read_text().splitlines()
    for version, rows in sections(PAGE.read_text()).items():
        for number, statement, words, old in rows:
            names = shown[version].get(statement)
            kept = old if old.startswith(REASONS) else ""
            lines[number] = f"| {statement} | {words} | {cell(names) if names else kept} |"
    PAGE.write_text("\n".join(lines) + "\n")


def problems(shown, names):
    out = [f"two tests are called {name}" for name in {n for n in names if names.count(n) > 1}]
    for version, rows in sections(PAGE.read_text()).items():
        ids = [statement for _, statement, _, _ in rows]
        title = {5: "5.0", 4: "3.1.1"}[version]
        out += [f"{title}: {i} stands twice" for i in sorted({i for i in ids if ids.count(i) > 1})]
        if ids != sorted(ids, key=key):
            out.append(f"{title}: the rows are not in order")
        if len(ids) != COUNTS[version]:
            out.append(f"{title}: {len(ids)} rows, the standard has {COUNTS[version]} statements")
        out += [f"{title}: {test} shows {i}, which has no row" for i in sorted(set(shown[version]) - set(ids)) for test in shown[version][i]]
        for _, statement, _, written in rows:
            wanted = cell(shown[version].get(statement, []))
            if wanted and written != wanted:
                out.append(f"{title}: {statement}: the page names {written or 'nothing'}, it is shown by {wanted} (--write)")
            elif not wanted and not written.startswith(REASONS):
                out.append(f"{title}: {statement}: no test shows it, and no reason is given")
            for path in re.findall(r"`((?:src|tests)/[^` ]+)`", written if not wanted else ""):
                if not (TOP / path).exists():
                    out.append(f"{title}: {statement}: there is no {path}")
    return out


def main():
    shown, names = tests()
    if "--write" in sys.argv:
        write(shown)
        return 0
    found = problems(shown, names)
    print("\n".join(found))
    print(f"{0 if found else 1} passed, {1 if found else 0} failed, 0 skipped")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
