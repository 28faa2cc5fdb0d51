"""The checker of what the roles say of their own invariants: each that must have been looked at was, none was violated.

Counters live in a process, and processes are killed: a history holds every sample that was taken, of each role. "Zero
violations" counts only beside evaluations, so a name that nobody looked at is a finding.
"""
import re
from dataclasses import dataclass, field

from finding import Finding

LINE = re.compile(r'^holdfast_invariant_(evaluations|violations)_total\{name="([^"]+)"\} (\S+)$', re.M)
BREACHES = re.compile(r"^holdfast_invariant_breaches_total (\S+)$", re.M)


@dataclass
class History:
    samples: list = field(default_factory=list)  # (role, text of its metrics)
    must: tuple = ()  # names that the run must have made somebody look at


def check(history):
    evaluations, violations, breaches = {}, {}, {}
    for role, text in history.samples:
        for kind, name, value in LINE.findall(text):
            into = evaluations if kind == "evaluations" else violations
            into[name] = max(into.get(name, 0), float(value))
        for value in BREACHES.findall(text):
            breaches[role] = max(breaches.get(role, 0), float(value))
    found = [Finding("", "not looked at", where=name) for name in history.must if not evaluations.get(name)]
    found += [Finding("", "violated", int(n), where=name) for name, n in sorted(violations.items()) if n > 0]
    found += [Finding(role, "breach", int(n)) for role, n in sorted(breaches.items()) if n > 0]
    return found


def text(name, evaluations, violations, breaches=0):
    return (f'# HELP x\nholdfast_invariant_evaluations_total{{name="{name}"}} {evaluations}\n'
            f'holdfast_invariant_violations_total{{name="{name}"}} {violations}\nholdfast_invariant_breaches_total {breaches}\n')


def good():
    return History([("ingest", text("OnceApplied", 0, 0)), ("ingest", text("OnceApplied", 12, 0)), ("ingest", text("OnceApplied", 1, 0)),
                    ("gw-1", text("BoundedCost", 3, 0))], ("OnceApplied", "BoundedCost"))


def cases():
    yield None, "", good()
    h = good()
    h.must += ("AckedIsKept",)
    yield "not looked at", "AckedIsKept", h
    h = good()
    h.samples[1] = ("ingest", text("OnceApplied", 12, 1))
    yield "violated", "OnceApplied", h
    h = good()
    h.samples.append(("control", text("OneIdentity", 5, 0, breaches=2)))
    yield "breach", "", h
