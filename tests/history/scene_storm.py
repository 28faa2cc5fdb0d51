"""The storm: every kind of trouble with links and processes, in an order that the seed decides, while stock clients and
agents send. What was acknowledged is stored once, in order, unaltered; numbers are used once; all drains."""
import os
import signal

from world import GATEWAYS, World, made_rows, need

BUDGET_S = 30
EPISODE_S = (0.4, 1.3)


def links(world):
    """(name, what to do with a relay)"""
    pick = world.random
    return [
        ("delay", lambda r: setattr(r, "delay_s", 0.02 + pick.random() * 0.1)),
        ("jitter", lambda r: (setattr(r, "delay_s", 0.01), setattr(r, "jitter_s", 0.3))),
        ("clog", lambda r: r.slow(pick.choice((1, 200, 4000)))),
        ("cut up", lambda r: r.cut("up")),
        ("cut down", lambda r: r.cut("down")),
        ("cut", lambda r: r.cut()),
        ("tear", lambda r: r.tear(pick.choice((1, 300, 4000)))),
        ("reset", lambda r: r.reset()),
        ("refuse", lambda r: r.refuse()),
        ("black hole", lambda r: (setattr(r, "blackhole", True), r.reset())),
        ("half open", lambda r: setattr(r, "silent", True)),
    ]


def schedule(world, episodes):
    """[(link treatment, which link, [(role or agent, kill or stop)], seconds)]"""
    pick = world.random
    names = [name for name, _ in links(world)]
    bag, made = [], []
    for _ in range(episodes):
        if not bag:
            bag = pick.sample(names, len(names))  # each treatment comes before any comes again
        victims = pick.sample([*GATEWAYS, "ingest", "control", "keeper", "agent-1", "agent-2"], pick.choice((1, 1, 2, 3)))
        blows = [(victim, pick.choice(("kill", "kill", "stop"))) for victim in victims]
        made.append((bag.pop(), pick.choice(GATEWAYS), blows, pick.uniform(*EPISODE_S)))
    return made


def strike(world, victim, blow):
    """Returns what undoes it."""
    agent = next((a for a in world.agents if a.name == victim), None)
    if agent is None:
        pid = world.signal(victim, signal.SIGKILL if blow == "kill" else signal.SIGSTOP)
        return (lambda: None) if blow == "kill" or not pid else (lambda: resume(pid))
    if agent.is_over():
        return lambda: None
    if blow == "kill":
        agent.kill()
        return agent.start
    agent.signal(signal.SIGSTOP)
    return lambda: agent.signal(signal.SIGCONT)


def resume(pid):
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        pass


def play(seed, long=False):
    episodes = 60 if long else 12
    rows = 6000 if long else 1200
    with World("storm", seed) as world:
        treatments = dict(links(world))
        plan = schedule(world, episodes)
        world.log.note("history", "schedule", plan=plan)
        rate = rows / (episodes * 1.1)
        for i in (1, 2):
            world.agent(f"agent-{i}", made_rows(rows, 1000 * i), round(rate), GATEWAYS[i - 1:] + GATEWAYS[:i - 1])
            world.stock(f"stock-{i}", made_rows(rows, 5000 * i), rate, GATEWAYS[i:] + GATEWAYS[:i], keep_alive=2)
        for relay in world.relays.values():
            relay.capture = True
        busy = 0
        for treatment, link, blows, seconds in plan:
            busy += any(not actor.is_over() for actor in world.stocks)
            world.log.note(link, treatment)
            treatments[treatment](world.relays[link])
            undo = [strike(world, victim, blow) for victim, blow in blows]
            world.wait(seconds)
            for step in undo:
                step()
            world.relays[link].heal()
            world.log.note(link, "healed")
        need(busy > episodes / 2, "the messages ended before the storm did: little was shown")
        replayed = replay(world)
        world.drain(bound_s=75)
        for role in (*GATEWAYS, "ingest", "control", "keeper"):
            world.works_again(role)
        for agent in world.agents:
            need(agent.ended_well(), f"{agent.name} ended with {agent.process.poll()}: {agent.log_text()[-300:]}")
        for stock in world.stocks:
            need(stock.ended_well(), f"{stock.name}: {len(set(stock.sender.acked))} of {len(stock.rows)}: {stock.sender.trouble!r}")
        world.judge(must=("OnceApplied", "AckedIsKept", "OnlyAuthentic", "FloorMonotone", "OneIdentity", "KnownTransition",
                          "BoundedCost"), refusals=("stale-boot",))
        sent = sum(s.sender.connections for s in world.stocks)
        return (f"{episodes} episodes, {sum(len(p[2]) for p in plan)} blows, {sum(a.starts for a in world.agents)} agent starts, "
                f"{sent} connections of stock clients, {replayed} connections replayed")


def replay(world):
    """A stranger on the line sends whole recorded connections again: TLS ends it, no session begins."""
    count = 0
    for gateway in GATEWAYS:
        relay = world.relays[gateway]
        for captured in list(relay.captured)[:4]:
            relay.replay(captured, timeout_s=0.3)
            count += 1
    return count
