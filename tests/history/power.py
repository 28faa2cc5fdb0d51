"""Power cuts of a machine made of real processes. Preloaded (tests/shim/power.c), every process of the machine notes what
each write, truncation and change of a name found before it, and what each sync covered. After all of them were killed,
`cut` does what the power would have done: of what no sync covered, a part is gone.

    machine = Machine(folder, root)     root: the machine's files; folder: for the notes, on the same file system
    Platform(..., env=machine.env())
    machine.cut(random)                 its processes are dead; says in words what was lost

Of the bytes of a file, since its last sync: nothing lost, all lost, all behind some write, or any of the writes, torn at
512 bytes. Of the names in a folder, since it was synced: all behind some change. That is the model of tests/cuts.
"""
import contextlib
import os
import pathlib
import struct

from lib import need

HEAD = struct.Struct("=7Q")
WROTE, TRUNCATED, SYNCED, CREATED, RENAMED, REMOVED = range(1, 7)
SECTOR = 512
FATES = ("kept", "gone", "prefix", "some", "torn")


class Note:
    def __init__(self, place, fields, paths, old):
        self.place = place
        self.kind, self.ino, self.at, self.was, self.len = fields
        self.paths, self.old = paths, old
        self.new = b""  # what a write had left, taken when it is undone


def read_notes(path):
    data = path.read_bytes() if path.exists() else b""
    place = 0
    while place + HEAD.size <= len(data):
        *fields, path_len, old_len = HEAD.unpack_from(data, place)
        body = place + HEAD.size
        if body + path_len + old_len > len(data):
            break  # killed amid a note: its change did not come
        names = data[body:body + path_len].decode().split("\0")
        yield Note(place, fields, names, data[body + path_len:body + path_len + old_len])
        place = body + path_len + old_len


def uncovered(notes):
    """({file: changes of its bytes}, {folder: changes of its names}) since their last sync, in order."""
    files, folders = {}, {}
    for note in notes:
        if note.kind == SYNCED:
            for kept in (files, folders):
                if note.ino in kept:
                    kept[note.ino] = [n for n in kept[note.ino] if n.place >= note.at]
        elif note.kind in (WROTE, TRUNCATED):
            files.setdefault(note.ino, []).append(note)
        else:
            folders.setdefault(note.ino, []).append(note)
            if note.kind != CREATED:
                files.pop(note.at, None)  # it is gone, and its number may be given to another
    return {k: v for k, v in files.items() if v}, {k: v for k, v in folders.items() if v}


def undo(file, note):
    """The file's bytes before it; remembers those after it."""
    if note.kind == WROTE:
        note.new = os.pread(file, note.len, note.at)
    os.ftruncate(file, note.was)
    if note.old:
        os.pwrite(file, note.old, note.at)


def torn(note, random):
    """Each sector of it, or not."""
    at, end = note.at, note.at + len(note.new)
    while at < end:
        upto = min(end, (at // SECTOR + 1) * SECTOR)
        if random.random() < 0.5:
            yield at, note.new[at - note.at:upto - note.at]
        at = upto


def redo(file, note, random, is_torn):
    if note.kind == TRUNCATED:
        os.ftruncate(file, note.at)
        return
    for at, piece in torn(note, random) if is_torn else [(note.at, note.new)]:
        os.pwrite(file, piece, at)


class Machine:
    def __init__(self, folder, root, fates=FATES):
        self.folder, self.root, self.fates = pathlib.Path(folder), pathlib.Path(root).resolve(), fates
        self.folder.mkdir(parents=True)
        self.cuts = self.writes_lost = self.names_lost = 0

    def env(self):
        return {"HOLDFAST_POWER": str(self.folder), "HOLDFAST_POWER_ROOT": str(self.root)}

    def cut(self, random):
        notes = list(read_notes(self.folder / "notes"))
        need(notes, "nothing was noted: the machine ran without the library, and a cut would take nothing")
        files, folders = uncovered(notes)
        paths = self.paths()
        lost_of = {}
        for ino, changes in sorted(files.items(), key=lambda item: item[1][0].place):
            path = pathlib.Path(changes[0].paths[0])
            lost = self.cut_bytes(paths[ino], changes, random) if ino in paths else 0
            if lost and path.parent.name != "run":  # what is only shown is not worth a word
                name = f"{path.parent.name}/{path.name}"
                lost_of[name] = lost_of.get(name, 0) + lost
        names = [n for changes in folders.values() for n in changes[random.randint(0, len(changes)):]]
        for note in sorted(names, key=lambda n: -n.place):
            self.give_back(note)
        self.names_lost += len(names)
        said = [f"{lost} writes of {name}" for name, lost in lost_of.items()]
        said += [f"{len(names)} names of {sum(map(len, folders.values()))}"] if names else []
        (self.folder / "notes").unlink()
        self.cuts += 1
        return ", ".join(said) or "nothing was in doubt"

    def paths(self):
        """Where each file lies now, by its number."""
        found = {}
        for where, _, names in os.walk(self.root):
            for name in names:
                path = os.path.join(where, name)
                found.setdefault(os.lstat(path).st_ino, path)
        return found

    def cut_bytes(self, path, changes, random):
        """How many writes are gone."""
        fate = random.choice(self.fates)
        if fate == "kept":
            return 0
        upto = random.randrange(len(changes)) if fate == "prefix" else 0
        file = os.open(path, os.O_RDWR)
        for note in reversed(changes):
            undo(file, note)
        lost = 0
        for i, note in enumerate(changes):
            is_kept = i < upto or (fate in ("some", "torn") and random.random() < 0.5)
            if is_kept:
                redo(file, note, random, fate == "torn")
            lost += not is_kept
        os.close(file)
        self.writes_lost += lost
        return lost

    def give_back(self, note):
        """What a name stood for before."""
        before, after = note.paths[0], note.paths[-1]
        if note.kind == CREATED:
            with contextlib.suppress(OSError):
                if os.lstat(before).st_ino == note.at:
                    os.unlink(before)
        elif note.kind == RENAMED:
            os.rename(after, before)
            self.make_again(after, note)
        elif not os.path.exists(before):
            self.make_again(before, note)

    def make_again(self, path, note):
        """With the bytes that it had when it went."""
        if note.at:
            pathlib.Path(path).write_bytes(note.old)
            os.chmod(path, 0o600)
