#!/usr/bin/env python3
"""The cipher of the simulations keeps no secret: no program that is installed may hold any of it. Looks into the
programs for its symbols, for the names of its sources in the debugging information, and for what it must have
instead, the real library. Usage: stub.py BUILD_DIR"""
import pathlib
import subprocess
import sys

SHIPPED = ("holdfast", "holdfast-agent")
WITNESS = "unit/crypto_stub_test"  # has it, so that this law can be seen to see


def holds_stub(program):
    names = subprocess.run(["nm", str(program)], capture_output=True, text=True, check=True).stdout
    symbols = {line.split()[-1].partition("@")[0] for line in names.splitlines()}
    return "crypto_seed" in symbols or b"crypto/stub" in program.read_bytes(), symbols


def main():
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build/debug")
    failed = 0
    for name in SHIPPED:
        stub, symbols = holds_stub(build / "bin" / name)
        if stub:
            print(f"{name} holds the stub cipher")
            failed += 1
        if "SHA256_Update" not in symbols or "ECDSA_do_verify" not in symbols:
            print(f"{name} does not ask for the real library's hash and signatures")
            failed += 1
    if not holds_stub(build / WITNESS)[0]:
        print(f"the law does not see the stub where it is: {WITNESS}")
        failed += 1
    print(f"{5 - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
