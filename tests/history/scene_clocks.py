"""Wrong clocks: devices that boot in 1970, machines whose wall clock jumps by hours and years while certificates are
issued and sessions live. Nothing is lost or taken twice; when the clocks are right again everybody gets through."""
from world import Faults, World, made_rows, need, wait_for

BUDGET_S = 40
JUMPS_D = (-1 / 24, 1 / 24, -3, 3, -400, 500, -3650, 3650, -20000)


def device(world, name, salt, days, rows=300, rate=30):
    """An agent on a machine of its own, whose wall clock is off by so many days."""
    own = Faults(world.folder, f"clock-of-{name}")
    own.clock(days=days)
    agent = world.agent(name, made_rows(rows, salt), rate, env=own.env())
    agent.clock = own
    world.log.note(name, "clock", days=days)
    return agent


def play(seed, long=False):
    with World("clocks", seed, relays=False, faults=True) as world:
        pick = world.random
        stock = world.stock("stock", made_rows(4000 if long else 1500, 1), 100)
        steady = device(world, "steady", 2e6, 0, rows=400)
        ancient = device(world, "ancient", 3e6, -20780)  # its clock says 1970, as that of a board without a battery
        wait_for(lambda: "is live" in steady.log_text(), 20, "a device with a good clock is live")
        wait_for(lambda: "is live" in ancient.log_text(), 30, "a device that woke up in 1970 is live")
        ancient.clock.clock()
        jumps = pick.sample(JUMPS_D, len(JUMPS_D) if long else 4)
        for i, days in enumerate(jumps):
            world.log.note("site", "clock", days=days)
            world.machine.clock(days=days)
            # A clock that is wrong together with the site's is only looked at again after a minute.
            device(world, f"newcomer-{i}", 4e6 + i * 1e5, pick.choice((0, days) if long else (0,)), rows=60)
            if pick.random() < 0.5:
                role = pick.choice(("gw-1", "control", "ingest"))
                world.signal(role, 9)
            world.wait(pick.uniform(0.8, 1.6))
            world.machine.clock()
            world.wait(0.3)
        for agent in world.agents:
            agent.clock.clock()
        world.drain(bound_s=180 if long else 75)
        for agent in world.agents:
            need(agent.ended_well(), f"{agent.name} ended with {agent.process.poll()}: {agent.log_text()[-400:]}")
        need(stock.ended_well(), f"{len(stock.sender.acked)} of {len(stock.rows)}: {stock.sender.trouble!r}")
        world.judge(must=("OnceApplied", "AckedIsKept", "OnlyAuthentic", "OneIdentity", "BoundedCost"))
        return f"jumps of {', '.join(f'{d:.3g}' for d in jumps)} days, {len(world.agents)} devices, one from 1970"
