"""What every checker shares: the form of a finding, and how a checker shows that it can fail.

A checker is a module with `check(history) -> [Finding]` and `cases()`, which yields (what must be found or None, where,
history): small histories by hand, good ones and one for each way of being wrong. tests/check/run.py runs all cases.
"""
from dataclasses import dataclass


@dataclass
class Finding:
    who: str  # the sender, device, role it is about
    what: str
    count: int = 1
    where: str = ""
    example: object = None

    def __str__(self):
        where = f" ({self.where})" if self.where else ""
        example = f", for example {self.example!r}" if self.example is not None else ""
        return f"{self.who}: {self.count} {self.what}{where}{example}"


def prove(name, check, cases):
    """(passed, failed): good histories pass, each wrong one is caught for what it is."""
    passed = failed = 0
    for what, where, history in cases:
        found = check(history)
        if what is None and found:
            print(f"{name}: a good history was refused: {found[0]}")
            failed += 1
        elif what is not None and not any(f.what == what and (not where or f.where == where) for f in found):
            print(f"{name}: silent about: {what} {where}; it said {[str(f) for f in found]}")
            failed += 1
        else:
            passed += 1
    return passed, failed
