#!/usr/bin/env python3
"""Static analysis with no finding. Usage: analyse.py TOOL [WORD ...]   (only files whose path contains a WORD)

    cppcheck   all of it                                   every ./test
    gcc        gcc -fanalyzer over what is shipped         every ./test
    tidy       clang-tidy by .clang-tidy                   every ./test
    clang      the path-sensitive checks of clang-tidy     ./test long

A file that was found clean is not looked at again until it, a header it includes, its flags, the tool or its configuration
changes: a digest of all these is kept below build/analyse. What a tool gets wrong is named where it gets it wrong, with the
reason: NOLINT (clang-tidy), cppcheck-suppress; for gcc below, as clang refuses pragmas that name gcc's analyser.
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[1]
CLEAN = TOP / "build" / "analyse"
INCLUDE = re.compile(rb'^\s*#\s*include\s+"([^"]+)"', re.M)
LIMIT_S = 300

# What `clang` leaves out: functions of Annex K, which no libc has; the order of fields, in which they are read about; va_start
# and LIST_REMOVE, which it does not follow (the address sanitizer looks at those lists in every unit test).
PATHS = ("-*,clang-analyzer-*,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling,"
         "-clang-analyzer-optin.performance.Padding,-clang-analyzer-unix.Malloc,-clang-analyzer-valist.Uninitialized,-clang-analyzer-security.insecureAPI.strcpy")


class Includes:
    """Digests of a file and of all the project's headers it reaches."""

    def __init__(self, folders):
        self.folders = folders
        self.known = {}

    def find(self, name, beside):
        return next((p for p in (folder / name for folder in (beside, *self.folders)) if p.is_file()), None)

    def of(self, path):
        """(digest, [header, ...]) of one file."""
        if path not in self.known:
            text = path.read_bytes()
            found = (self.find(name.decode(), path.parent) for name in INCLUDE.findall(text))
            self.known[path] = hashlib.sha256(text).hexdigest(), [p for p in found if p]
        return self.known[path]

    def closure(self, path):
        seen, todo = {path}, [path]
        while todo:
            for header in self.of(todo.pop())[1]:
                if header not in seen:
                    seen.add(header)
                    todo.append(header)
        return "".join(sorted(self.of(p)[0] for p in seen))


def compiled(preset, *parts):
    """[(file, folder, words)] of what the preset compiles of this project's C below the named parts of the tree."""
    path = TOP / "build" / preset / "compile_commands.json"
    if not path.exists():
        sys.exit(f"no {path}: cmake --preset {preset} first")
    found = {}
    for entry in json.loads(path.read_text()):
        file = pathlib.Path(entry["file"])
        if file.suffix != ".c" or not file.is_relative_to(TOP) or file.is_relative_to(TOP / "build"):
            continue
        if file.relative_to(TOP).parts[0] in parts:
            found[file] = (file, pathlib.Path(entry["directory"]), shlex.split(entry["command"]))
    return [found[file] for file in sorted(found)]


def is_test(file):
    folders = file.relative_to(TOP).parts
    return file.name.endswith("_test.c") or folders[0] in ("tests", "sim") or folders[:2] == ("src", "test")


# What gcc 12 gets wrong, by file: what is held where INVARIANT ends the process, or in a structure that it lost sight of, passes
# for leaked; a struct that a function of another file returned passes for uninitialised.
NOT_OF_GCC = {
    "-Wno-analyzer-malloc-leak": ("src/io/posix/file.c", "src/io/sim/call.c", "src/io/sim/disk.c", "src/io/sim/pages.c", "src/io/sim/stream.c",
                                  "src/io/posix/session.c", "src/io/sim/tls_session.c", "src/role/control_reports.c", "src/role/control_view.c", "src/role/http.c"),
    "-Wno-analyzer-use-of-uninitialized-value": ("src/codec/trace.c", "src/core/gateway/session_subscribe.c"),
}


def gcc_command(entry):
    file, _folder, words = entry
    words = [w for w in words if not w.endswith("ccache") and w not in ("-c", "-Werror", str(file))]
    at = words.index("-o")
    del words[at:at + 2]
    let_off = [option for option, files in NOT_OF_GCC.items() if str(file.relative_to(TOP)) in files]
    return [*words, "-fanalyzer", *let_off, "-S", "-o", "/dev/null", str(file)]


# Tests count in small numbers, read what they wrote themselves, compare bit by bit, ask what is false, and stand in for
# functions of libraries, by names that are reserved.
LET_OFF = ",".join("-" + check for check in (
    "bugprone-implicit-widening-of-multiplication-result", "bugprone-not-null-terminated-result", "bugprone-reserved-identifier",
    "bugprone-suspicious-memory-comparison", "cert-dcl37-c", "cert-err33-c", "cert-dcl51-cpp", "cert-exp42-c", "cert-flp37-c",
    "misc-redundant-expression", "readability-inconsistent-declaration-parameter-name"))


def tidy(entry, *options):
    return ["clang-tidy", "--quiet", *options, "-p", str(TOP / "build" / "clang"), str(entry[0])]


def tidy_command(entry):
    return tidy(entry, *([f"--checks={LET_OFF}"] if is_test(entry[0]) else []))


def paths_command(entry):
    return tidy(entry, f"--checks={PATHS}", "--warnings-as-errors=*")


TOOLS = {
    # name: (program, preset, is it for tests too, files of configuration, command of a file)
    "gcc": ("gcc", "release", False, [], gcc_command),
    "tidy": ("clang-tidy", "clang", True, [".clang-tidy"], tidy_command),
    "clang": ("clang-tidy", "clang", False, [], paths_command),
}
FINDING = re.compile(r"(warning|error):")


def each_file(name, words):
    program, preset, tests_too, configuration, command_of = TOOLS[name]
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    settings = version + "".join((TOP / path).read_text() for path in configuration)
    includes = Includes([TOP / "src", TOP])
    entries = [e for e in compiled(preset, "src", "sim", "tests") if tests_too or not is_test(e[0])]
    entries = [e for e in entries if not words or any(w in str(e[0].relative_to(TOP)) for w in words)]
    folder = CLEAN / name
    folder.mkdir(parents=True, exist_ok=True)

    def look(entry):
        file, where, flags = entry
        command = command_of(entry)
        key = hashlib.sha256("\0".join([settings, *command, *flags, includes.closure(file)]).encode()).hexdigest()
        mark = folder / str(file.relative_to(TOP)).replace("/", "_")
        if mark.exists() and mark.read_text() == key:
            return file, True, None
        done = subprocess.run(command, cwd=where, capture_output=True, text=True, errors="replace", timeout=LIMIT_S)
        said = done.stdout + (done.stderr if done.returncode or name == "gcc" else "")
        if done.returncode == 0 and not FINDING.search(said):
            mark.write_text(key)
            return file, False, None
        return file, False, said

    bad = kept = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for file, was_known, said in pool.map(look, entries):
            kept += was_known
            if said is not None:
                bad += 1
                print(f"--- {file.relative_to(TOP)}\n{said.strip()[:6000]}")
    print(f"{name}: {len(entries)} files, {kept} of them as they were when they were last looked at")
    return len(entries) - bad, bad


def cppcheck(_name, words):
    """The whole tree at once; it keeps what it found out about each file by itself."""
    folder = CLEAN / "cppcheck"
    folder.mkdir(parents=True, exist_ok=True)
    command = ["cppcheck", "--quiet", "--std=c11", "--platform=unix64", "-j", str(os.cpu_count() or 2), "--inline-suppr",
               "--enable=warning,style,performance,portability", "--error-exitcode=1", f"--cppcheck-build-dir={folder}",
               f"--suppressions-list={TOP / 'tests' / 'cppcheck.suppressions'}", "--template={file}:{line}: {id}: {message}",
               "-I", "src", "-I", ".", "--library=posix", "-D_POSIX_C_SOURCE=200809L"]
    files = [str(f.relative_to(TOP)) for f, _, _ in compiled("release", "src", "sim", "tests")]
    files = [f for f in files if not words or any(w in f for w in words)]
    done = subprocess.run([*command, *files], cwd=TOP, capture_output=True, text=True, errors="replace", timeout=LIMIT_S)
    print((done.stdout + done.stderr).strip())
    print(f"cppcheck: {len(files)} files")
    return (len(files), 0) if done.returncode == 0 else (0, max(1, len(done.stderr.splitlines())))


def main():
    name, words = sys.argv[1], sys.argv[2:]
    program = TOOLS[name][0] if name in TOOLS else name
    if shutil.which(program) is None:
        print(f"no {program} here\n0 passed, 1 failed, 0 skipped")
        return 1
    passed, failed = (cppcheck if name == "cppcheck" else each_file)(name, words)
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
