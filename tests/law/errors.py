#!/usr/bin/env python3
"""Every error code that the sources name has its row in src/role/errors.c, each row is used, and docs/errors.md is
made of them. Usage: errors.py [BUILD_DIR, unused] | errors.py --write"""
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
TABLE = TOP / "src" / "role" / "errors.c"
PAGE = TOP / "docs" / "errors.md"
CODE = re.compile(r"HF-\d{4}")
TEXT = r'((?:"(?:[^"\\]|\\.)*"\s*)+)'
ROW = re.compile(r"\{\s*" + r",\s*".join([TEXT] * 5) + r"\s*\}", re.S)


def text_of(literal):
    return "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', literal)).replace('\\"', '"')


def rows():
    return [[text_of(cell) for cell in match.groups()] for match in ROW.finditer(TABLE.read_text())]


def page(table):
    out = ["# Error codes", "", "Made of `src/role/errors.c` by `tests/law/errors.py --write`; `holdfast help CODE` prints the same.", "",
           "| code | what | why | do | example |", "| --- | --- | --- | --- | --- |"]
    out += ["| " + " | ".join(cell.replace("|", "\\|") for cell in [*row[:4], f"`{row[4]}`"]) + " |" for row in table]
    return "\n".join(out) + "\n"


def main():
    table = rows()
    if "--write" in sys.argv:
        PAGE.write_text(page(table))
        return 0
    known = {row[0] for row in table}
    used = set()
    for path in (TOP / "src").rglob("*.[ch]"):
        if path != TABLE and not path.name.endswith("_test.c"):
            code = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
            used |= set(CODE.findall(code))
    problems = [f"{code} is used and has no row" for code in sorted(used - known)]
    problems += [f"{code} has a row and is used nowhere" for code in sorted(known - used)]
    problems += [f"{code} stands twice" for code in sorted(known) if sum(row[0] == code for row in table) > 1]
    if not PAGE.exists() or PAGE.read_text() != page(table):
        problems.append("docs/errors.md is not what the table makes: tests/law/errors.py --write")
    print("\n".join(problems))
    print(f"{0 if problems else 1} passed, {1 if problems else 0} failed, 0 skipped")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
