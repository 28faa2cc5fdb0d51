"""A TCP relay in user space: the link between two processes in a test's hands.

    relay = Relay("127.0.0.1", 8893)      it listens on relay.port
    relay.delay_s = 0.05                  every piece of bytes waits so long
    relay.cut("up") / cut("down")         that direction swallows what comes; the other goes on
    relay.cut()                           both directions stop, nothing is closed
    relay.reset()                         every connection is reset (RST), new ones are accepted
    relay.refuse()                        resets, and refuses new connections until heal()
    relay.heal()                          passes everything again; what was swallowed stays lost, so its connection is reset

TCP cannot lose bytes in the middle: a connection of which bytes were swallowed is reset by heal.
"""
import select
import socket
import struct
import threading
import time


class _Pair:
    def __init__(self, relay, near, far):
        self.relay = relay
        self.ends = {"up": (near, far), "down": (far, near)}
        self.torn = False
        self.closed = False

    def run(self, way):
        source, sink = self.ends[way]
        try:
            while not self.closed:
                ready, _, _ = select.select([source], [], [], 0.2)
                if not ready:
                    continue
                data = source.recv(65536)
                if not data:
                    break
                if self.relay.delay_s > 0:
                    time.sleep(self.relay.delay_s)
                if way in self.relay.cut_ways:
                    self.torn = True
                    continue
                sink.sendall(data)
                self.relay.bytes[way] += len(data)
        except OSError:
            pass
        self.close()

    def close(self, reset=False):
        if self.closed and not reset:
            return
        self.closed = True
        for end in self.ends["up"]:
            try:
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR) if not reset else end.close()
            except OSError:
                pass


class Relay:
    def __init__(self, host, port, listen_port=0):
        self.target = (host, port)
        self.delay_s = 0.0
        self.cut_ways = set()
        self.bytes = {"up": 0, "down": 0}
        self.connections = 0
        self._refusing = False
        self._stopped = False
        self._pairs = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", listen_port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while not self._stopped:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                near.close()
                continue
            try:
                far = socket.create_connection(self.target, timeout=5)
                far.settimeout(None)
            except OSError:
                near.close()
                continue
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = _Pair(self, near, far)
            with self._lock:
                self._pairs = [p for p in self._pairs if not p.closed] + [pair]
                self.connections += 1
            for way in ("up", "down"):
                threading.Thread(target=pair.run, args=(way,), daemon=True).start()

    def cut(self, way=None):
        self.cut_ways = {way} if way else {"up", "down"}

    def reset(self, only_torn=False):
        with self._lock:
            for pair in self._pairs:
                if not only_torn or pair.torn:
                    pair.close(reset=True)

    def refuse(self):
        self._refusing = True
        self.reset()

    def heal(self):
        self._refusing = False
        self.cut_ways = set()
        self.delay_s = 0.0
        self.reset(only_torn=True)

    def close(self):
        self._stopped = True
        self._listener.close()
        self.reset()
