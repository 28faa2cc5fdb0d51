#!/usr/bin/env python3
"""Real recordings flow while gateway, ingest and control are killed with -9 in turn, ten times each, and the link is
delayed, cut one way, reset and refused. Then the strict checker says whether anything acknowledged was lost, anything
stored twice (tests/check; histories.py plays every other kind of trouble). Usage: chaos.py [ROUNDS]"""
import sys
import time

import lib
import skab
import telemetry
from lib import Failed, Platform, Script, Sender, need, wait_for
from relay import Relay

ROLES = ["gw-1", "ingest", "control"]
AGENT, STOCK = "rig-agent", "rig-stock"
RATE = 150  # rows a second, so that each recording outlasts the killing


def kill_in_turn(platform, rounds, relay, alive):
    """Each round kills every role once and treats the link in one way; ends when all roles work again."""
    treatments = [lambda: setattr(relay, "delay_s", 0.03), lambda: relay.cut("up"), lambda: relay.cut("down"),
                  relay.reset, relay.refuse, relay.cut]
    began = time.monotonic()
    for i in range(rounds):
        need(alive(), "the recordings ended before the killing did: nothing was shown")
        treatments[i % len(treatments)]()
        for role in ROLES:
            old = wait_for(lambda: platform.pid(role), 60, f"{role} runs")
            lib.os.kill(old, lib.signal.SIGKILL)
            wait_for(lambda: platform.pid(role) != old, 30, f"{role} is seen to be gone")
        for role in ROLES:
            wait_for(lambda: platform.pid(role) and platform.answers(role), 60, f"{role} works again")
        relay.heal()
    print(f"  {rounds} rounds, {len(ROLES) * rounds} kills, {time.monotonic() - began:.1f} s; "
          f"{relay.connections} connections through the relay")


def check_stock(platform, sender, columns, rows):
    """What mosquitto's protocol acknowledged, against what is stored: exactly."""
    need(not sender.refused, f"{len(sender.refused)} publishes were refused")
    names = [lib.plain_name(c) for c in columns]
    found = skab.stored(platform, STOCK, names)
    findings = []
    for i, name in enumerate(names):
        history = telemetry.History(f"{STOCK} {columns[i]}", [(at, values[i]) for at, values in rows[:sender.attempted]],
                                    list(sender.acked), found[name])
        findings += telemetry.check(history)
    need(not findings, "; ".join(map(str, findings[:5])))
    need(len(set(sender.acked)) == len(rows), f"{len(set(sender.acked))} of {len(rows)} rows were acknowledged")


def flow(platform, rounds, script):
    path, is_real = lib.recording("anomaly-free-anomaly-free.csv", rows=9405)
    if not is_real:
        print(f"skipped: no SKAB recordings below {lib.SHARED}; rows made up in their shape are used")
        script.skipped += 1
    columns, rows = lib.read_recording(path)
    relay = Relay("127.0.0.1", platform.gateway_port("gw-1"))
    device, folder = platform.bundle(STOCK)
    messages = [(at, f"hf/1/{device}/j/{skab.STREAM}", skab.json_line(columns, at, values).encode()) for at, values in rows]
    sender = Sender(relay.port, folder, STOCK, messages, pace_s=1 / RATE)
    agent = platform.agent(AGENT, f"csv:{path},rate={RATE}", f"localhost:{relay.port}", "--stream", skab.STREAM, "--once")
    sender.start()
    wait_for(lambda: len(sender.acked) > 20 and sum(skab.counts(platform, AGENT)) > 20, 60, "both streams flow")

    def killing():
        kill_in_turn(platform, rounds, relay, lambda: sender.is_alive() and agent.poll() is None)

    def stock():
        sender.pace_s = 0
        sender.join(120 * lib.SLOWER)
        need(not sender.is_alive(), f"only {len(sender.acked)} of {len(rows)} acknowledged: {sender.trouble!r}")
        wait_for(lambda: skab.counts(platform, STOCK) == [len(rows)] * len(columns), 60, "all rows are stored")
        check_stock(platform, sender, columns, rows)
        print(f"  {len(rows)} rows acknowledged over {sender.connections} connections")

    def mac():
        wait_for(lambda: agent.poll() is not None, 180, "the agent has everything acknowledged")
        need(agent.returncode == 0, f"the agent ended with status {agent.returncode}")
        platform.catch_up()
        stored = skab.counts(platform, AGENT)
        about = platform.api(f"/devices/{AGENT}")
        need(stored == [len(rows)] * len(columns),
             f"{stored} of {len(rows)} rows are stored; next {about['next_seq']}, gaps {about['gaps']}, "
             f"counted {platform.counters()}")
        skab.compare(platform, AGENT, columns, rows)
        wait_for(lambda: platform.api(f"/devices/{AGENT}")["gaps_missing"] == 0, 30, "no gap is left")
        need(platform.api(f"/devices/{AGENT}")["lost"] == 0, "something was declared lost")

    if script.run(f"gateway, ingest and control are killed {rounds} times each while data flows", killing):
        script.run("stock client: nothing acknowledged is lost, nothing is stored twice", stock)
        script.run("agent: every row is stored once, equal, in order, without a gap", mac)
    sender.stopped = True
    relay.close()


def kill_agent(platform, times):
    """An agent that is killed with -9 again and again replays its recording: no row lost, none twice, no number reused."""
    path, _ = lib.recording("other-1.csv")
    columns, rows = lib.read_recording(path)
    name, gateway = "rig-killed", f"localhost:{platform.gateway_port('gw-2')}"
    options = (name, f"csv:{path},rate=80", gateway, "--stream", skab.STREAM, "--once")
    for _ in range(times):
        before = sum(skab.counts(platform, name)) if any(d["name"] == name for d in platform.items("/devices")) else 0
        agent = platform.agent(*options)
        wait_for(lambda: sum(skab.counts(platform, name)) > before + 10 * len(columns) or agent.poll() is not None, 60,
                 "rows of the agent arrive")
        need(agent.poll() is None, f"the agent ended with status {agent.poll()} before it was killed")
        agent.kill()
        agent.wait()
    agent = platform.agent(*options)
    wait_for(lambda: agent.poll() is not None, 60, "the agent has everything acknowledged")
    need(agent.returncode == 0, f"the agent ended with status {agent.returncode}")
    wait_for(lambda: skab.counts(platform, name) == [len(rows)] * len(columns), 30, "all rows are stored")
    skab.compare(platform, name, columns, rows)
    device = platform.api(f"/devices/{name}")
    need(device["boot"] == times + 1, f"boot is {device['boot']} after {times} kills")
    need(device["lost"] == 0, f"{device['lost']} declared lost")
    refused = {n: v for n, v in platform.counters().items() if n.startswith("refused.")}
    need(not refused, f"refused although every boot is known: {refused}")
    need(not platform.violations(), f"invariants violated: {platform.violations()}")


def quiet(platform):
    broken = platform.violations()
    need(not broken, f"invariants violated: {broken}")
    bad = {n: v for n, v in platform.counters().items() if n.startswith("refused.")}
    need(not bad, f"refused although nobody was hostile: {bad}")


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    script = Script()
    try:
        with Platform(devices=1, name="chaos") as platform:
            flow(platform, rounds, script)
            script.run("no invariant was violated and nothing was refused", quiet, platform)
            script.run("an agent killed ten times stores every row once", kill_agent, platform, 10)
            need(platform.stop() == 0, "the platform did not stop cleanly")
    except Failed as error:
        print(f"FAILED {error}")
        script.failed += 1
    script.end()


if __name__ == "__main__":
    main()
