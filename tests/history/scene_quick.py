"""A small history that every checker looks at, in a few seconds: what the canaries play. A gateway, ingest and an agent are
killed once, a key is asked for three times, one device has a short outage."""
import registry
import scene_identity
from scene_outage import Watched
from world import World, blamed, made_rows, need, wait_for

BUDGET_S = 12


def asked_thrice(world):
    """Three answers to one key, and a read before and after."""
    client, ops = scene_identity.Client(world, "asker"), []
    asking = scene_identity.Asking(world, 0, [client], [], ops, None)
    for kind in ("read", "enrol", "enrol", "read", "enrol"):
        op = registry.Op(client.serial, kind, world.log.now())
        op.raw = b""
        if kind == "enrol":
            op.key = client.keys[0].id
            op.outcome, op.raw = client.enrol(client.keys[0], world.relays["devices"].port)
            need(op.outcome == "ok", "an enrolment that nothing disturbed was not answered")
        else:
            op.outcome, op.generations = asking.read(client.serial)
        op.returned = world.log.now()
        ops.append(op)
    return scene_identity.judge_registry(world, ops)


def play(seed, long=False):
    with World("quick", seed) as world:
        stock = world.stock("stock", made_rows(300, 1), 150, ("gw-1",))
        agent = world.agent("mortal", made_rows(300, 2e6), 100, ("gw-2",))
        lonely = Watched(world, "lonely", "refused")
        world.agent("lonely", made_rows(200, 3e6), 80, ("link of lonely",))
        for name in ("mortal", "lonely"):
            wait_for(lambda n=name: world.stored(n), 20, f"points of {name}")
        lonely.begin()
        findings = asked_thrice(world)
        if findings:
            blamed.add("registry")
        agent.kill()
        agent.start()
        for role in ("gw-1", "ingest"):
            world.signal(role, 9)
        world.wait(1.5)
        tried = lonely.end()
        world.drain(bound_s=30)
        world.judge(must=("OnceApplied", "AckedIsKept", "OnlyAuthentic", "FloorMonotone", "OneIdentity", "KnownTransition",
                          "BoundedCost"), refusals=("stale-boot",), more=findings)
        need(stock.ended_well() and all(a.ended_well() for a in world.agents), "somebody did not end well")
        return f"{tried} attempts in an outage"
