"""What a disk holds after the power went: made from the journal that forget.c wrote.

A Disk follows the journal up to a moment and knows of every file and directory what is durable and what was done since.
`image` makes a directory of it: all that was synced, and of the rest what the way of forgetting leaves:

    worst   nothing that was not synced
    all     everything, as after a kill
    order   everything up to some moment since, nothing after it
    pieces  of each write any of its pieces of 4 KiB or 512 bytes, in any combination; of each directory the changes up to
            any of them, whatever became of other directories and of the files' content; a file may have grown though
            what it grew by is not there (zeros)

A file's content is durable when it was synced, a name when its directory was; nothing else makes anything durable. That
is less than file systems do; what is taken from them is that changes of one directory reach the disk in their order.
"""
import fnmatch
import os
import pathlib
import shutil
import struct

OPEN, WRITE, TRUNCATE, SYNC_BEGIN, SYNC_END, RENAME, UNLINK, LINK, MKDIR, RMDIR, MAPPED = range(1, 12)
DIRECTORY, EMPTIED = 1, 2
HEAD = struct.Struct("<BBHHHIIQQ")
WAYS = ("worst", "all", "order", "pieces")


class File:
    """`pending`: (moment, "write", offset, bytes) and (moment, "size", size), in order."""

    def __init__(self, content=b""):
        self.durable, self.pending, self.mapped = bytearray(content), [], False

    def sync(self, moment):
        kept = 0
        while kept < len(self.pending) and self.pending[kept][0] < moment:
            self.apply(self.durable, self.pending[kept])
            kept += 1
        del self.pending[:kept]

    @staticmethod
    def apply(content, change):
        if change[1] == "size":
            size = change[2]
            if size < len(content):
                del content[size:]
            else:
                content.extend(bytes(size - len(content)))
        else:
            _, _, offset, data = change
            if offset > len(content):
                content.extend(bytes(offset - len(content)))
            content[offset:offset + len(data)] = data

    def after(self, way, dice, until):
        """The content that is left."""
        if way == "worst" or not self.pending:
            return self.durable
        content = bytearray(self.durable)
        if way in ("all", "order"):
            for change in self.pending:
                if way == "all" or change[0] < until:
                    self.apply(content, change)
            return content
        keep, piece = dice.choice((0.1, 0.5, 0.9)), dice.choice((512, 4096))
        end = 0
        for change in self.pending:
            if change[1] == "size":
                if dice.random() < keep:
                    self.apply(content, change)
                continue
            _, _, offset, data = change
            end = max(end, offset + len(data))
            at = 0
            while at < len(data):
                some = min(piece - (offset + at) % piece, len(data) - at)
                if dice.random() < keep:
                    self.apply(content, (0, "write", offset + at, data[at:at + some]))
                at += some
        if end > len(content) and dice.random() < 0.3:
            content.extend(bytes(end - len(content)))
        return content


class Directory:
    """`pending`: (moment, name, what or None), in order."""

    def __init__(self):
        self.durable, self.names, self.pending = {}, {}, []

    def set(self, moment, name, what):
        self.pending.append((moment, name, what))
        self.put(self.names, name, what)

    @staticmethod
    def put(names, name, what):
        if what is None:
            names.pop(name, None)
        else:
            names[name] = what

    def sync(self, moment):
        while self.pending and self.pending[0][0] < moment:
            self.put(self.durable, *self.pending.pop(0)[1:])

    def after(self, way, dice, until):
        """The names that are left."""
        names = dict(self.durable)
        if way == "pieces":
            until = dice.choice([change[0] for change in self.pending] + [float("inf")])
        for moment, name, what in self.pending:
            if way == "all" or way != "worst" and moment < until:
                self.put(names, name, what)
        return names


class Disk:
    """`lies`: patterns of paths; to sync what one of them matches does nothing, as if the program had not asked."""

    def __init__(self, root, journal, lies=()):
        self.journal, self.lies = open(journal, "rb"), lies
        self.top = Directory()
        self.inodes, self.paths, self.syncs = {}, {}, {}
        self.mapped, self.lied = set(), 0
        self.load(pathlib.Path(root), self.top)
        self.synced_at = 0

    def load(self, path, directory):
        """What is there before the journal begins is durable."""
        for entry in os.scandir(path):
            if entry.is_dir(follow_symlinks=False):
                what = Directory()
                self.load(pathlib.Path(entry.path), what)
            elif entry.is_file(follow_symlinks=False):
                what = File(pathlib.Path(entry.path).read_bytes())
            else:
                continue
            directory.durable[entry.name] = directory.names[entry.name] = what
            self.inodes[entry.inode()] = what

    def place(self, path):
        """(directory, name) of a path, or (None, …) when there is no such directory."""
        *parents, name = [part for part in path.split("/") if part]
        directory = self.top
        for parent in parents:
            directory = directory.names.get(parent)
            if not isinstance(directory, Directory):
                return None, name
        return directory, name

    def go_on(self, until):
        """Follows the journal up to the first record that does not end by `until`; False at its end."""
        while True:
            moment = self.journal.tell()
            head = self.journal.read(HEAD.size)
            if len(head) < HEAD.size:
                self.journal.seek(moment)
                return False
            op, flags, first, second, _, size, _, inode, number = HEAD.unpack(head)
            if moment + HEAD.size + first + second + size > until:
                self.journal.seek(moment)
                return True
            path = self.journal.read(first).decode()
            other = self.journal.read(second).decode()
            self.step(moment, op, flags, inode, number, path, other, self.journal.read(size))

    def step(self, moment, op, flags, inode, number, path, other, data):
        if op == OPEN:
            self.open(moment, path, inode, flags)
        elif op == MKDIR:
            self.make(moment, path, inode, Directory())
        elif op in (WRITE, TRUNCATE, MAPPED):
            file = self.inodes[inode]
            if op == WRITE:
                file.pending.append((moment, "write", number, data))
            elif op == TRUNCATE:
                file.pending.append((moment, "size", number))
            else:
                self.mapped.add(self.paths.get(inode, ""))
        elif op == SYNC_BEGIN:
            self.syncs[number] = moment
        elif op == SYNC_END:
            begin, what = self.syncs.pop(number), self.inodes.get(inode)
            if any(fnmatch.fnmatch(self.paths.get(inode, ""), lie) for lie in self.lies):
                self.lied += 1
            elif what:
                what.sync(begin)
                self.synced_at = moment
        else:
            self.rename(moment, op, path, other)

    def open(self, moment, path, inode, flags):
        directory, name = self.place(path) if path.strip("/") else (None, "")
        there = directory.names.get(name) if directory else self.top
        if flags & DIRECTORY:
            if there:
                self.inodes[inode], self.paths[inode] = there, path.strip("/")
            return
        if not directory:
            return
        if not there or self.inodes.get(inode) is not there:
            self.make(moment, path, inode, File())
        self.paths[inode] = path
        if flags & EMPTIED:
            self.inodes[inode].pending.append((moment, "size", 0))

    def make(self, moment, path, inode, what):
        directory, name = self.place(path)
        if directory:
            directory.set(moment, name, what)
            self.inodes[inode], self.paths[inode] = what, path

    def rename(self, moment, op, path, other):
        directory, name = self.place(path) if path else (None, "")
        what = directory.names.get(name) if directory else None
        target, target_name = self.place(other) if other else (None, "")
        if op in (RENAME, LINK) and target and what:
            target.set(moment, target_name, what)
        if op in (RENAME, UNLINK, RMDIR) and directory:
            directory.set(moment, name, None)

    def image(self, path, way, dice):
        """Makes the directory `path`, which must not exist."""
        moments = self.moments()
        until = dice.choice(moments) if moments else 0
        self.emit(pathlib.Path(path), self.top, way, dice, until)

    def moments(self):
        found, todo = set(), [self.top]
        for directory in todo:
            found.update(change[0] for change in directory.pending)
            for what in set(directory.names.values()) | set(directory.durable.values()):
                if isinstance(what, Directory):
                    todo.append(what)
                else:
                    found.update(change[0] for change in what.pending)
        return sorted(found)

    def emit(self, path, directory, way, dice, until):
        path.mkdir(mode=0o700)
        for name, what in sorted(directory.after(way, dice, until).items()):
            if isinstance(what, Directory):
                self.emit(path / name, what, way, dice, until)
            else:
                (path / name).write_bytes(what.after(way, dice, until))


def remove(path):
    shutil.rmtree(path, ignore_errors=True)
