#!/usr/bin/env python3
"""Canaries: each mutant of mutants/*.patch breaks one promise on purpose, and the checker it names must notice.
A checker that stays silent fails this test; so does one that complains where nothing is broken.

A patch begins with lines of its own (patch passes over them):

    what:  the promise that is broken, in words
    build: targets of cmake
    check: a command; @B@ is the build folder, @S@ the changed source tree
    when:  "long" where it is left to ./test long; may be missing
    promise: NAME ...   the promises of src/base/invariant.h that it breaks; may be missing

Noticed is: the check ends with a status from 1 to 123, or with an abort, which is a broken INVARIANT. A check that cannot be
run, hangs, or dies of anything else has not noticed; a mutant that does not build shows nothing. Every promise that the code
looks at has a mutant that names it.

The mutants are applied to a copy of the tree below build/canary, one at a time, and only what they name is built.
Usage: run.py [WORD ...]   only the mutants whose file names contain one of the words
"""
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
WORK = TOP / "build" / "canary"
TREE = WORK / "tree"
BUILD = WORK / "build"
CHECK_S = 120
ABORTED = (-6, 134)  # of the program itself, and of one below a shell


def run(command, **how):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **how)


def copy_tree():
    """The tracked files and those not ignored, as they are now; unchanged ones keep their time, so that builds are short."""
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=TOP, capture_output=True, check=True)
    wanted = {name for name in names.stdout.decode().split("\0") if name and (TOP / name).is_file()}
    for name in wanted:
        source, target = TOP / name, TREE / name
        if not target.exists() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            shutil.copymode(source, target)
    for target in [p for p in TREE.rglob("*") if p.is_file()]:
        if target.relative_to(TREE).as_posix() not in wanted:
            target.unlink()


class Mutant:
    def __init__(self, path):
        self.path = path
        self.name = path.stem
        self.fields = {}
        for line in path.read_text().splitlines():
            if line.startswith(("diff ", "--- ")):
                break
            key, colon, value = line.partition(":")
            if colon:
                self.fields[key.strip()] = value.strip()

    def check(self):
        command = self.fields["check"].replace("@B@", str(BUILD)).replace("@S@", str(TREE))
        env = dict(os.environ, HOLDFAST_SOURCE=str(TREE), HOLDFAST_BIN=str(BUILD / "bin"))
        if os.access("/dev/shm", os.W_OK):
            env["TMPDIR"] = "/dev/shm"
        try:
            return run(shlex.split(command), cwd=WORK, timeout=CHECK_S, env=env)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, f"no end within {CHECK_S} s")

    def build(self):
        return run(["nice", "cmake", "--build", str(BUILD), "--target", *self.fields["build"].split()])

    def patch(self, *options):
        return run(["patch", "-p1", "-s", "--no-backup-if-mismatch", *options, "-i", str(self.path)], cwd=TREE, stdin=subprocess.DEVNULL)


def tell(name, what, output=""):
    print(f"{name}: {what}")
    for line in output.splitlines()[-12:]:
        print(f"    {line}")


def has_noticed(status):
    return 0 < status < 124 or status in ABORTED


def name_of(promise):
    """ACKED_IS_KEPT is AckedIsKept."""
    return "".join(word.capitalize() for word in promise.split("_"))


def promises_without_a_mutant(mutants):
    """(those that the code looks at and no mutant breaks, those that nothing looks at yet, what mutants name and is none)"""
    header = (TOP / "src" / "base" / "invariant.h").read_text()
    known = {name_of(p) for p in re.findall(r"^    PROMISE_([A-Z_]+),?$", header, re.M)}
    looked_at = {name_of(p) for path in (TOP / "src").rglob("*.c") if not path.name.endswith("_test.c")
                 for p in re.findall(r"promise_holds\(\s*PROMISE_([A-Z_]+)", path.read_text())}
    named = {name for mutant in mutants for name in mutant.fields.get("promise", "").split()}
    return sorted(looked_at - named), sorted(known - looked_at), sorted(named - known)


def judge_promises(mutants):
    missing, idle, unknown = promises_without_a_mutant(mutants)
    for name in missing:
        tell(name, "is looked at, and no mutant breaks it")
    for name in unknown:
        tell(name, "is named by a mutant, and is no promise")
    for name in idle:
        print(f"not yet: nothing looks at {name}")
    return not missing and not unknown


def sound_checks(mutants):
    """The checks that pass on the tree as it is: only these can say anything. Each command runs once."""
    targets = sorted({t for m in mutants for t in m.fields["build"].split()})
    built = run(["nice", "cmake", "--build", str(BUILD), "--target", *targets])
    if built.returncode != 0:
        tell("canary", "the tree does not build", built.stdout)
        return None
    sound = {}
    for mutant in mutants:
        command = mutant.fields["check"]
        if command not in sound:
            done = mutant.check()
            sound[command] = done.returncode == 0
            if done.returncode != 0:
                tell(mutant.name, f"its check fails although nothing is broken: {command}", done.stdout)
    return sound


def is_caught(mutant):
    applied = mutant.patch("--forward")
    if applied.returncode != 0:
        tell(mutant.name, "the patch does not apply any more", applied.stdout)
        copy_tree()
        return False
    built = mutant.build()
    caught = False
    if built.returncode != 0:
        tell(mutant.name, "DOES NOT BUILD, and so shows nothing", built.stdout)
    else:
        done = mutant.check()
        caught = has_noticed(done.returncode)
        if not caught and done.returncode != 0:
            tell(mutant.name, f"its check broke (status {done.returncode}) and has noticed nothing", done.stdout)
        elif not caught:
            tell(mutant.name, f"SILENT: {mutant.fields['check']} passed although: {mutant.fields['what']}", done.stdout)
    mutant.patch("-R")
    return caught


def main():
    words = sys.argv[1:]
    mutants = [Mutant(p) for p in sorted((pathlib.Path(__file__).parent / "mutants").glob("*.patch"))]
    everything = mutants
    mutants = [m for m in mutants if not words or any(w in m.name for w in words)]
    is_long = os.environ.get("HOLDFAST_TEST_LONG") == "yes" or words
    left = [m.name for m in mutants if m.fields.get("when") == "long" and not is_long]
    mutants = [m for m in mutants if m.name not in left]
    for name in left:
        print(f"skipped {name}: left to ./test long")
    for mutant in mutants:
        missing = {"what", "build", "check"} - set(mutant.fields)
        if missing:
            tell(mutant.name, f"says no {', '.join(sorted(missing))}")
            return 1
    TREE.mkdir(parents=True, exist_ok=True)
    copy_tree()
    configured = run(["cmake", "-S", str(TREE), "-B", str(BUILD), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug"])
    if configured.returncode != 0:
        tell("canary", "cmake fails", configured.stdout)
        print("0 passed, 1 failed, 0 skipped")
        return 1
    sound = sound_checks(mutants)
    passed = failed = 0
    if not words:
        good = judge_promises(everything)
        passed, failed = passed + good, failed + (not good)
    for mutant in mutants:
        if sound is not None and sound[mutant.fields["check"]] and is_caught(mutant):
            print(f"{mutant.name}: caught ({mutant.fields['what']})")
            passed += 1
        else:
            failed += 1
    print(f"{passed} passed, {failed} failed, {len(left)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
