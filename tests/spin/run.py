#!/usr/bin/env python3
"""Spin over the explorer's worlds: the same C, embedded, searched by another engine.

Calibration: Spin stores as many states as the explorer counts. Liveness, which the explorer does not look at: once nothing
happens but a world's own steps, it settles: every message is applied and forgotten, every number that came has its fate,
an enrolment is complete. A mutant of the property shows that Spin can see it fail.

Usage: run.py [WORD]"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("HOLDFAST_BIN", TOP / "build/release/bin")).parent
OFFERS = 24       # events at most in one state of these configurations

CALIBRATE = [("sequence", "cuts"), ("received", "boots"), ("enrol", "races")]
LIVENESS = [("received", "boots"), ("spool", "small"), ("enrol", "races")]

passed = failed = 0


def tell(is_good, what, more=""):
    global passed, failed
    passed += bool(is_good)
    failed += not is_good
    print(f"{'ok  ' if is_good else 'FAIL'} {what}", flush=True)
    if not is_good:
        print("\n".join("    " + line for line in more.splitlines()[-40:]))


def promela(claim):
    """The model: any of the events that can happen, again and again. `claim`: an ltl formula over quiet, settled and starved."""
    flags = " now.quiet = embed.is_quiet; now.settled = embed.is_settled; now.starved = embed.is_starved;" if claim else ""
    options = "\n".join(f"    :: atomic {{ c_expr {{ embed.can[{i}] }} -> c_code {{ embed_take({i});{flags} }}; c_code [embed.is_good] {{ ; }} }}"
                        for i in range(OFFERS))
    return f"""c_decl {{
\\#include "tests/spin/embed.h"
}};
c_track "&embed" "sizeof(struct embed)" "UnMatched";
c_track "embed_packed" "EMBED_PACKED_BYTES" "Matched";
{"bool quiet, settled, starved;" if claim else ""}
active proctype world()
{{
    c_code {{ embed_begin(); }};
end:
    do
{options}
    od
}}
{claim}
"""


def libraries():
    return ([BUILD / "sim/explore/libexplore_worlds.a", "-Wl,--start-group", *sorted(BUILD.glob("src/**/lib*.a")), "-Wl,--end-group", "-lcrypto"])


def search(world, config, claim=""):
    with tempfile.TemporaryDirectory() as scratch:
        model = pathlib.Path(scratch) / "world.pml"
        model.write_text(promela(claim))
        made = subprocess.run(["spin", "-a", model], cwd=scratch, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        kind = ["-DNOREDUCE"] if claim else ["-DSAFETY", "-DNOREDUCE"]
        built = subprocess.run(["gcc", "-O1", "-w", *kind, f"-DEMBED_WORLD=explore_{world}", f'-DEMBED_CONFIG="{config}"', "-DVECTORSZ=8192",
                                "-I", TOP, "-I", TOP / "src", "-o", "pan", "pan.c", TOP / "tests/spin/embed.c", *libraries()],
                               cwd=scratch, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if made.returncode != 0 or built.returncode != 0:
            return None, made.stdout + built.stdout
        ran = subprocess.run(["./pan", "-m1000000", "-w22"] + (["-a", "-N", "settles"] if claim else []), cwd=scratch,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    stored = re.search(r"(\d+) states, stored", ran.stdout)
    errors = re.search(r"errors: (\d+)", ran.stdout)
    if ran.returncode != 0 or not stored or not errors or "depth reached" not in ran.stdout or "max search depth too small" in ran.stdout:
        return None, ran.stdout
    return (int(stored.group(1)), int(errors.group(1))), ran.stdout


def explored(world, config):
    done = subprocess.run([BUILD / "bin/holdfast-explore", "--world", world, "--config", config, "--quiet"], stdout=subprocess.PIPE, text=True)
    return int(re.search(r" states=(\d+)", done.stdout).group(1))


def main():
    if not shutil.which("spin"):
        print("skipped: spin is not installed (tools/setup)")
        print("0 passed, 0 failed, 1 skipped")
        return
    for world, config in CALIBRATE:
        found, output = search(world, config)
        states = explored(world, config)
        # Spin also counts the state before embed_begin.
        tell(found == (states + 1, 0), f"{world} {config}: Spin stores the {states} states that the explorer counts", output)
    for world, config in LIVENESS:
        found, output = search(world, config, "ltl settles { ((<> [] quiet) && ([] <> !starved)) -> (<> [] settled) }")
        tell(found is not None and found[1] == 0, f"{world} {config}: when faults end it settles"
             f"{f' ({found[0]} states)' if found else ''}", output)
    found, output = search("spool", "small", "ltl settles { <> settled }")
    tell(found is not None and found[1] == 1, "spool small: that it settles under faults for ever is refuted", output)
    print(f"{passed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


main()
