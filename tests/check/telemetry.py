#!/usr/bin/env python3
"""The strict checker of telemetry histories (AckedIsKept, OnceApplied).

A history says of each sender what it attempted, in order; which of that was acknowledged to it; what the store
holds in the end, in order; and what was declared dropped, with a reason. Then

    acked    is inside  applied plus declared drops
    applied  is inside  attempted, value for value
    nothing is applied twice, nothing both applied and dropped, every drop has a reason
    applied keeps the order of the attempts

An item is (key, value): the key tells it from every other of its sender (a sequence number, a row's time and name).
Losses are classed by where they lie among the attempts: prefix, middle, end. O(n log n).
"""
from dataclasses import dataclass, field

from finding import Finding


@dataclass
class History:
    sender: str
    attempted: list = field(default_factory=list)  # (key, value), in the order of sending
    acked: list = field(default_factory=list)  # keys
    applied: list = field(default_factory=list)  # (key, value), in the order of the store
    dropped: list = field(default_factory=list)  # (key, reason)
    in_order: bool = True  # whether the store's order is the sender's


def runs(indices):
    """Neighbouring indices as (first, last)."""
    found = []
    for i in indices:
        if found and found[-1][1] == i - 1:
            found[-1][1] = i
        else:
            found.append([i, i])
    return found


def class_of(first, last, count):
    if first == 0 and last == count - 1:
        return "all"
    return "prefix" if first == 0 else "end" if last == count - 1 else "middle"


def losses(history, index_of, kept):
    """Acked and neither applied nor dropped: a finding for each class of place."""
    lost = sorted(index_of[key] for key in set(history.acked) if key in index_of and key not in kept)
    by_class = {}
    for first, last in runs(lost):
        by_class.setdefault(class_of(first, last, len(history.attempted)), []).append((first, last))
    for place, spans in sorted(by_class.items()):
        count = sum(last - first + 1 for first, last in spans)
        yield Finding(history.sender, "lost", count, place, history.attempted[spans[0][0]][0])


def check(history):
    """What is wrong with it: a list of findings, empty where every promise was kept."""
    found = []

    def note(what, keys):
        keys = list(keys)
        if keys:
            found.append(Finding(history.sender, what, len(keys), example=keys[0]))

    index_of = {}
    value_of = {}
    repeated = []
    for i, (key, value) in enumerate(history.attempted):
        if key in index_of:
            repeated.append(key)
        index_of.setdefault(key, i)
        value_of[key] = value
    note("attempted twice under one key: the history itself cannot be judged", repeated)

    times = {}
    for key, _ in history.applied:
        times[key] = times.get(key, 0) + 1
    dropped = {key for key, _ in history.dropped}
    note("twice", [key for key, n in times.items() if n > 1])
    note("invented", [key for key in times if key not in index_of])
    note("altered", [key for key, value in history.applied if key in value_of and value_of[key] != value])
    note("dropped-and-applied", [key for key in dropped if key in times])
    note("no-reason", [key for key, reason in history.dropped if not reason])
    note("ack-of-nothing", [key for key in history.acked if key not in index_of])
    found += losses(history, index_of, dropped | set(times))
    if history.in_order:
        order = [index_of[key] for key, _ in history.applied if key in index_of]
        note("reordered", [history.attempted[b][0] for a, b in zip(order, order[1:]) if b < a])
    return found


def good():
    items = [(i, i * 0.5) for i in range(100)]
    return History("canary", list(items), [k for k, _ in items], items[:40] + items[41:], [(40, "declared lost")])


def cases():
    yield None, "", good()
    h = good()
    del h.acked[50:]
    del h.applied[60:]
    yield None, "", h  # what was never acknowledged may be missing
    h = good()
    del h.applied[:3]
    yield "lost", "prefix", h
    h = good()
    del h.applied[50:52]
    yield "lost", "middle", h
    h = good()
    h.applied.pop()
    yield "lost", "end", h
    h = good()
    h.applied.insert(60, h.applied[60])
    yield "twice", "", h
    h = good()
    h.applied.append((1000, 0.0))
    yield "invented", "", h
    h = good()
    h.applied[10] = (h.applied[10][0], 7.25)
    yield "altered", "", h
    h = good()
    h.applied[20], h.applied[21] = h.applied[21], h.applied[20]
    yield "reordered", "", h
    h = good()
    h.dropped.append((7, "declared lost"))
    yield "dropped-and-applied", "", h
    h = good()
    h.dropped[0] = (40, "")
    yield "no-reason", "", h
    h = good()
    h.acked.append(5000)
    yield "ack-of-nothing", "", h
