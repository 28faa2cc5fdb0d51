#!/usr/bin/env python3
"""Our JSON against Python's, on the same texts: both take a text or neither does, and both read the same value, every
double to its last bit. Where Python is laxer (NaN, lone surrogates, control characters, bytes behind, doubled names, 1e999)
ours must refuse. Usage: json_codec.py [SEED]"""
import json
import os
import pathlib
import random
import re
import struct
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILDS = [pathlib.Path(os.environ["HOLDFAST_BUILD"])] if os.environ.get("HOLDFAST_BUILD") else [TOP / "build" / p for p in ("sanitize", "release", "debug")]
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?\Z")
REFUSED = object()


class Doubled(ValueError):
    pass


def no_doubles(pairs):
    if len({k for k, _ in pairs}) != len(pairs):
        raise Doubled()
    return dict(pairs)


def finite(text):
    value = float(text)
    if value in (float("inf"), float("-inf")) or len(text) > 512:
        raise ValueError(text)
    return value


def refuse(text):
    raise ValueError(text)


def expected(raw):
    try:
        text = raw.decode("utf-8")
        if text.startswith("\ufeff"):
            return REFUSED
        value = json.loads(text, object_pairs_hook=no_doubles, parse_float=finite, parse_int=finite, parse_constant=refuse)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # a lone surrogate is no text
    except (ValueError, RecursionError):
        return REFUSED
    return REFUSED if depth(value) > 32 else value


def depth(value):
    if isinstance(value, dict):
        return 1 + max([depth(v) for v in value.values()], default=0)
    if isinstance(value, list):
        return 1 + max([depth(v) for v in value], default=0)
    return 0


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack(">d", a) == struct.pack(">d", b)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return a == b


def doubles(rng):
    for _ in range(20000):
        value = struct.unpack(">d", rng.randbytes(8))[0]
        if value == value and abs(value) != float("inf"):
            yield repr(value)
    for exponent in range(-1074, 1024):
        yield repr(2.0 ** exponent)
    for _ in range(20000):
        yield repr(round(rng.uniform(-1000, 1000), rng.randint(0, 12)))
    for _ in range(20000):  # texts of any length, near halves and limits
        whole = str(rng.randrange(10 ** rng.randint(1, 30)))
        yield f"{whole}.{rng.randrange(10 ** 20)}e{rng.randint(-345, 305)}"
    for _ in range(5000):  # exactly between two doubles
        mantissa, exponent = 2 * (rng.getrandbits(53) | 1 << 52) + 1, rng.randint(-120, 60)
        yield str(mantissa << exponent) if exponent >= 0 else f"{mantissa * 5 ** -exponent}e{exponent}"


def strings(rng):
    pieces = ['\\n', '\\u0041', '\\ud83d\\ude00', '\\ud800', '\\udc00', '\\/', '\\x', '\\u12', 'é', '😀', '\x7f', '\x01', '\\"', '\\\\', 'a', '\ufffd', '\\u0000']
    for _ in range(5000):
        yield '"' + "".join(rng.choices(pieces, k=rng.randint(0, 6))) + '"'


def random_value(rng, levels):
    kind = rng.randrange(7 if levels else 5)
    if kind == 5:
        return [random_value(rng, levels - 1) for _ in range(rng.randint(0, 4))]
    if kind == 6:
        return {rng.choice("abcdefgh") + str(i): random_value(rng, levels - 1) for i in range(rng.randint(0, 4))}
    return [None, True, rng.randint(-10 ** 6, 10 ** 6), rng.uniform(-9, 9), "é\n\"" * rng.randint(0, 2)][kind]


def documents(rng):
    for _ in range(4000):
        text = json.dumps(random_value(rng, 5), ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, 1])).encode()
        yield text
        changed = bytearray(text)
        for _ in range(rng.randint(1, 3)):  # and the same, damaged
            at = rng.randrange(len(changed) + 1)
            changed[at:at + rng.randint(0, 2)] = rng.choice([b"", b",", b"]", b"}", b'"', b"\\", b"\xff", b"0", b"e", b" ", b":", b"\x00"])
        yield bytes(changed)


def texts(rng):
    for source in (doubles(rng), strings(rng)):
        yield from (text.encode("utf-8", "surrogatepass") for text in source)
    yield from documents(rng)
    yield from (b"", b"\xef\xbb\xbf1", b"NaN", b"-Infinity", b"1e999", b"[" * 32 + b"]" * 32, b"[" * 33 + b"]" * 33, b'{"a":1,"\\u0061":2}', b"01", b"1 2", b"9" * 513)


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 20261123
    program = next((b / "tools" / "json_echo" for b in BUILDS if (b / "tools" / "json_echo").exists()), None)
    if program is None:
        print("json_echo is not built\n0 passed, 1 failed, 0 skipped")
        return 1
    inputs = list(texts(random.Random(seed)))
    done = subprocess.run([str(program)], input="".join(t.hex() + "\n" for t in inputs), capture_output=True, text=True)
    answers = done.stdout.splitlines()
    wrong, taken = [], 0
    if done.returncode != 0 or len(answers) != len(inputs):
        wrong.append(f"json_echo ended with {done.returncode} after {len(answers)} of {len(inputs)} texts {done.stderr[-500:]}")
    for text, answer in zip(inputs, answers):
        want = expected(text)
        code, _, written = answer.partition(" ")
        got = REFUSED if code != "0" else json.loads(bytes.fromhex(written), parse_int=float)
        taken += got is not REFUSED
        if (want is REFUSED) != (got is REFUSED) or (want is not REFUSED and not same(want, got) and b"\\u0000" not in text):
            wrong.append(f"{text[:80]!r}: Python {'refuses' if want is REFUSED else want!r}, ours {answer[:80]}")
    print("\n".join(wrong[:20]))
    print(f"seed {seed}: {len(inputs)} texts, {taken} taken by both")
    print(f"{0 if wrong else 1} passed, {1 if wrong else 0} failed, 0 skipped")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
