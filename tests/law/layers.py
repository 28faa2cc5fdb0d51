#!/usr/bin/env python3
"""The include law: every #include "..." of src/ and sim/ against src/LAYERS. Usage: layers.py [BUILD_DIR, unused]"""
import pathlib
import re
import sys
import tempfile

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)


def read_layers(path):
    layers = {}
    for line in path.read_text().splitlines():
        words = line.split("#")[0].split()
        if words:
            layers[words[0]] = words[1:]
    return layers


def layer_of(layers, name):
    """The most specific folder of LAYERS that holds the file, or None."""
    parts = name.split("/")[:-1]
    while parts:
        if "/".join(parts) in layers:
            return "/".join(parts)
        parts.pop()
    return None


def is_below(folder, allowed):
    return folder == allowed or folder.startswith(allowed + "/")


def breaches(src):
    layers = read_layers(src / "LAYERS")
    found = []
    checked = 0
    for path in sorted([*src.rglob("*.[ch]"), *(src.parent / "sim").rglob("*.[ch]")]):
        name = path.relative_to(src if src in path.parents else src.parent).as_posix()
        own = layer_of(layers, name)
        if own is None:
            found.append(f"{name}: no line of src/LAYERS speaks of this folder")
            continue
        for target in INCLUDE.findall(path.read_text()):
            checked += 1
            if target.startswith("test/"):
                if not name.endswith("_test.c") and own != "test":
                    found.append(f"{name}: includes {target}, which only tests may")
                continue
            if target == "holdfast.h":
                continue
            exists = (src / target).exists() or (target.startswith("sim/") and (src.parent / target).exists())
            if not exists and not target.startswith("generated/"):
                found.append(f"{name}: {target} is not a path below src/, nor below sim/")
                continue
            folder = layer_of(layers, target) or target
            # A test may also use the port its subject is linked with.
            allowed = layers[own] + [own] + (["io"] if name.endswith("_test.c") else [])
            if not any(is_below(folder, a) for a in allowed):
                found.append(f"{name}: {own} may not include {target}")
    return found, checked


def self_test():
    with tempfile.TemporaryDirectory() as top:
        src = pathlib.Path(top) / "src"  # beside which nothing lies
        (src / "base").mkdir(parents=True)
        (src / "core" / "ingest").mkdir(parents=True)
        (src / "io").mkdir()
        (src / "LAYERS").write_text("base\ncore/ingest base\nio base\n")
        (src / "base" / "a.h").write_text('#include "io/port.h"\n')
        (src / "io" / "port.h").write_text('#include "base/a.h"\n')
        (src / "core" / "ingest" / "x.c").write_text('#include "base/a.h"\n#include "io/port.h"\n')
        found, _ = breaches(src)
        return len(found) == 2


def main():
    src = pathlib.Path(__file__).resolve().parents[2] / "src"
    found, checked = breaches(src)
    for breach in found:
        print(breach)
    sees = self_test()
    if not sees:
        print("the law does not see a breach made on purpose")
    failed = bool(found) + (not sees)
    print(f"{checked} includes held against src/LAYERS")
    print(f"{2 - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
