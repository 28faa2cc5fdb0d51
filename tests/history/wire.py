"""An IP link in a test's hands: two network namespaces, a TUN device in each, and a thread that carries packets between them.
What a relay of streams cannot do: packets overtake each other, come twice, come again long after, get lost, or go one way only,
and the kernel's TCP has to live with it. No sch_netem is needed, which small machines often do not have.

    in_namespaces(...)             plays a scene once more below `unshare`: a user and network namespace of its own
    wire = Wire(seed)              this namespace is the site's, behind wire.far() is the devices'; 127.0.0.1 is the site in both
    wire.delay_s, wire.jitter_s    each packet waits so long by itself: with jitter they overtake one another
    wire.loss, wire.twice, wire.old    chances: lost; sent twice; an old packet comes once more as well
    wire.cut("up", ports)          nothing passes that way; of these ports, or of all
    wire.heal()                    passes everything
"""
import collections
import contextlib
import ctypes
import fcntl
import heapq
import os
import pathlib
import random
import selectors
import struct
import subprocess
import sys
import threading
import time

SITE, DEVICES = "192.0.2.1", "192.0.2.2"  # RFC 5737: of nobody
INSIDE = "HOLDFAST_TEST_NAMESPACES"
UNSHARE = ["unshare", "--user", "--map-root-user", "--net"]
TUNSETIFF, IFF_TUN, IFF_NO_PI, CLONE_NEWNET = 0x400454CA, 0x0001, 0x1000, 0x40000000
PACKET_MAX = 65536
OLD_MAX = 512  # packets kept, to come again


def why_not():
    """Why no namespaces with a TUN device can be made here; None where they can."""
    probe = [*UNSHARE, sys.executable, "-c", f"import sys; sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r}); "
             "import wire; wire.open_tun('probe')"]
    done = subprocess.run(probe, capture_output=True, text=True)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["unshare fails"])[-1]


def in_namespaces(name, seed, long):
    """What the scene said there; its lines are printed."""
    command = [*UNSHARE, sys.executable, "-u", sys.argv[0], name, "--alone", "--seed", str(seed), *(["--long"] if long else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ, **{INSIDE: "1"}))
    lines = done.stdout.splitlines()
    print("\n".join(lines[:-2]), flush=True)
    return done.returncode == 0, lines[-2] if len(lines) > 1 else ""


def open_tun(name):
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return file


def ip(*args, where=()):
    subprocess.run([*where, "ip", *args], check=True, capture_output=True)


def enter(pid):
    """The calling thread, and what it starts, is in the network namespace of the process."""
    with open(f"/proc/{pid}/ns/net") as space:
        if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


def in_thread(what):
    """The result of what() in a thread of its own, which takes its namespace with it when it ends."""
    found = []
    thread = threading.Thread(target=lambda: found.append(what()))
    thread.start()
    thread.join()
    return found[0]


class Wire:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.delay_s = self.jitter_s = self.loss = self.twice = self.old = 0.0
        self.cut_ways = {}  # way -> ports, or None for all
        self.counts = collections.Counter()
        self._kept = {"up": collections.deque(maxlen=OLD_MAX), "down": collections.deque(maxlen=OLD_MAX)}
        self._heap, self._number = [], 0
        self._stopped = threading.Event()
        self.holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            time.sleep(0.01)  # until it has unshared
        self._site = open_tun("site")
        self._devices = in_thread(lambda: (enter(self.holder.pid), open_tun("devices"))[1])
        self._ends()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _ends(self):
        """The site listens on 127.0.0.1, as it does everywhere; where the devices are, that address lies beyond the wire."""
        for name, address, where in (("site", SITE, ()), ("devices", DEVICES, self.far())):
            ip("link", "set", "lo", "up", where=where)
            ip("addr", "add", f"{address}/24", "dev", name, where=where)
            ip("link", "set", name, "up", where=where)
            subprocess.run([*where, "sh", "-c", f"echo 1 >/proc/sys/net/ipv4/conf/{name}/route_localnet"], check=True)
        ip("addr", "del", "127.0.0.1/8", "dev", "lo", where=self.far())
        ip("route", "add", "127.0.0.1", "dev", "devices", "src", DEVICES, where=self.far())

    def far(self):
        """What a command begins with to be run where the devices are."""
        return ("nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "--")

    def enter_far(self):
        enter(self.holder.pid)

    # ---- in the hands of a test ----

    def cut(self, way, ports=None):
        self.cut_ways = {**self.cut_ways, way: ports}

    def heal(self):
        self.delay_s = self.jitter_s = self.loss = self.twice = self.old = 0.0
        self.cut_ways = {}

    def close(self):
        self._stopped.set()
        self._thread.join(10)
        self.holder.stdin.close()
        self.holder.wait()
        for file in (self._site, self._devices):
            os.close(file)

    # ---- its thread ----

    def _run(self):
        selector = selectors.DefaultSelector()
        selector.register(self._devices, selectors.EVENT_READ, ("up", self._devices, self._site))
        selector.register(self._site, selectors.EVENT_READ, ("down", self._site, self._devices))
        while not self._stopped.is_set():
            wait = max(0.0, min(0.2, self._heap[0][0] - time.monotonic())) if self._heap else 0.2
            for key, _ in selector.select(wait):
                self._read(*key.data)
            while self._heap and self._heap[0][0] <= time.monotonic():
                _, _, sink, packet = heapq.heappop(self._heap)
                with contextlib.suppress(BlockingIOError):  # a full device loses it, as a link does
                    os.write(sink, packet)
        selector.close()

    def _read(self, way, source, sink):
        for _ in range(64):
            try:
                packet = os.read(source, PACKET_MAX)
            except BlockingIOError:
                return
            if packet[0] >> 4 == 4:
                self._carry(way, sink, packet)

    def _is_cut(self, way, packet):
        if way not in self.cut_ways:
            return False
        ports = self.cut_ways[way]
        head = (packet[0] & 15) * 4
        return ports is None or not ports.isdisjoint(struct.unpack_from(">HH", packet, head))

    def _carry(self, way, sink, packet):
        chance = self.random.random
        self.counts["carried"] += 1
        if self._is_cut(way, packet) or chance() < self.loss:
            self.counts["lost"] += 1
            return
        self._put(sink, packet)
        if chance() < self.twice:
            self.counts["twice"] += 1
            self._put(sink, packet)
        if self._kept[way] and chance() < self.old:
            self.counts["old"] += 1
            self._put(sink, self.random.choice(self._kept[way]))
        self._kept[way].append(packet)

    def _put(self, sink, packet):
        due = time.monotonic() + self.delay_s + self.random.random() * self.jitter_s
        if any(d > due and s == sink for d, _, s, _ in self._heap):
            self.counts["overtaken"] += 1
        self._number += 1
        heapq.heappush(self._heap, (due, self._number, sink, packet))
