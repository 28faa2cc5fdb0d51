"""Faults of a machine in a test's hands: what tests/shim/failfs.c does to every process that runs with `env()`.

    with Faults(folder) as machine:
        Platform(..., env=machine.env())
        machine.rules("write@gateway/gw-1/spool:1:ENOSPC:forever", ...)   the disk of one spool is full
        machine.rules()                                                    and has room again
        machine.clock(days=-365)                                           the wall clock of all of them
"""
import mmap
import os
import pathlib
import struct

import lib

SIZE = 8 + 8 + 1008  # struct page


def shim():
    """The library beside the build in use."""
    return pathlib.Path(lib.BIN).parent / "shim" / "failfs.so" if lib.BIN else lib.TOP / "build" / "release" / "shim" / "failfs.so"


class Faults:
    def __init__(self, folder, name="faults"):
        self.path = pathlib.Path(folder) / name
        self.path.write_bytes(bytes(SIZE))
        with open(self.path, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), SIZE)
        self.generation = 0

    def env(self):
        lib.need(shim().exists(), f"{shim()} is not built")
        # Sanitizers want their runtime first; the shim has none and may stand before it.
        return {"LD_PRELOAD": str(shim()), "HOLDFAST_FAULTS": str(self.path), "ASAN_OPTIONS": "verify_asan_link_order=0"}

    def rules(self, *rules):
        text = ",".join(rules).encode()
        lib.need(len(text) < SIZE - 16, "too many rules for one page")
        self.page[16:SIZE] = text.ljust(SIZE - 16, b"\0")
        self.generation += 1
        self.page[0:8] = struct.pack("=Q", self.generation)

    def full(self, part, in_place=True):
        """The disk that holds paths with `part` has no room left. Where it writes `in_place`, what is there can be written
        over; where it copies on write, or a quota is used up, nothing can."""
        self.rules(*(f"{call}@{part}:1:ENOSPC:forever" for call in (("grow",) if in_place else ("write", "pwrite", "ftruncate"))))

    def clock(self, days=0.0, seconds=0.0):
        """What the wall clock says beside the truth."""
        self.page[8:16] = struct.pack("=q", int((days * 86400 + seconds) * 1000))

    def close(self):
        self.page.close()
        os.unlink(self.path)
