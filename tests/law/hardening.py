#!/usr/bin/env python3
"""What is shipped is hard to misuse: position independent, addresses bound and made read-only at the start, no stack that
runs code, checked copies, guarded stacks, marked targets of jumps, nothing exported, no path to libraries, and nothing of
the simulation. Each rule also has to refuse a program made without it. Usage: hardening.py BUILD_DIR (release)"""
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

SHIPPED = ("holdfast", "holdfast-agent")
FLAGS = ("-O2", "-fstack-protector-strong", "-fstack-clash-protection", "-fcf-protection=full", "-fvisibility=hidden")
# With _FORTIFY_SOURCE each of these becomes __NAME_chk, whatever its arguments; others only where a size is known.
FORTIFIED = ("printf", "fprintf", "vprintf", "vfprintf")


def run(*command):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, errors="replace", check=True).stdout


class Program:
    def __init__(self, path):
        self.path = path
        self.header = run("readelf", "-hW", path)
        self.dynamic = run("readelf", "-dW", path)
        self.segments = run("readelf", "-lW", path)
        self.notes = run("readelf", "-nW", path)
        names = [line.split() for line in run("nm", "-D", path).splitlines()]
        self.asks = {n[-1].partition("@")[0] for n in names if n[-2] in "Uw"}
        # Of ours: what the C library gives (stdout) is copied here and carries its version.
        self.offers = {n[-1] for n in names if n[-2] not in "Uw" and "@" not in n[-1]}
        self.units = re.findall(r"DW_AT_producer\s*:\s*(?:\(.*?\): )?(.*)", run("readelf", "--debug-dump=info", path))
        self.main = run("objdump", "-d", "--no-show-raw-insn", "--disassemble=main", path)


def has_pie(p):
    return "DYN (Position-Independent" in p.header or "the program stands at fixed addresses"


def has_relro(p):
    return "GNU_RELRO" in p.segments or "addresses of functions stay writable"


def binds_now(p):
    return "BIND_NOW" in p.dynamic or "addresses of functions are looked up late, and so stay writable"


def has_no_code_on_stack(p):
    stack = re.search(r"GNU_STACK.* (\S+)\s+0x\w+\n", p.segments)
    return (stack is not None and "E" not in stack.group(1)) or "the stack can run code"


def guards_stacks(p):
    return "__stack_chk_fail" in p.asks or "no function checks its canary"


def checks_copies(p):
    plain = sorted(p.asks & set(FORTIFIED))
    return (not plain and any(n.endswith("_chk") and n != "__stack_chk_fail" for n in p.asks)) or f"not fortified: {plain}"


def units_have_flags(p):
    """Of every unit, also of those where no code shows it; compilers write their options into the debugging information."""
    units = [u for u in p.units if " C17" in u or " C11" in u]
    missing = sorted({flag for unit in units for flag in FLAGS if flag not in unit.split()})
    return (bool(units) and not missing) or f"{len(units)} units, some compiled without {missing}"


def marks_jumps(p):
    return "endbr64" in p.main or "targets of jumps are not marked"


def allows_shadow_stack(p):
    return "SHSTK" in p.notes or "the loader is not told that a shadow stack fits"


def has_no_path(p):
    return not re.search(r"\((RPATH|RUNPATH)\)", p.dynamic) or "it looks for libraries where somebody built it"


def exports_nothing(p):
    return not p.offers or f"exported: {sorted(p.offers)[:5]}"


def holds_no_simulation(p):
    data = p.path.read_bytes()
    return not any(word in data for word in (b"io/sim/", b"sim/world", b"crypto/stub")) or "code of the simulation is in it"


IS_X86 = platform.machine() == "x86_64"
RULES = (has_pie, has_relro, binds_now, has_no_code_on_stack, guards_stacks, checks_copies, has_no_path, exports_nothing,
         holds_no_simulation, *((units_have_flags, marks_jumps, allows_shadow_stack) if IS_X86 else ()))

SOFT = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
const char made_of[] = "src/io/sim/world.c";
int shown(const char *text) { char to[16]; strcpy(to, text); return printf("%s %s", to, getenv("A")); }
int main(int argc, char **argv) { return shown(argv[argc - 1]); }
"""
SOFTLY = ("-O1", "-g", "-std=c17", "-no-pie", "-fno-pie", "-fno-stack-protector", "-fcf-protection=none", "-U_FORTIFY_SOURCE", "-rdynamic",
          "-Wl,-z,norelro", "-Wl,-z,lazy", "-Wl,-z,execstack", "-Wl,-rpath,/opt/lib")


def soft_program(folder):
    (folder / "soft.c").write_text(SOFT)
    subprocess.run(["gcc", "-w", *SOFTLY, "-o", folder / "soft", folder / "soft.c"], check=True, capture_output=True)
    return Program(folder / "soft")


def unmarked_objects(build):
    """Objects of the programs without both marks: one of them takes the mark from the whole."""
    return [o for o in sorted((build / "src").rglob("*.o"))
            if "_test.c" not in o.name and "x86 feature: IBT, SHSTK" not in run("readelf", "-nW", o)]


def start_files_mark_jumps():
    start = run("gcc", "-print-file-name=Scrt1.o").strip()
    return "IBT" in run("readelf", "-nW", start)


def main():
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build/release")
    passed = failed = skipped = 0

    def tell(holds, text):
        nonlocal passed, failed
        passed, failed = passed + holds, failed + (not holds)
        if not holds:
            print(text)

    programs = [Program(build / "bin" / name) for name in SHIPPED]
    for program in programs:
        for rule in RULES:
            said = rule(program)
            tell(said is True, f"{program.path.name}: {rule.__name__}: {said}")
    with tempfile.TemporaryDirectory() as folder:
        soft = soft_program(pathlib.Path(folder))
        for rule in RULES:
            tell(rule(soft) is not True, f"the law does not see a breach made on purpose: {rule.__name__}")
    bare = unmarked_objects(build) if IS_X86 else []
    tell(not bare, f"objects without IBT and SHSTK: {[str(o) for o in bare]}")
    if IS_X86 and start_files_mark_jumps():
        for program in programs:
            tell("IBT" in program.notes, f"{program.path.name}: the loader is not told that all targets of jumps are marked")
    else:
        print("skipped: IBT of a whole program: this C library's start files (Scrt1.o) are without its mark; each object of ours has it")
        skipped += 1
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
