#!/usr/bin/env python3
"""Whoever reads bytes from outside is fuzzed: each public function of codec/ and trust/ whose name says that it reads (decode,
parse, read, next, open, find, from_...), and each of base, crypto, the cores, io and the roles whose name says that it makes
sense of bytes (decode, parse, load, from_text, from_pem ...), is called by a target below tests/fuzz, or by one that a target
calls, or stands in tests/fuzz/not-fuzzed.txt with the reason; what stands there must exist and still need it. Each target has a
corpus.
Usage: parsers.py [BUILD_DIR]"""
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
READS = re.compile(r"_(decode|parse|read|read_all|next|open\w*|find|verify|init_over|from_\w+)$|_read_\w+$|_over$")
# Elsewhere "next" and "find" are lookups, and "open" and "read" take handles.
MAKES_SENSE = re.compile(r"_(decode|parse|load|load_[a-z]+|read_config|read_entity|from_(text|hex|pem|der|wire|bytes|report))$")
BEYOND_CODECS = ("base", "crypto", "io", "io/journal", "io/sqlite", "role", *(f"core/{c}" for c in ("bus", "control", "device", "gateway", "ingest", "tsdb")))
DECLARED = re.compile(r"\b([a-z][a-z0-9_]+)\(", re.M)


def without_comments(text):
    return re.sub(r"/\*.*?\*/|\"(?:\\.|[^\"\\])*\"", " ", text, flags=re.S)


def declared(folder, reads=READS):
    found = {}
    for header in sorted((TOP / "src" / folder).glob("*.h")):
        for name in DECLARED.findall(without_comments(header.read_text())):
            if reads.search(name):
                found.setdefault(name, header.relative_to(TOP))
    return found


def calls_of_functions():
    """{function: names in its body} of all code but tests, by the form that clang-format gives every function."""
    found = {}
    for path in [*(TOP / "src").rglob("*.c"), *(TOP / "sim").rglob("*.c")]:
        if path.name.endswith("_test.c"):
            continue
        text = without_comments(path.read_text())
        for match in re.finditer(r"^(?!\s|#|\})[^;{}=]*?\b(\w+)\([^;{}]*\)\n\{\n(.*?)^\}", text, re.M | re.S):
            found.setdefault(match.group(1), set()).update(re.findall(r"\b\w+\b", match.group(2)))
    return found


def reached():
    calls = calls_of_functions()
    todo = set()
    for target in (TOP / "tests" / "fuzz").glob("fuzz_*.c"):
        todo.update(re.findall(r"\b\w+\b", without_comments(target.read_text())))
    seen = set()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo |= calls.get(name, set()) - seen
    return seen


def main():
    wanted = {**declared("codec"), **declared("trust")}
    for folder in BEYOND_CODECS:
        wanted |= declared(folder, MAKES_SENSE)
    seen = reached()
    excused = {}
    for line in (TOP / "tests" / "fuzz" / "not-fuzzed.txt").read_text().splitlines():
        name, colon, reason = line.partition(":")
        if colon and not line.startswith("#"):
            excused[name.strip()] = reason.strip()
    failed = 0
    for name, header in sorted(wanted.items()):
        if name not in seen and not excused.get(name):
            print(f"{header}: no fuzz target reaches {name}")
            failed += 1
    for name in sorted(excused):
        if name not in wanted or name in seen:
            print(f"tests/fuzz/not-fuzzed.txt: {name} needs no excuse")
            failed += 1
    for target in sorted((TOP / "tests" / "fuzz").glob("fuzz_*.c")):
        if not any((TOP / "tests" / "fuzz" / "corpus" / target.stem).glob("*")):
            print(f"{target.name} has no corpus")
            failed += 1
    if "cbor_read_u64" not in seen or "no_such_parse" in seen or len(wanted) < 60:
        print("the law does not see what there is")
        failed += 1
    print(f"{len(wanted)} functions that read, {len(excused)} excused")
    print(f"{len(wanted) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
