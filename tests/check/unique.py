"""The checker of numbers: ids, serials, boots and sequence numbers are never used for two things (FloorMonotone, OneIdentity).

    each name has one meaning     (device, seq) -> the bytes sealed under it; (device, boot) -> its ephemeral key;
                                  serial -> the certificate; device id -> the hardware key, and the other way round
    each clock only rises         the boots of a device over the starts of its agent; the first number of a boot is above
                                  every number of an earlier one

A history is what was seen, in true time: on the wire and in spools, in tables, over kills, restored backups and clones.
What the platform refused and said so is not a use: `refused` names those. O(n log n).
"""
from dataclasses import dataclass, field

from finding import Finding


@dataclass
class History:
    names: list = field(default_factory=list)  # (kind, scope, name, meaning); the same may be seen often
    starts: list = field(default_factory=list)  # (scope, boot), in the order of the starts
    sealed: list = field(default_factory=list)  # (scope, boot, seq)
    refused: set = field(default_factory=set)  # (kind, scope, name, meaning) the platform refused, and counted


def one_meaning(history):
    meanings = {}
    for use in history.names:
        kind, scope, name, meaning = use
        if use not in history.refused:
            meanings.setdefault((kind, scope, name), set()).add(meaning)
    by_kind = {}
    for (kind, scope, name), found in meanings.items():
        if len(found) > 1:
            by_kind.setdefault((kind, scope), []).append(name)
    for (kind, scope), names in sorted(by_kind.items(), key=str):
        yield Finding(str(scope), f"{kind} with two meanings", len(names), example=names[0])


def rising_boots(history):
    last = {}
    for scope, boot in history.starts:
        if boot <= last.get(scope, 0):
            yield Finding(str(scope), "boot that does not rise", example=(last[scope], boot))
        last[scope] = max(boot, last.get(scope, 0))


def rising_numbers(history):
    """Within a device: sorted by boot, each boot's least number is above the greatest before it."""
    spans = {}
    for scope, boot, seq in history.sealed:
        low, high = spans.setdefault(scope, {}).get(boot, (seq, seq))
        spans[scope][boot] = (min(low, seq), max(high, seq))
    for scope, boots in sorted(spans.items(), key=str):
        most = 0
        for boot, (low, high) in sorted(boots.items()):
            if low <= most:
                yield Finding(str(scope), "number of an earlier boot", example=(boot, low, most))
            most = max(most, high)


def check(history):
    return [*one_meaning(history), *rising_boots(history), *rising_numbers(history)]


def good():
    names = [("seq", "d", i, f"bytes {i}") for i in range(1, 30)] * 2
    names += [("boot", "d", b, f"key {b}") for b in (1, 2, 3)] + [("serial", "", f"{i:x}", f"der {i}") for i in range(9)]
    names += [("id", "", "hf1:a", "key a"), ("hardware", "", "key a", "hf1:a")]
    return History(names, [("d", 1), ("d", 2), ("e", 1), ("d", 4)], [("d", 1, 1), ("d", 1, 9), ("d", 2, 10), ("d", 3, 64), ("d", 2, 63)])


def cases():
    yield None, "", good()
    h = good()
    h.names.append(("boot", "d", 3, "key of a clone"))
    h.refused.add(("boot", "d", 3, "key of a clone"))
    yield None, "", h
    for kind, name in (("seq", 7), ("boot", 2), ("serial", "3"), ("id", "hf1:a"), ("hardware", "key a")):
        h = good()
        h.names.append((kind, "d" if kind in ("seq", "boot") else "", name, "something else"))
        yield f"{kind} with two meanings", "", h
    h = good()
    h.starts.append(("d", 4))
    yield "boot that does not rise", "", h
    h = good()
    h.starts.append(("e", 1))
    yield "boot that does not rise", "", h
    h = good()
    h.sealed.append(("d", 3, 63))
    yield "number of an earlier boot", "", h
