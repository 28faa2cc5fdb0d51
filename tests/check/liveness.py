"""The checker of liveness: after healing everything drains in bounded time, no one tries without a limit, nothing grows
without one.

    drains    each thing that must become true after the healing did, within its bound
    attempts  in every outage each actor tries again less and less often: waits have a bound that doubles from `first_s` to
              `last_s`, uniform below it (full jitter), so the mean says how many attempts are plausible
    memory    a role's resident memory is below its limit, and does not climb: the last third of the samples is not
              above the first third by more than `slack`, where a process is looked at from `starting_s` on: while it
              starts it takes its tables; what an agent has of its own (RssAnon: no program text, no
              library) stays below its limit whatever waits in its outbox
"""
from dataclasses import dataclass, field

from finding import Finding


@dataclass
class History:
    drains: list = field(default_factory=list)  # (who, what, healed at, became true at or None, bound in s)
    outages: list = field(default_factory=list)  # (who, from, to, [time of each attempt])
    memory: list = field(default_factory=list)  # (role, time, kilobytes)
    agents: list = field(default_factory=list)  # (agent, time, kilobytes of its own)
    first_s: float = 1.0
    last_s: float = 60.0
    memory_max_kb: int = 512 * 1024
    memory_slack_kb: int = 48 * 1024
    agent_max_kb: int = 4 * 1024
    starting_s: float = 3.0


def plausible(seconds, first_s, last_s):
    """Twice the mean number of attempts and four more: under full jitter less than one outage in 10^5 has more."""
    count, bound, spent = 0, first_s, 0.0
    while spent <= seconds:
        spent += bound / 2
        bound = min(2 * bound, last_s)
        count += 1
    return 2 * count + 4


def drains(history):
    for who, what, healed, became, bound in history.drains:
        if became is None:
            yield Finding(who, "never", where=what)
        elif became - healed > bound:
            yield Finding(who, "too late", where=what, example=round(became - healed, 1))


def attempts(history):
    for who, began, ended, times in history.outages:
        within = [t for t in times if began <= t <= ended]
        most = plausible(ended - began, history.first_s, history.last_s)
        if len(within) > most:
            yield Finding(who, "attempts without a limit", len(within), example=f"at most {most} in {ended - began:.0f} s")


def memory(history):
    by_role = {}
    for role, at, kilobytes in history.memory:
        by_role.setdefault(role, []).append((at, kilobytes))
    for role, samples in sorted(by_role.items()):
        most, began = max(kilobytes for _, kilobytes in samples), min(at for at, _ in samples)
        sizes = [kilobytes for at, kilobytes in sorted(samples) if at >= began + history.starting_s]
        third = len(sizes) // 3
        if most > history.memory_max_kb:
            yield Finding(role, "more memory than its limit", example=most)
        elif third and min(sizes[-third:]) > max(sizes[:third]) + history.memory_slack_kb:
            yield Finding(role, "memory that climbs", example=(max(sizes[:third]), min(sizes[-third:])))


def agents(history):
    for name in sorted({name for name, _, _ in history.agents}):
        most = max(kilobytes for who, _, kilobytes in history.agents if who == name)
        if most > history.agent_max_kb:
            yield Finding(name, "more memory of its own than an agent may have", example=most)


def check(history):
    return [*drains(history), *attempts(history), *memory(history), *agents(history)]


def good():
    waits = [0.3, 1.1, 2.9, 3.0, 11.0, 25.0]
    times = [100 + sum(waits[:i]) for i in range(len(waits))]
    return History([("agent", "its outbox is empty", 10.0, 14.0, 20.0)], [("agent", 100.0, 160.0, times)],
                   [("gw-1", i, 9000 + i * 40) for i in range(60)], [("agent", i, 2300) for i in range(60)])


def cases():
    yield None, "", good()
    yield None, "", History()
    h = good()
    h.drains.append(("stock", "all is stored", 10.0, None, 20.0))
    yield "never", "all is stored", h
    h = good()
    h.drains.append(("stock", "all is stored", 10.0, 31.0, 20.0))
    yield "too late", "all is stored", h
    h = good()
    h.outages.append(("hasty", 100.0, 130.0, [100 + i * 0.5 for i in range(60)]))
    yield "attempts without a limit", "", h
    h = good()
    h.memory += [("ingest", i, 20000 + i * 2000) for i in range(90)]
    yield "memory that climbs", "", h
    h = good()
    h.memory += [("gw-3", i, 68000 if i else 11000) for i in range(5)]
    yield None, "", h  # seen first amid its start
    h = good()
    h.memory += [("gw-3", i, 11000 if i < 8 else 68000) for i in range(13)]
    yield "memory that climbs", "", h
    h = good()
    h.memory.append(("ingest", 3, 600 * 1024))
    yield "more memory than its limit", "", h
    h = good()
    h.agents.append(("agent", 61, 4097))
    yield "more memory of its own than an agent may have", "", h
