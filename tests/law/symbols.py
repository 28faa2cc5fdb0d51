#!/usr/bin/env python3
"""Purity, shown on the object files: what base, codec, trust and core ask of the linker is themselves, crypto
and a few functions of the C library that neither take memory, nor tell time, nor reach the world.
Usage: symbols.py BUILD_DIR"""
import pathlib
import re
import subprocess
import sys

ALLOWED = {
    "memcpy", "memmove", "memset", "memcmp", "memchr", "strlen", "strcmp", "strncmp", "abort",
    "__memcpy_chk", "__memset_chk", "__memmove_chk", "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_",
    "fabs", "floor", "ceil", "ldexp", "frexp", "isnan", "llround", "round", "trunc", "fmod", "scalbn", "sqrt",
    "log2", "pow",
    # which instructions the processor has: read once by the compiler's own start-up code
    "__cpu_model", "__cpu_indicator_init",
}
ALLOWED_PREFIX = re.compile(r"^(__asan_|__ubsan_|__sanitizer_|__gcov_|__llvm_|__start_|__stop_)")
CRYPTO = re.compile(r"^([A-Z][A-Za-z0-9]*_|d2i_|i2d_|o2i_|i2o_)")
NEVER = re.compile(r"(malloc|calloc|realloc|^free$|^time$|clock|gettimeofday|socket|^open|^read$|^write$|getrandom|"
                   r"rand$|getenv|printf|fopen|pthread)")


def symbols(archive):
    """What the objects of a static library ask for, with the object's name, and what they define."""
    text = subprocess.run(["nm", "-P", "-A", str(archive)], capture_output=True, text=True, check=True).stdout
    undefined, defined = [], set()
    for line in text.splitlines():
        where, _, rest = line.partition(": ")
        name, kind = rest.split()[:2]
        if kind in "Uwv":
            undefined.append((where, name))
        elif kind.isupper():
            defined.add(name)
    return undefined, defined


def is_pure(layer, name, ours):
    if name in ours or name in ALLOWED or ALLOWED_PREFIX.match(name):
        return True
    return layer == "crypto" and CRYPTO.match(name) is not None and not NEVER.search(name)


def main():
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build/debug")
    archives = []
    for layer in ("base", "crypto", "codec", "trust", "core"):
        archives += [(layer, path) for path in sorted((build / "src" / layer).rglob("lib*.a"))]
    if not archives:
        print(f"no libraries below {build}: build first")
        print("0 passed, 1 failed, 0 skipped")
        return 1
    ours = set()
    wanted = []
    for layer, path in archives:
        undefined, defined = symbols(path)
        ours |= defined
        wanted += [(layer, where, name) for where, name in undefined]
    found = sorted({(where, name) for layer, where, name in wanted if not is_pure(layer, name, ours)})
    for where, name in found:
        print(f"{where}: asks for {name}")
    sees = not any(is_pure(layer, name, ours) for layer, name in (
        ("core", "malloc"), ("crypto", "CRYPTO_malloc"), ("codec", "clock_gettime"), ("core", "EVP_MD_CTX_new")))
    if not sees:
        print("the law does not see a breach made on purpose")
    failed = bool(found) + (not sees)
    print(f"{len(wanted)} references of {len(archives)} pure libraries looked at")
    print(f"{2 - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
