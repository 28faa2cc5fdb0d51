"""Disks that are full, or cannot sync once or for ever, one after another under each role. What was acknowledged stays; what
cannot be kept is not acknowledged; the role says in words what is wrong; with room again everything drains."""
import lib
from world import Faults, World, made_rows, need, wait_for

SYNCS = ("fsync", "fdatasync")


def words(world, role):
    return (world.platform.data / "log" / f"{role}.log").read_text(errors="replace")


def told(world, role, before, *wanted):
    """The role has said each of these words since its log had `before` letters; its last line."""
    wait_for(lambda: all(w in words(world, role)[before:] for w in wanted), 20, f"{role} says {', '.join(wanted)}")
    return words(world, role)[before:].strip().splitlines()[-1]


def acked_of(stock):
    return len(stock.sender.acked)


def stalls_of(world, gateway):
    text = (world.platform.data / "run" / f"{gateway}.metrics").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("holdfast_gateway_stalls_total "))


def full_spool(world, stock):
    """No room under a gateway: no PUBACK, no loss, no end; with room again the acknowledgements go on."""
    wait_for(lambda: acked_of(stock) > 20, 20, "the stock client is served")
    stalls = stalls_of(world, "gw-1")
    world.machine.full("gateway/gw-1/spool")
    pace, stock.sender.pace_s = stock.sender.pace_s, 0  # what is laid out ahead is soon used up
    wait_for(lambda: stalls_of(world, "gw-1") > stalls, 20, "the gateway counts a stall")
    stopped_at = wait_for(lambda: (acked_of(stock), world.wait(1.0))[0] == acked_of(stock) and acked_of(stock), 10,
                          "no acknowledgement without room")
    stock.sender.pace_s = pace
    need(world.platform.pid("gw-1"), "the gateway ended on a full disk")
    world.machine.rules()
    wait_for(lambda: acked_of(stock) > stopped_at, 20, "acknowledgements go on when there is room")
    return f"{stopped_at} acknowledged before, none without room"


def full_store(world, stock):
    """No room under the store: gateways go on acknowledging; ingest says why it cannot, and begins again until it can."""
    before = len(words(world, "ingest"))
    world.machine.full("store/store.db", in_place=False)
    said = told(world, "ingest", before, "full")
    acked = acked_of(stock)
    wait_for(lambda: acked_of(stock) > acked + 5, 20, "gateways acknowledge while the store is full")
    world.machine.rules()
    world.works_again("ingest")
    world.platform.catch_up()
    return said


def full_registry(world, stock):
    """No room under the registry: nobody gets a certificate that the registry does not hold; with room the device enrols."""
    before = len(words(world, "control"))
    held = world.registry("SELECT count(*) FROM certificates")
    world.machine.full("control/registry.db", in_place=False)
    agent = world.agent("late-device", made_rows(40, 9e6), 0)
    wait_for(lambda: "HF-3221" in agent.log_text(), 30, "the device hears that it must wait, and why")
    said = told(world, "control", before, "has no room", "full")
    need(world.registry("SELECT count(*) FROM certificates") == held, "a certificate was kept without room")
    need("has a certificate" not in agent.log_text(), "a device has a certificate that the registry does not hold")
    world.machine.rules()
    world.works_again("control")
    wait_for(lambda: "has a certificate" in agent.log_text(), 90, "the device enrols when there is room")
    return said


def full_outbox(world, stock):
    """No room on the device itself: it waits or ends in words; with room, started again where need be, every row arrives."""
    own = Faults(world.platform.dir, "faults-of-device")
    agent = world.agent("full-device", made_rows(500, 8e6), 200, env=own.env())
    wait_for(lambda: "is live" in agent.log_text(), 20, "the device is live")
    own.full("full-device/", in_place=world.random.random() < 0.5)
    # An outbox without room waits; a file that must be written ends the agent. Which comes first is the machine's to say.
    world.wait(1.5)
    ended = agent.is_over()
    own.rules()
    if ended and not agent.ended_well():
        need(agent.process.returncode == 74, f"the agent ended with {agent.process.returncode}: {agent.log_text()[-200:]}")
        agent.start()
    wait_for(agent.is_over, 60, "the device has delivered all")
    need(agent.ended_well(), agent.log_text()[-300:])
    return agent.log_text().splitlines()[-1] if ended else "it waited"


def broken_sync(world, stock, role, part):
    """A sync fails: the role ends at once, in words."""
    pid = world.platform.pid(role)
    before = len(words(world, role))
    mode = world.random.choice(("once", "forever"))
    world.machine.rules(*(f"{call}@{part}:1:EIO:{mode}" for call in SYNCS))
    if role == "control":  # it syncs when something is to be kept
        done = world.platform.cli("device", "bundle", "unlucky", "--for", "mosquitto", "--out", str(world.platform.dir / "unlucky"),
                                  "--gateway", "localhost:1", check=False)
        need(done.returncode != 0, "a bundle was given although it could not be kept")
        need(told(world, role, before, "SQLite"), "control does not say what failed")
    wait_for(lambda: lib.is_gone(pid), 20, f"{role} ends after a failed sync")
    world.machine.rules()
    if role != "gw-1":
        world.works_again(role)
    return f"{mode}: {told(world, role, before, ' ')}"


def broken_device_sync(world, stock):
    own = Faults(world.platform.dir, "faults-of-other-device")
    agent = world.agent("broken-device", made_rows(500, 7e6), 200, env=own.env())
    wait_for(lambda: "is live" in agent.log_text(), 20, "the device is live")
    own.rules(*(f"{call}@broken-device/:{world.random.randint(1, 4)}:EIO:once" for call in SYNCS))
    wait_for(agent.is_over, 20, "the agent ends after a failed sync")
    need(agent.process.returncode == 74, f"the agent ended with {agent.process.returncode}: {agent.log_text()[-200:]}")
    own.rules()
    said = agent.log_text().strip().splitlines()[-1]
    agent.start()
    return said


def slow_syncs(world, stock):
    """Every sync of the site takes 60 ms: slower, and nothing else."""
    world.machine.rules("fdatasync:1:60ms:forever", "fsync:1:60ms:forever")
    acked = acked_of(stock)
    wait_for(lambda: acked_of(stock) > acked + 40, 30, "acknowledgements on a slow disk")
    world.machine.rules()
    return "slower, and nothing else"


def operator_looks(world):
    """A gateway whose disk failed stays stopped until somebody has looked; then the site is started again."""
    need("its storage failed" in (world.platform.dir / "demo.log").read_text(), "the supervisor does not say that a disk failed")
    need(world.platform.pid("gw-1") == 0, "a gateway was started again on a disk that had failed")
    agents, world.platform.others = world.platform.others, []  # devices do not stop when a site does
    need(world.platform.stop() == 0, "the platform stops")
    world.platform.start()
    world.platform.others = agents
    world.log.note("operator", "restart")


def play(seed, long=False):
    with World("disks", seed, relays=False, faults=True) as world:
        stock = world.stock("stock", made_rows(30000 if long else 16000, 1), 150, ("gw-1", "gw-2"), ballast=4000)
        agent = world.agent("device", made_rows(1600 if long else 800, 5e6), 40, ("gw-1", "gw-2", "gw-3"))
        wait_for(lambda: "is live" in agent.log_text(), 20, "the agent is live")
        phases = [(full_spool,), (full_store,), (full_registry,), (full_outbox,), (broken_device_sync,), (slow_syncs,),
                  (broken_sync, "ingest", "store/store.db"), (broken_sync, "control", "control/registry.db")]
        world.random.shuffle(phases)
        phases.append((broken_sync, "gw-1", "gateway/gw-1/spool"))  # the last: this one stays stopped
        for phase, *args in phases:
            world.log.note("history", phase.__name__, args=args)
            said = phase(world, stock, *args)
            world.log.note("history", "said", text=said)
            print(f"  {world.log.now():5.1f} s {' '.join([phase.__name__, *args])}: {said}", flush=True)
        stock.sender.pace_s = 0
        operator_looks(world)
        world.drain(bound_s=60)
        need(stock.ended_well(), f"{acked_of(stock)} of {len(stock.rows)} acknowledged: {stock.sender.trouble!r}")
        for agent in world.agents:
            need(agent.ended_well(), f"{agent.name} ended with {agent.process.poll()}: {agent.log_text()[-300:]}")
        world.judge(must=("OnceApplied", "AckedIsKept", "OnlyAuthentic", "OneIdentity", "BoundedCost"), refusals=("stale-boot",))
        return f"{len(phases)} phases, {len(stock.rows)} messages of a stock client, {sum(a.starts for a in world.agents)} agent starts"
