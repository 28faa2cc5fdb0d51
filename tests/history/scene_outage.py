"""A long outage: nobody tries again without a limit, nothing grows, and when it is over everything drains. Meanwhile one
device is started again and again, far more often than ingest keeps boots, and what each boot measured must arrive."""
import signal

from world import Relay, World, made_rows, need, wait_for

BUDGET_S = 45
BOOTS = 40  # more than ingest keeps in memory of one device


class Watched:
    """An agent with a link of its own, so that every attempt is its."""

    def __init__(self, world, name, treatment):
        self.world, self.name, self.treatment = world, name, treatment
        self.relay = Relay("127.0.0.1", world.platform.gateway_port("gw-1"), seed=world.seed)
        world.relays[f"link of {name}"] = self.relay

    def begin(self):
        self.from_s = self.world.log.now()
        self.world.log.note(self.name, self.treatment)
        if self.treatment == "black hole":
            self.relay.blackhole = True
            self.relay.reset()
        elif self.treatment == "half open":
            self.relay.silent = True
            self.relay.cut()
        else:
            self.relay.refuse()

    def end(self):
        times = [at - self.world.log.began for at in self.relay.attempts]
        self.world.outages.append((self.name, self.from_s, self.world.log.now(), times))
        return sum(self.from_s <= t for t in times)


def many_boots(world, rows):
    """Boots in the dark: each reads on in the recording, is killed or stopped, and what it kept waits in its outbox."""
    agent = world.agent("restless", rows, 150, ("gw-3",))
    wait_for(lambda: "is live" in agent.log_text(), 20, "the restless device is live once")
    world.relays["gw-3"].refuse()
    for _ in range(BOOTS):
        world.wait(world.random.uniform(0.05, 0.4))
        if world.random.random() < 0.5:
            agent.kill()
        else:
            agent.signal(signal.SIGTERM)
            agent.process.wait(10)
        agent.start()
    return agent


def play(seed, long=False):
    seconds = 150 if long else 8
    with World("outage", seed) as world:
        watched = [Watched(world, f"patient-{i}", treatment)
                   for i, treatment in enumerate(("refused", "refused", "black hole", "half open"), 1)]
        for w in watched:
            rows = made_rows(int(40 * (seconds + 12)), 1000 * int(w.name[-1]))
            agent = world.agent(w.name, rows, 40)
            agent.kill()
            agent.gateways = f"localhost:{w.relay.port}"
            agent.start()
        for agent in world.agents:
            wait_for(lambda a=agent: "is live" in a.log_text(), 20, f"{agent.name} is live")
        for w in watched:
            w.begin()
        restless = many_boots(world, made_rows(1500, 9e5))
        world.wait(max(0, seconds - (world.log.now() - watched[0].from_s)))
        world.look()
        held_kb = [kilobytes for _, at, kilobytes in world.agents_memory if at > watched[0].from_s + seconds / 2]
        tried = [w.end() for w in watched]
        outage_s = world.log.now() - watched[0].from_s
        # Healed, a device may still wait for as long as its last attempt has earned it: a bound that doubled.
        world.drain(bound_s=min(60, 2 * outage_s) + 30)
        for agent in world.agents:
            need(agent.ended_well(), f"{agent.name} ended with {agent.process.poll()}: {agent.log_text()[-300:]}")
        boots = world.platform.api("/devices/restless")["boot"]
        world.judge(must=("OnceApplied", "AckedIsKept", "OnlyAuthentic", "FloorMonotone", "BoundedCost"), refusals=("stale-boot",))
        need(restless.starts > BOOTS, "too few boots")
        held = f"at most {max(held_kb) / 1024:.1f} MiB in an agent" if held_kb else "the agents' memory not looked at"
        return f"{outage_s:.0f} s of outage, attempts {tried}, {held}, {boots} boots of one device, most of them in the dark"
