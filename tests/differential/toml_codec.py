#!/usr/bin/env python3
"""Our TOML beside Python's tomllib. Ours is a subset: documents within it both must take, with equal values; of the same ones
damaged, and of those that use what ours leaves out, whatever ours takes tomllib must take, and read the same in it. A key or
table that stands twice is the business of whoever calls ours (role/config.c refuses it): such documents are passed over.
Usage: toml_codec.py [SEED]"""
import os
import pathlib
import random
import subprocess
import sys
import tomllib

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILDS = [pathlib.Path(os.environ["HOLDFAST_BUILD"])] if os.environ.get("HOLDFAST_BUILD") else [TOP / "build" / p for p in ("sanitize", "release", "debug")]
DOCUMENTS = 3000
DAMAGE = [b"", b"\r", b"\r\n", b"\n", b"\x7f", b"\x00", b"\x0b", b"\xff", b"\xc3", b"\xed\xa0\x80", b"_", b"__", b"0", b"-", b"+", b".", b"..", b",", b"[", b"]",
          b"[[", b"]]", b"{", b"}", b'"', b'""', b"'", b"''", b"\\", b"\\u00e9", b"\\b", b"#", b"=", b" ", b"\t", b"e1", b"inf", b"1979-05-27", b"0x1f", b"true"]
REFUSED, DOUBLED = object(), object()


def bare(rng):
    return "".join(rng.choices("abzAZ09_-", k=rng.randint(1, 6)))


def fresh(rng, taken):
    while True:
        name = bare(rng)
        if name not in taken:
            taken.add(name)
            return name


def scalar(rng):
    kind = rng.randrange(4)
    if kind == 0:
        whole = str(rng.getrandbits(rng.choice((1, 7, 31, 62))))
        if len(whole) > 3 and rng.random() < 0.3:
            whole = whole[:-3] + "_" + whole[-3:]
        return rng.choice(("", "-", "+")) + whole
    if kind == 1:
        return rng.choice(("true", "false", "9223372036854775807", "-9223372036854775807", "0", "-0"))
    pieces = ["a", " ", "é", "😀", "#", "\t", "=", "[", ","]
    if kind == 2:
        return "'" + "".join(rng.choices(pieces + ['"', "\\"], k=rng.randint(0, 6))) + "'"
    return '"' + "".join(rng.choices(pieces + ["'", "\\n", "\\t", "\\r", '\\"', "\\\\"], k=rng.randint(0, 6))) + '"'


def ending(rng):
    return rng.choice(("", "", " ", "\t", " # é 'x' \t", "#")) + rng.choice(("\n", "\n", "\r\n", "\n\n", "\n \t\n"))


def array(rng):
    # All of one kind or not: TOML 1.0 does not mind, and ours leaves it to the caller.
    items = [scalar(rng) for _ in range(rng.randint(0, 4))]
    space = rng.choice(("", " ", "\n", " # one\n\t", "\r\n"))
    return "[" + space + ("," + space).join(items) + (("," + space) if items and rng.random() < 0.3 else space) + "]"


def document(rng):
    text, tables = ending(rng) if rng.random() < 0.3 else "", set()
    for table in range(rng.randint(1, 4)):
        if table > 0:
            name = fresh(rng, tables)
            blank = rng.choice(("", " "))
            if rng.random() < 0.3:
                name += "." + bare(rng)
            heading = f"[{blank}{name}{blank}]"
            text += f"[{heading}]" if rng.random() < 0.4 else heading
            text += ending(rng)
        keys = set() if table > 0 else tables
        for _ in range(rng.randint(0, 4)):
            value = array(rng) if rng.random() < 0.25 else scalar(rng)
            text += rng.choice(("", "  ")) + fresh(rng, keys) + rng.choice(("=", " = ")) + value + ending(rng)
    return text.encode()


def damaged(rng, raw):
    changed = bytearray(raw)
    for _ in range(rng.randint(1, 2)):
        at = rng.randrange(len(changed) + 1)
        changed[at:at + rng.randint(0, 2)] = rng.choice(DAMAGE)
    return bytes(changed)


def theirs(raw):
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):  # UnicodeDecodeError and TOMLDecodeError are of them
        return REFUSED


def scalar_of(text):
    kind, _, value = text.partition(":")
    if kind == "s":
        return bytes.fromhex(value).decode("utf-8", "surrogateescape")
    return bool(int(value)) if kind == "b" else int(value)


def enter(root, path, is_item, declared):
    """The table of a heading, made; None where it stands there already as something else."""
    at = root
    for name in path[:-1]:
        at = at.setdefault(name, {})
        at = at[-1] if isinstance(at, list) and at and isinstance(at[-1], dict) else at
        if not isinstance(at, dict):
            return None
    last = path[-1]
    if is_item:
        rows = at.setdefault(last, [])
        if not isinstance(rows, list) or (rows and (id(rows) not in declared)):
            return None
        declared.add(id(rows))
        rows.append({})
        return rows[-1]
    table = at.setdefault(last, {})
    if not isinstance(table, dict) or id(table) in declared:
        return None
    declared.add(id(table))
    return table


def ours(answer):
    """The value that our entries make; DOUBLED where something stands twice."""
    if not answer.startswith("ok"):
        return REFUSED
    root = {}
    table, declared = root, set()
    for entry in answer.split(" ")[1:]:
        if entry.startswith(("table:", "item:")):
            kind, _, name = entry.partition(":")
            table = enter(root, bytes.fromhex(name).decode().split("."), kind == "item", declared)
            if table is None:
                return DOUBLED
            continue
        key, _, value = entry.partition("=")
        key = bytes.fromhex(key).decode()
        if key in table:
            return DOUBLED
        table[key] = [scalar_of(i) for i in value.split(",")[1:]] if value.startswith("a:") else scalar_of(value)
    return root


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 20261123
    program = next((b / "tools" / "toml_tool" for b in BUILDS if (b / "tools" / "toml_tool").exists()), None)
    if program is None:
        print("toml_tool is not built\n0 passed, 1 failed, 0 skipped")
        return 1
    rng = random.Random(seed)
    good = [document(rng) for _ in range(DOCUMENTS)]
    bad = [damaged(rng, raw) for raw in good for _ in range(3)]
    done = subprocess.run([str(program)], input="".join(t.hex() + "\n" for t in good + bad), capture_output=True, text=True)
    answers = done.stdout.splitlines()
    wrong, taken, doubled = [], 0, 0
    if done.returncode != 0 or len(answers) != len(good) + len(bad):
        wrong.append(f"toml_tool ended with {done.returncode} after {len(answers)} documents {done.stderr[-500:]}")
    for number, (raw, answer) in enumerate(zip(good + bad, answers)):
        mine, other = ours(answer), theirs(raw)
        if number < len(good) and (other is REFUSED or not same(mine, other)):
            wrong.append(f"{raw!r}: tomllib reads {other}, ours {answer}")
        elif mine is DOUBLED:
            doubled += 1
        elif mine is not REFUSED:
            taken += 1
            if other is REFUSED or not same(mine, other):
                wrong.append(f"{raw!r}: tomllib {'refuses' if other is REFUSED else f'reads {other}'}, ours reads {mine}")
    if taken < len(good) + len(bad) // 20 or doubled > len(bad) // 4:
        wrong.append(f"only {taken} documents were compared, {doubled} passed over")
    print("\n".join(wrong[:20]))
    print(f"seed {seed}: {len(good)} documents alike, {len(bad)} damaged, {taken} taken by ours in all, {doubled} passed over")
    print(f"{0 if wrong else 1} passed, {1 if wrong else 0} failed, 0 skipped")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
