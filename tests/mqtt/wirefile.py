"""What went over connections, as a file that other decoders read: a pcap with one made-up TCP connection for each link, the
server at port 1883. The bytes are what the suite sent and received inside of TLS."""
import struct
import threading
import time

SERVER_PORT = 1883


class WireFile:
    def __init__(self, path):
        self.file = open(path, "wb")
        self.file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 262144, 101))  # raw IP
        self.lock = threading.Lock()
        self.links = {}  # link: [port, next of the client, next of the server]

    def note(self, link, from_client, data):
        with self.lock:
            at = self.links.setdefault(link, [40000 + len(self.links), 1000, 5000])
            for start in range(0, len(data), 30000):
                part = data[start:start + 30000]
                port, mine, yours = at if from_client else (at[0], at[2], at[1])
                self.segment(port, from_client, mine, yours, part)
                at[1 if from_client else 2] += len(part)

    def segment(self, port, from_client, sequence, acknowledged, data):
        ports = (port, SERVER_PORT) if from_client else (SERVER_PORT, port)
        ends = (b"\x7f\0\0\1", b"\x7f\0\0\2") if from_client else (b"\x7f\0\0\2", b"\x7f\0\0\1")
        tcp = struct.pack(">HHIIBBHHH", *ports, sequence, acknowledged, 0x50, 0x18, 65535, 0, 0)
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40 + len(data), 1, 0, 64, 6, 0, *ends)
        now = time.time()
        whole = ip + tcp + data
        self.file.write(struct.pack("<IIII", int(now), int(now % 1 * 1e6), len(whole), len(whole)) + whole)

    def close(self):
        self.file.close()
