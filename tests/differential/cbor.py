#!/usr/bin/python3
"""Our CBOR beside python3-cbor2: random values encoded there must be read and written again here byte for byte, and
of random bytes both must refuse or take the same. Usage: cbor.py [PROGRAM] [COUNT] [SEED]

PROGRAM is cbor_tool: a line of hex in, "ok HEX" or "tagged HEX" (the item, written again) or "no" out."""
import io, os, random, subprocess, sys

try:
    import cbor2
except ImportError:
    if sys.executable != "/usr/bin/python3" and os.path.exists("/usr/bin/python3"):
        os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])  # where Debian's packages are
    print("skipped: python3-cbor2 is not there")
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(0)

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def program():
    if len(sys.argv) > 1 and os.path.exists(sys.argv[1]):
        return sys.argv[1]
    for preset in ("sanitize", "release", "debug", "clang"):
        path = f"{TOP}/build/{preset}/system/cbor_tool"
        if os.path.exists(path):
            return path
    sys.exit("cbor.py: no cbor_tool is built")


def value(rng, depth):
    kind = rng.randrange(9 if depth < 5 else 7)
    if kind == 0:
        return rng.getrandbits(rng.choice((3, 5, 8, 16, 32, 63)))
    if kind == 1:
        return -1 - rng.getrandbits(rng.choice((3, 5, 8, 16, 32, 63)))
    if kind == 2:
        return rng.randbytes(rng.choice((0, 1, 23, 24, 300)))
    if kind == 3:
        return "".join(chr(rng.choice((65, 228, 8364, 128512))) for _ in range(rng.randrange(30)))
    if kind == 4:
        return rng.choice((True, False, None))
    if kind == 5:
        return rng.choice((0.0, -0.0, 1.5, 2048.0, 1e5, 1e300, 5.960464477539063e-08, rng.uniform(-1e9, 1e9)))
    if kind == 6:
        return rng.randrange(24) / 4
    if kind == 7:
        return [value(rng, depth + 1) for _ in range(rng.randrange(6))]
    return {rng.choice((rng.randrange(-99, 99), f"k{rng.randrange(99)}")): value(rng, depth + 1)
            for _ in range(rng.randrange(6))}


def encode(item):
    """RFC 8949 4.2.1: keys sorted by their bytes; cbor2's own canonical order is the older one. (It also gives whole
    floats from 32,768 on four bytes where two hold them, against appendix A: our unit test has those.)"""
    if isinstance(item, list):
        return cbor2.dumps([None] * len(item))[:1] + b"".join(map(encode, item))
    if isinstance(item, dict):
        pairs = sorted((encode(k), encode(v)) for k, v in item.items())
        return bytes([0xa0 + len(pairs)]) + b"".join(k + v for k, v in pairs)
    return cbor2.dumps(item, canonical=True)


def takes(raw):
    """Does cbor2 read exactly one item of all these bytes?"""
    try:
        stream = io.BytesIO(raw)
        cbor2.CBORDecoder(stream, str_errors="strict").decode()
        return stream.tell() == len(raw)
    except Exception:  # noqa: BLE001: whatever it says, it does not take it
        return False


def main():
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 20000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    rng = random.Random(seed)
    good = [encode(value(rng, 0)) for _ in range(count)]
    bad = []
    for raw in good[:count // 2]:
        broken = bytearray(raw)
        for _ in range(rng.randrange(1, 3)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        bad.append(bytes(broken))
    lines = "".join(raw.hex() + "\n" for raw in good + bad)
    answers = subprocess.run([program()], input=lines, capture_output=True, text=True, check=True).stdout.split("\n")
    failed = 0
    for raw, answer in zip(good, answers):
        if answer != "ok " + raw.hex():
            failed += 1
            print(f"seed {seed}: {raw.hex()} gives {answer}")
    for raw, answer in zip(bad, answers[len(good):]):
        # We are the stricter one: what we take, it must take. It also judges what is inside tags, which we do not.
        if answer.startswith("ok") and not takes(raw):
            failed += 1
            print(f"seed {seed}: {raw.hex()} is taken here and not there")
    print(f"{len(good)} items alike, {len(bad)} broken ones")
    print(f"{0 if failed else 2} passed, {min(failed, 2)} failed, 0 skipped")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
