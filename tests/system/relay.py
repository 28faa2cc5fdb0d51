"""A TCP relay in user space: the link between two processes in a test's hands. One thread, whatever the connections.

    relay = Relay("127.0.0.1", 8893, seed=7)   it listens on relay.port
    relay.delay_s, relay.jitter_s = 0.05, 0.2  every piece of bytes waits so long; each connection keeps its own order,
                                               but connections overtake one another
    relay.slow(1)                              clogged: so many bytes a second and direction
    relay.cut("up") / cut("down") / cut()      swallows what goes that way; nothing is closed
    relay.silent = True                        half-open: FIN and RST of one end never reach the other
    relay.tear(100)                            every connection is reset once so many more bytes went up: amid a packet
    relay.blackhole = True                     new connections are accepted and hear nothing
    relay.reset()                              every connection is reset (RST), new ones are accepted
    relay.refuse()                             resets, and refuses new connections until heal()
    relay.capture = True; relay.captured       what each later connection sent up, for
    relay.replay(bytes)                        a stranger who sends it again on a connection of his own
    relay.heal()                               passes everything again

TCP cannot lose bytes in the middle: a connection of which bytes were swallowed, or whose end was hidden, is reset by heal.
`relay.attempts` has the time of each connection that came, also of refused ones.
"""
import collections
import contextlib
import random
import selectors
import socket
import struct
import threading
import time

PIECE = 65536
CAPTURED_MAX = 64  # connections kept, each up to a megabyte
CAPTURED_BYTES_MAX = 1 << 20


def reset(sock):
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class _Way:
    """One direction of a connection: what was read and is not yet sent on."""

    def __init__(self, source, sink):
        self.source, self.sink = source, sink
        self.queue = collections.deque()  # (due, bytes), rising
        self.bytes = 0
        self.ended = False  # the source will send no more
        self.allowance_at = 0.0  # when the next byte may go where the link is clogged


class _Pair:
    def __init__(self, near, far):
        self.near, self.far = near, far
        self.ways = {"up": _Way(near, far), "down": _Way(far, near)}
        self.torn = False  # bytes or an end were swallowed: only a reset helps
        self.tear_at = None
        self.closed = False
        self.captured = bytearray()


class Relay:
    def __init__(self, host, port, listen_port=0, seed=1, listen_host="127.0.0.1"):
        self.target = (host, port)
        self.random = random.Random(seed)
        self.delay_s = self.jitter_s = 0.0
        self.rate = None
        self.cut_ways = set()
        self.silent = self.blackhole = self.capture = False
        self.bytes = {"up": 0, "down": 0}
        self.connections = 0
        self.attempts = []
        self.captured = collections.deque(maxlen=CAPTURED_MAX)
        self._refusing = False
        self._pairs = []
        self._connecting = {}
        self._orders = collections.deque()  # done by the relay's own thread
        self._stopped = False
        self._selector = selectors.DefaultSelector()
        self._bell_in, self._bell_out = socket.socketpair()
        self._bell_out.setblocking(False)
        self._listener = socket.create_server((listen_host, listen_port), backlog=512)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._bell_out, selectors.EVENT_READ, self._drain_bell)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    # ---- in the hands of a test ----

    def cut(self, way=None):
        self.cut_ways = {way} if way else {"up", "down"}

    def slow(self, bytes_a_second):
        self.rate = bytes_a_second

    def tear(self, after_bytes):
        self._order(lambda: self._tear(after_bytes))

    def reset(self):
        self._order(lambda: self._reset(lambda pair: True))

    def refuse(self):
        self._refusing = True
        self.reset()

    def heal(self):
        self._refusing = self.silent = self.blackhole = False
        self.cut_ways = set()
        self.delay_s = self.jitter_s = 0.0
        self.rate = None
        self._order(lambda: self._reset(lambda pair: pair.torn))

    def replay(self, data, timeout_s=2.0):
        """Sends what was captured to the target; what it answered before it closed or fell silent."""
        answer = bytearray()
        with contextlib.suppress(OSError), socket.create_connection(self.target, timeout=timeout_s) as sock:
            sock.sendall(data)
            while len(answer) < PIECE:
                more = sock.recv(PIECE)
                if not more:
                    break
                answer += more
        return bytes(answer)

    def close(self):
        self._stopped = True
        self._order(lambda: None)
        self._thread.join(10)

    # ---- its thread ----

    def _order(self, what):
        """Done before this returns, unless the relay was closed."""
        done = threading.Event()
        self._orders.append((what, done))
        with contextlib.suppress(OSError):
            self._bell_in.send(b"x")
        if threading.current_thread() is not self._thread:
            done.wait(10)

    def _drain_bell(self):
        with contextlib.suppress(OSError):
            self._bell_out.recv(4096)
        while self._orders:
            what, done = self._orders.popleft()
            what()
            done.set()

    def _run(self):
        while not self._stopped:
            for key, _ in self._selector.select(self._wait()):
                key.data()
            self._drain_bell()
            for pair in [p for p in self._pairs if not p.closed]:
                self._pump(pair)
            self._pairs = [p for p in self._pairs if not p.closed]
        self._reset(lambda pair: True)
        for sock in (self._listener, self._bell_in, self._bell_out, *self._connecting):
            sock.close()
        self._selector.close()
        while self._orders:
            self._orders.popleft()[1].set()

    def _wait(self):
        now, soonest = time.monotonic(), 0.5
        for pair in self._pairs:
            for way in pair.ways.values():
                if way.queue:
                    soonest = min(soonest, max(way.queue[0][0], way.allowance_at) - now)
        return max(soonest, 0.001)

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.attempts.append(time.monotonic())
            if self._refusing:
                reset(near)
                continue
            self._begin(near)

    def _begin(self, near):
        """Connects to the target without waiting for it."""
        near.setblocking(False)
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        far = socket.socket()
        far.setblocking(False)
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        far.connect_ex(self.target)
        self._connecting[far] = near
        self._selector.register(far, selectors.EVENT_WRITE, lambda: self._connected(near, far))

    def _connected(self, near, far):
        self._selector.unregister(far)
        del self._connecting[far]
        if far.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0:
            far.close()
            reset(near)
            return
        pair = _Pair(near, far)
        pair.torn = self.blackhole
        self._pairs.append(pair)
        self.connections += 1
        for name, way in pair.ways.items():
            self._selector.register(way.source, selectors.EVENT_READ, lambda n=name: self._read(pair, n))

    def _read(self, pair, name):
        way = pair.ways[name]
        if pair.closed:
            return
        try:
            data = way.source.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = None
        if not data:
            self._end(pair, way, data is None)
            return
        if name == "up" and (self.capture or pair.captured) and len(pair.captured) < CAPTURED_BYTES_MAX:
            pair.captured += data
        if name in self.cut_ways or (self.blackhole and pair.torn):
            pair.torn = True
            return
        now = time.monotonic()
        due = now + self.delay_s + (self.random.random() * self.jitter_s if self.jitter_s else 0)
        if way.queue and due < way.queue[-1][0]:
            due = way.queue[-1][0]
        way.queue.append((due, data))
        way.bytes += len(data)
        if way.bytes > 1 << 20:
            self._selector.unregister(way.source)  # back-pressure, as a real link has it
            way.ended = None

    def _end(self, pair, way, with_reset):
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(way.source)
        way.ended = True
        if self.silent or pair.torn:
            pair.torn = True  # nobody is told; heal() will
        elif with_reset:
            self._close(pair, with_reset=True)

    def _pump(self, pair):
        for name, way in pair.ways.items():
            if not pair.closed:
                self._send_due(pair, name, way)
        if pair.closed or pair.torn or self.silent:
            return
        for way in pair.ways.values():
            if way.ended and not way.queue:
                self._close(pair)  # both programs end a connection as a whole
                return

    def _send_due(self, pair, name, way):
        now = time.monotonic()
        while way.queue and way.queue[0][0] <= now and not pair.closed:
            due, data = way.queue[0]
            most = len(data)
            if self.rate is not None:
                if now < way.allowance_at:
                    return
                most = max(1, min(most, self.rate // 20))
                way.allowance_at = now + most / self.rate
            if name == "up" and pair.tear_at is not None:
                most = min(most, pair.tear_at)
            try:
                sent = way.sink.send(data[:most]) if most else 0
            except BlockingIOError:
                way.allowance_at = max(way.allowance_at, now + 0.005)
                return
            except OSError:
                self._close(pair, with_reset=True)
                return
            self.bytes[name] += sent
            way.bytes -= sent
            way.queue.popleft()
            if sent < len(data):
                way.queue.appendleft((due, data[sent:]))
            if name == "up" and pair.tear_at is not None:
                pair.tear_at -= sent
                if pair.tear_at <= 0:
                    self._close(pair, with_reset=True)
                    return
            if way.ended is None and way.bytes < 1 << 19:
                way.ended = False
                self._selector.register(way.source, selectors.EVENT_READ, lambda n=name: self._read(pair, n))
            if self.rate is not None:
                return

    def _tear(self, after_bytes):
        for pair in self._pairs:
            pair.tear_at = self.random.randint(1, max(1, after_bytes))

    def _reset(self, wanted):
        for pair in self._pairs:
            if not pair.closed and wanted(pair):
                self._close(pair, with_reset=True)

    def _close(self, pair, with_reset=False):
        pair.closed = True
        if pair.captured:
            self.captured.append(bytes(pair.captured))
        for end in (pair.near, pair.far):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(end)
            if with_reset:
                reset(end)
            else:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
