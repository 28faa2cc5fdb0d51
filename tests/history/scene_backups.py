"""Backups put back: an older store, then an older registry, under a site that went on since. What is promised today, and what
is not:

    store       the gateways' spools still hold what came since: ingest reads it again, and everything is there once
    registry    what it forgot is gone. A device that enrolled since keeps its certificate, and its messages are taken and stored
                still, but the registry knows of none of it, and gives out the numbers of its entries again for other things.

The second is seen by our checkers and by nothing in the product, as long as no witness keeps the registry's newest checkpoint.
The scene says so aloud; a site that refuses such a registry passes it too."""
import contextlib
import shutil
import sqlite3

import registry
import scene_power
from world import Failed, World, finding, made_rows, need, unique, wait_for

DATABASES = {"store": "store/store.db", "registry": "control/registry.db"}


def copy_of(world, which):
    """A consistent copy of a database in use: its file and its log while nobody may write. What SQLite's own tools copy has
    a first page without our check value, and is refused (docs/decisions/0065)."""
    kept = world.folder / f"{which}.backup"
    path = world.platform.data / DATABASES[which]
    with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        for end in ("", "-wal"):
            if path.with_name(path.name + end).exists():
                shutil.copyfile(path.with_name(path.name + end), kept.with_name(kept.name + end))
        db.execute("ROLLBACK")
    world.log.note("operator", "backup", of=which)
    return kept


def put_back(world, which, kept):
    """Stops the site, puts the copy in place, starts it. Devices do not stop when a site does."""
    platform = world.platform
    agents, platform.others = platform.others, []
    need(platform.stop() == 0, "the platform stops")
    path = platform.data / DATABASES[which]
    shutil.copyfile(kept, path)
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    if kept.with_name(kept.name + "-wal").exists():
        shutil.copyfile(kept.with_name(kept.name + "-wal"), path.with_name(path.name + "-wal"))
    (platform.data / "up.json").unlink(missing_ok=True)
    world.log.note("operator", "restored", of=which)
    platform.start()
    platform.others = agents


def entries(world):
    return {index: (kind, about) for index, kind, about in world.registry("SELECT idx, kind, object FROM entries")}


def acked_more(stock, count):
    before = len(stock.sender.acked)
    wait_for(lambda: len(stock.sender.acked) > before + count, 30, f"{stock.name} is served")


def enrolled(world, name, salt):
    agent = world.agent(name, made_rows(300, salt), 25, ("gw-2", "gw-3"))
    wait_for(lambda: "is live" in agent.log_text(), 30, f"{name} is live")
    return agent


def older_store(world, stock, kept):
    """Everything that came since the copy was made is in the spools, and comes once."""
    put_back(world, "store", kept)
    acked_more(stock, 30)
    world.platform.catch_up()
    return "read again from the spools"


def older_registry(world, stock, kept, late):
    """(what the site or nobody said, what the checker found)"""
    before = entries(world)
    try:
        put_back(world, "registry", kept)
        acked_more(stock, 30)
    except Failed as refused:
        return f"the site refuses it: {refused}", []
    enrolled(world, "later", 3e6)
    now = entries(world)
    changed = unique.check(unique.History([("entry", "", i, entry) for seen in (before, now) for i, entry in seen.items()]))
    with contextlib.suppress(Failed):
        wait_for(late.is_over, 30, "the forgotten device has delivered")
    need(late.ended_well(), "a device whose certificate the registry forgot cannot deliver any more")
    found = registry.check(registry.History(held(world, ["late"]), [], [], None))
    need(changed and found, f"the restored registry was not seen: {changed}, {found}")
    said = world.platform.cli("check", check=False)
    told = "registry" in said.stdout.lower() and said.returncode != 0
    return f"{changed[0].count} {changed[0].what}, {found[0].what}: " \
        + ("the product tells" if told else "NOTHING IN THE PRODUCT TELLS OF IT YET"), found


def held(world, names):
    class Named:
        def __init__(self, name):
            self.name = name

    return scene_power.answers_held(world, [Named(name) for name in names])


def play(seed, long=False):
    with World("backups", seed, relays=False) as world:
        stock = world.stock("stock", made_rows(6000, 1), 150, ("gw-1", "gw-2"))
        agent = world.agent("device", made_rows(600, 1e6), 25, ("gw-2", "gw-3"))
        wait_for(lambda: "is live" in agent.log_text(), 30, "the device is live")
        acked_more(stock, 50)
        kept = {which: copy_of(world, which) for which in DATABASES}
        late = enrolled(world, "late", 2e6)
        acked_more(stock, 50)
        said = [f"store: {older_store(world, stock, kept['store'])}"]
        told, found = older_registry(world, stock, kept["registry"], late)
        said.append(f"registry: {told}")
        world.log.note("history", "said", said=said)
        stock.sender.pace_s = 0
        world.drain(bound_s=60)
        # The registry has no name for it any more, and the API no way to its points: they are looked for in the store.
        if found:
            identity = held(world, ["late"])[0].identity
            points = world.platform.sql("SELECT count(*) FROM series WHERE device = ?", bytes.fromhex(identity))[0][0]
            if points != 2:
                found = [finding.Finding("late", "acknowledged and not in the store", example=points)]
            else:
                found = []
            world.agents.remove(late)
        world.judge(must=("OnceApplied", "AckedIsKept", "OnlyAuthentic", "FloorMonotone", "OneIdentity", "BoundedCost"),
                    refusals=("stale-boot",), more=found)
        need(stock.ended_well() and agent.ended_well(), "somebody did not end well")
        return "; ".join(said)
