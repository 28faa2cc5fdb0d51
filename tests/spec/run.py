#!/usr/bin/env python3
"""The specifications: each configuration has a record of its states, made from the very files that lie there, and the
explorer finds as many in the real cores.

  run.py [long]            the test; long: every record that tla.py can make is made again
  run.py --record [NAME]   makes records, of all configurations that have none or whose files were changed, or of NAME

With TLA2TOOLS_JAR the records are TLC's. Without it they come from tla.py, which is not TLC: the test then says of each
pair that it was not yet compared with TLC.
"""
import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/spec"))
import tla  # noqa: E402

SPEC = TOP / "spec"
RECORDS = SPEC / "records"
EXPLORE = pathlib.Path(os.environ.get("HOLDFAST_BIN", TOP / "build/release/bin")) / "holdfast-explore"
JAR = os.environ.get("TLA2TOOLS_JAR")
OWN = "tests/spec/tla.py, which is not TLC"
QUICK = 4500      # states of the configurations that every run counts again
LINES_MAX = 150

passed = failed = skipped = 0

# Each breaks one promise of a specification: tla.py must see it, or the promise says nothing.
MUTANTS = [
    ("Admit-one-boot", "ELSE IF k.applied[item] > 0 THEN k\n", "", "OnceApplied"),
    ("Admit-two-boots", "IF BootOf(item) \\in k.links /\\ BootOf", "IF BootOf", "OnlyAuthentic"),
    ("Admit-one-boot", "!.waiting = Append(@, item)]", "!.waiting = @]", "AckedIsKept"),
    ("Received-gaps", "ELSE f      ", 'ELSE [f EXCEPT ![n] = "applied"]      ', "OnceApplied"),
    ("Received-boots", "read' = 0\n    /\\ UNCHANGED <<disk, journal", "read' = read\n    /\\ UNCHANGED <<disk, journal", "AckedIsKept"),
    ("Spool-small", "inflight[i].place <= syncing}", "inflight[i].place <= Len(spool)}", "AckedIsKept"),
    ("Enrolment-small", "IF p.from = registry.state THEN p.to ELSE AfterIssue(registry.state, p.first)", "p.to", "KnownTransition"),
    ("Enrolment-races", 'taken == registry.cert[p.key] # "none" \\/ (p.new /\\ registry.known)', "taken == FALSE", "SameAnswer"),
    ("Sequence-rot", "mending' = IsMended", "mending' = FALSE", "FloorMonotone"),
    ("Sequence-cuts", "counter |-> last.counter + 1", "counter |-> last.counter + 2", "Startable"),
]


def tell(is_good, what, more=""):
    global passed, failed
    passed += bool(is_good)
    failed += not is_good
    print(f"{'ok  ' if is_good else 'FAIL'} {what}{': ' + more if more and not is_good else ''}", flush=True)


def skip(what):
    global skipped
    skipped += 1
    print(f"skipped: {what}", flush=True)


def files_of(name):
    return SPEC / f"{name.split('-')[0]}.tla", SPEC / f"{name}.cfg"


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_record(name):
    path = RECORDS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def is_current(name, record):
    module, config = files_of(name)
    return record["module_sha256"] == digest(module) and record["config_sha256"] == digest(config)


# ---- counting ----

def count_by_tlc(name):
    module, config = files_of(name)
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(["java", "-XX:+UseParallelGC", "-cp", JAR, "tlc2.TLC", "-workers", "2", "-metadir", scratch,
                               "-config", str(config), str(module)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, cwd=scratch)
    states = re.search(r"(\d+) distinct states found", done.stdout)
    depth = re.search(r"depth of the complete state graph search is (\d+)", done.stdout)
    version = re.search(r"TLC2 Version (\S+)", done.stdout)
    if done.returncode != 0 or not states or not depth:
        raise tla.Bad("TLC: " + done.stdout[-2000:])
    return {"tool": f"TLC {version.group(1) if version else '?'}", "distinct_states": int(states.group(1)),
            "depth": int(depth.group(1)) - 1}      # TLC counts the states of the longest way, we its steps


def count_by_tla(name):
    counted = tla.count(*files_of(name))
    return {"tool": OWN, "distinct_states": counted["states"], "depth": counted["depth"], "state_pairs": counted["steps"]}


def make_record(name):
    module, config = files_of(name)
    record = {"module": module.name, "module_sha256": digest(module), "config": config.name, "config_sha256": digest(config),
              **(count_by_tlc(name) if JAR else count_by_tla(name)), "date": datetime.date.today().isoformat()}
    RECORDS.mkdir(exist_ok=True)
    (RECORDS / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")
    return record


def agrees(record, counted):
    return all(record[key] == counted[key] for key in ("distinct_states", "depth", "state_pairs") if key in record and key in counted)


# ---- the test ----

def explored(is_long):
    """What the explorer finds in the cores, by name of the configuration."""
    done = subprocess.run([EXPLORE, "--quiet"] + (["--long"] if is_long else []), stdout=subprocess.PIPE, text=True)
    found = {}
    for line in done.stdout.splitlines():
        if line.startswith("count "):
            fields = dict(word.split("=", 1) for word in line.split()[1:])
            if fields["spec"] != "-":
                found[f"{fields['spec']}-{fields['config']}"] = {
                    "distinct_states": int(fields["images"]), "depth": int(fields["image_depth"]), "state_pairs": int(fields["image_steps"])}
    return found


def check_pair(name, record, cores, is_long):
    if record is None:
        skip(f"{name}: not yet compared: it has no record, and needs TLC (TLA2TOOLS_JAR) for one")
        return
    if not is_current(name, record):
        tell(False, f"{name}: its record is of other files", "run tests/spec/run.py --record")
        return
    if name in cores:
        tell(agrees(record, cores[name]), f"{name}: {record['distinct_states']} states, depth {record['depth']}, as the explorer finds",
             f"record {record}, explorer {cores[name]}")
    elif is_long:
        tell(False, f"{name}: the explorer has no such configuration")
    if JAR:
        counted = count_by_tlc(name)
        tell(agrees(record, counted), f"{name}: TLC counts the same", f"{counted}")
    elif record["distinct_states"] <= QUICK or (is_long and record["tool"] == OWN):
        counted = count_by_tla(name)
        tell(agrees(record, counted), f"{name}: counted again by tla.py", f"{counted}")
    if not JAR and not record["tool"].startswith("TLC"):
        skip(f"{name}: not yet compared with TLC (its record is by {record['tool']})")


def check_mutants():
    for name, old, new, promise in MUTANTS:
        module, config = files_of(name)
        text = module.read_text()
        with tempfile.TemporaryDirectory() as scratch:
            changed = pathlib.Path(scratch) / module.name
            changed.write_text(text.replace(old, new))
            try:
                tla.count(changed, config)
                said = "nothing"
            except tla.Bad as bad:
                said = str(bad)
        tell(text.count(old) == 1 and said.startswith(promise), f"{name}: {promise} is broken by {new.split(chr(10))[0]!r}, and seen", said[:300])


def check_staleness():
    record = {"module_sha256": "0" * 64, "config_sha256": "0" * 64}
    tell(not is_current("Spool-small", record), "a record of other files is noticed")


def main():
    names = sorted(p.stem for p in SPEC.glob("*-*.cfg"))
    if sys.argv[1:2] == ["--record"]:
        for name in sys.argv[2:] or [n for n in names if not (r := read_record(n)) or not is_current(n, r)]:
            try:
                print(name, make_record(name), flush=True)
            except tla.Bad as bad:
                print(f"{name}: {bad}", flush=True)
        return
    is_long = "long" in sys.argv[1:]
    for module in sorted(SPEC.glob("*.tla")):
        lines = len(module.read_text().splitlines())
        tell(lines <= LINES_MAX, f"{module.name} has {lines} lines")
    cores = explored(is_long)
    for name in names:
        try:
            check_pair(name, read_record(name), cores, is_long)
        except tla.Bad as bad:
            tell(False, name, str(bad)[:2000])
    for name in sorted(set(cores) - set(names)):
        tell(False, f"{name}: the explorer has this configuration, spec/ has not")
    check_mutants()
    check_staleness()
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
