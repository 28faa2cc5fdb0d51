"""The IP link between devices and the site: packets overtake each other, come twice, late or never, or go one way only, while
gateways are killed so that nobody hears of it. The kernel's TCP is the real one at both ends; what was acknowledged is stored
once, in order, and everybody finds a way back."""
import os
import signal

import wire
from world import GATEWAYS, World, made_rows, need, wait_for

EPISODE_S = (0.6, 1.8)


def treatments(world):
    """(name, what to do with the wire)"""
    pick, link = world.random, world.wire

    def put(**fields):
        return lambda: [setattr(link, name, value) for name, value in fields.items()]

    def ports():
        return {world.platform.gateway_port(pick.choice(GATEWAYS))}

    return [
        ("reorder", put(delay_s=0.005, jitter_s=0.06)),
        ("twice", put(twice=0.4, jitter_s=0.01)),
        ("old packets", put(old=0.5, jitter_s=0.02)),
        ("loss", put(loss=0.15)),
        ("one way up", lambda: link.cut("down")),
        ("one way down", lambda: link.cut("up")),
        ("one way up at a gateway", lambda: link.cut("down", ports())),
        ("one way down at a gateway", lambda: link.cut("up", ports())),
        ("cut", lambda: (link.cut("up"), link.cut("down"))),
        ("all of it", put(delay_s=0.01, jitter_s=0.08, loss=0.05, twice=0.2, old=0.2)),
    ]


def play(seed, long=False):
    if not os.environ.get(wire.INSIDE):
        reason = wire.why_not()
        if reason:
            return f"skipped: no network namespaces with a TUN device: {reason}"
        is_good, said = wire.in_namespaces("wire", seed, long)
        need(is_good, said)
        return said.removeprefix("wire: ").rpartition(" (")[0]
    episodes = 60 if long else 10
    with World("wire", seed, relays=False, begins=begin) as world:
        plan = []
        for _ in range(episodes):
            plan += world.random.sample(treatments(world), len(treatments(world))) if len(plan) < episodes else []
        rows = 80 * episodes
        for i in (1, 2):
            world.agent(f"agent-{i}", made_rows(rows, 1000 * i), 50, GATEWAYS[i - 1:] + GATEWAYS[:i - 1])
            world.stock(f"stock-{i}", made_rows(rows, 5000 * i), 50, GATEWAYS[i:] + GATEWAYS[:i], keep_alive=2,
                        begin=world.wire.enter_far)
        for agent in world.agents:
            wait_for(lambda a=agent: "is live" in a.log_text(), 30, f"{agent.name} is live")
        busy = 0
        for name, treat in plan[:episodes]:
            busy += any(not actor.is_over() for actor in world.stocks)
            world.log.note("wire", name)
            treat()
            if "way" in name or name == "cut":  # nobody hears of its end
                world.wait(0.2)
                world.signal(world.random.choice(GATEWAYS), signal.SIGKILL)
            world.wait(world.random.uniform(*EPISODE_S))
            world.wire.heal()
            world.log.note("wire", "healed")
        need(busy > episodes / 2, "the messages ended before the trouble did: little was shown")
        counts = world.wire.counts
        need(all(counts[what] for what in ("overtaken", "twice", "old", "lost")), f"the wire was too kind: {counts}")
        world.drain(bound_s=75)
        for role in (*GATEWAYS, "ingest", "control", "keeper"):
            world.works_again(role)
        for actor in [*world.agents, *world.stocks]:
            need(actor.ended_well(), f"{actor.name} did not end well")
        world.judge(must=("OnceApplied", "AckedIsKept", "OnlyAuthentic", "FloorMonotone", "OneIdentity", "KnownTransition",
                          "BoundedCost"), refusals=("stale-boot",))
        return f"{episodes} episodes; packets: {', '.join(f'{n} {what}' for what, n in sorted(counts.items()))}"


def begin(world):
    world.wire = wire.Wire(world.seed)
    world.far = world.wire.far()
