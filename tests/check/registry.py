"""The checker of the registry (OneIdentity, KnownTransition): what many clients saw of it at once is what one client after
another could have seen, and what it lists is what it holds.

    an answer holds       what was answered is in the table: this certificate, for this device and key
    a key has one answer  all answers to one key are the same certificate, however often and from wherever it was asked
    order                 what was answered before another was asked stands before it: the registry's entries are the order
    reads                 a read that began after an answer shows it; one that ended before a question does not
    one identity          a hardware key has one device, a device one hardware key, a name one device; generations 1, 2, 3 ...
    the list              the API's list equals the table

The registry numbers its entries, so a history has versions, and linearizability is a sweep over the ends of intervals
(Gibbons and Korach's case of known versions): O(n log n).
"""
from dataclasses import dataclass, field

from finding import Finding


@dataclass
class Op:
    device: str
    kind: str  # enrol, renew, bundle, read
    invoked: float
    returned: float = None  # None: no answer came, the outcome is unknown
    key: str = ""
    answer: str = ""  # the certificate's serial; "" where there is none
    outcome: str = "ok"  # ok, refused, unknown
    generations: int = None  # of a read: how many certificates it showed


@dataclass
class Row:
    serial: str
    device: str
    key: str
    generation: int
    entry: int


@dataclass
class History:
    ops: list = field(default_factory=list)
    rows: list = field(default_factory=list)  # certificates, in any order
    devices: list = field(default_factory=list)  # (id, name, hardware key)
    listed: list = field(default_factory=list)  # the same, as the API lists them: (id, name)


def answers_hold(history):
    row_of = {row.serial: row for row in history.rows}
    by_key = {}
    for op in history.ops:
        if op.kind == "read" or op.outcome != "ok":
            continue
        row = row_of.get(op.answer)
        if row is None:
            yield Finding(op.device, "answer that the registry does not hold", example=op.answer)
        elif (row.device, row.key) != (op.device, op.key):
            yield Finding(op.device, "answer of another device or key", example=op.answer)
        by_key.setdefault(op.key, set()).add(op.answer)
    for key, answers in by_key.items():
        if len(answers) > 1:
            yield Finding("", "key with two answers", len(answers), example=key)


def sweep(earlier, later):
    """earlier: (when it was over, version), later: (when it began, version): none of `later` may have a version at or below
    that of one of `earlier` which was over before. Yields those that do."""
    earlier = sorted(earlier)
    most, i = None, 0
    for began, version, what in sorted(later, key=lambda entry: entry[0]):
        while i < len(earlier) and earlier[i][0] < began:
            most = earlier[i][1] if most is None else max(most, earlier[i][1])
            i += 1
        if most is not None and version <= most:
            yield what, most


def order_holds(history):
    """Certificates: over at the first answer, begun at the first question for the key."""
    first_asked, first_answered = {}, {}
    for op in history.ops:
        if op.kind == "read":
            continue
        first_asked[op.key] = min(op.invoked, first_asked.get(op.key, op.invoked))
        if op.outcome == "ok" and op.returned is not None:
            first_answered[op.key] = min(op.returned, first_answered.get(op.key, op.returned))
    earlier = [(first_answered[row.key], row.entry) for row in history.rows if row.key in first_answered]
    later = [(first_asked[row.key], row.entry, row) for row in history.rows if row.key in first_asked]
    for row, most in sweep(earlier, later):
        yield Finding(row.device, "entry before an earlier one", example=(row.entry, most))
    for row in history.rows:
        if row.key not in first_asked and any(op.key for op in history.ops):
            yield Finding(row.device, "certificate that nobody asked for", example=row.serial)


def reads_hold(history):
    """By device: a read shows at least what was answered before it began, at most what was asked before it ended."""
    generation_of = {row.key: row.generation for row in history.rows}
    by_device = {}
    for op in history.ops:
        by_device.setdefault(op.device, []).append(op)
    for device, ops in by_device.items():
        reads = [op for op in ops if op.kind == "read" and op.returned is not None and op.generations is not None]
        writes = [op for op in ops if op.kind != "read" and op.key in generation_of]
        answered = [(op.returned, generation_of[op.key]) for op in writes if op.outcome == "ok" and op.returned is not None]
        shown = [(op.returned, op.generations) for op in reads]
        # A version that is seen must not fall: half a step above what was written or read before.
        for op, most in sweep([(t, 2 * v) for t, v in answered + shown], [(op.invoked, 2 * op.generations + 1, op) for op in reads]):
            yield Finding(device, "read of the past", example=(op.generations, most // 2))
        first_asked = {}
        for op in writes:
            generation = generation_of[op.key]
            first_asked[generation] = min(op.invoked, first_asked.get(generation, op.invoked))
        for op in reads:
            if op.generations in first_asked and first_asked[op.generations] > op.returned:
                yield Finding(device, "read of the future", example=op.generations)


def one_identity(history):
    for what, at in (("hardware key of two devices", 2), ("name of two devices", 1), ("id twice", 0)):
        seen = {}
        for device in history.devices:
            seen.setdefault(device[at], []).append(device)
        for value, found in seen.items():
            if len(found) > 1:
                yield Finding(found[0][0], what, len(found), example=value)
    keys, generations = {}, {}
    for row in history.rows:
        keys.setdefault(row.key, []).append(row)
        generations.setdefault(row.device, []).append((row.entry, row.generation))
    for key, rows in keys.items():
        if len(rows) > 1:
            yield Finding(rows[0].device, "key of two certificates", len(rows), example=key)
    for device, found in generations.items():
        if [generation for _, generation in sorted(found)] != list(range(1, len(found) + 1)):
            yield Finding(device, "generations that are not 1, 2, 3", example=sorted(found))


def the_list(history):
    held = sorted((identity, name) for identity, name, _ in history.devices)
    if history.listed is not None and sorted(history.listed) != held:
        missing = set(held) ^ set(history.listed)
        yield Finding("", "list that is not the table", max(1, len(missing)), example=sorted(missing)[:1])


def check(history):
    found = [*answers_hold(history), *order_holds(history), *reads_hold(history), *one_identity(history), *the_list(history)]
    return found


def good():
    rows = [Row("s1", "a", "k1", 1, 10), Row("s2", "a", "k2", 2, 14), Row("s3", "b", "k3", 1, 12)]
    ops = [
        Op("a", "enrol", 1.0, 2.0, "k1", "s1"), Op("a", "enrol", 1.5, 9.0, "k1", "s1"), Op("b", "enrol", 1.2, None, "k3", outcome="unknown"),
        Op("b", "enrol", 4.0, 5.0, "k3", "s3"), Op("a", "read", 2.5, 3.0, generations=1), Op("a", "renew", 2.8, 6.0, "k2", "s2"),
        Op("a", "read", 2.9, 6.5, generations=2), Op("a", "read", 7.0, 7.5, generations=2), Op("a", "enrol", 8.0, 8.1, "k9", outcome="refused"),
    ]
    return History(ops, rows, [("a", "press-a", "ha"), ("b", "press-b", "hb")], [("b", "press-b"), ("a", "press-a")])


def cases():
    yield None, "", good()
    yield None, "", History()

    def wrong(what, change):
        h = good()
        change(h)
        return what, "", h

    def set_op(i, **fields):
        return lambda h: h.ops[i].__dict__.update(fields)

    def set_row(i, **fields):
        return lambda h: h.rows[i].__dict__.update(fields)

    yield wrong("answer that the registry does not hold", set_op(0, answer="s9"))
    yield wrong("answer of another device or key", set_op(3, answer="s1"))
    yield wrong("key with two answers", set_op(1, answer="s2"))
    yield wrong("entry before an earlier one", set_row(1, entry=9))
    yield wrong("read of the past", set_op(7, generations=1))
    yield wrong("read of the past", lambda h: h.ops.append(Op("a", "read", 7.8, 7.9, generations=1)))
    yield wrong("read of the future", lambda h: h.ops.append(Op("a", "read", 2.1, 2.2, generations=2)))
    yield wrong("hardware key of two devices", lambda h: h.devices.append(("c", "press-c", "ha")))
    yield wrong("name of two devices", lambda h: h.devices.append(("c", "press-a", "hc")))
    yield wrong("key of two certificates", lambda h: h.rows.append(Row("s4", "b", "k1", 2, 15)))
    yield wrong("generations that are not 1, 2, 3", set_row(1, generation=3))
    yield wrong("certificate that nobody asked for", lambda h: h.rows.append(Row("s4", "b", "k4", 2, 15)))
    yield wrong("list that is not the table", lambda h: h.listed.pop())
    yield wrong("list that is not the table", lambda h: h.listed.append(("c", "press-c")))
