# SPDX-License-Identifier: Apache-2.0
"""The other side of tests/faults/syscalls.c: arms a failing call, replays a journal into what a power loss leaves.

    control = Control(path)                     # before the server starts, with environment(data, control=control)
    control.arm("broker", at=7, error=errno.EIO)
    ...
    control.disarm()                            # -> "broker sync /log/topics.tmp", or None when nothing was struck
"""
import errno
import json
import mmap
import os
import random
import struct
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
CALLS = ("open", "write", "sync", "size", "rename", "unlink", "mkdir", "rmdir")
KINDS = (*CALLS, "memory")
NEVER = 0xFFFFFFFF

ERRORS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "EINTR": errno.EINTR, "ENOMEM": errno.ENOMEM}
# What each way to fail can happen to. A short write is a write that took half of the bytes.
WAYS = {"EIO": CALLS, "ENOSPC": ("open", "write", "sync", "size", "rename", "mkdir"),
        "EINTR": ("open", "write", "sync", "size"), "short": ("write",)}


def library():
    binary = os.path.abspath(os.environ.get("LEAT_BINARY", f"{HERE}/../../build/leat"))
    return f"{os.path.dirname(binary)}/tests/faults/leat_faults.so"


def need_library():
    """Its absence is in order under a sanitizer only."""
    if os.path.exists(library()):
        return
    with open(f"{os.path.dirname(library())}/../../meson-info/intro-buildoptions.json", encoding="utf-8") as file:
        sanitizer = next(option["value"] for option in json.load(file) if option["name"] == "b_sanitize")
    assert sanitizer != "none", f"{library()} is not built"
    pytest.skip(f"failing system calls need LD_PRELOAD, which does not go with the sanitizer {sanitizer}")


def environment(data, control=None, journal=None):
    """The environment of a server with the library in front. @data must be the path that the server will use."""
    env = {"LD_PRELOAD": library(), "LEAT_FAULTS_DIR": data}
    if control:
        env["LEAT_FAULTS_CONTROL"] = control.path
    if journal:
        env["LEAT_FAULTS_JOURNAL"] = journal
    return env


class Control:
    """struct control of syscalls.c."""
    HEAD = struct.Struct("<IIIiIIII32s256s512s")

    def __init__(self, path):
        self.path = str(path)
        with open(self.path, "wb") as file:
            file.write(bytes(mmap.PAGESIZE))
        self.file = open(self.path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), mmap.PAGESIZE)

    def arm(self, role, at, way="EIO", kinds=None, strikes=1, pattern="*"):
        bits = sum(1 << KINDS.index(kind) for kind in kinds or WAYS[way])
        armed = (0, at, strikes, ERRORS.get(way, 0), way == "short", bits, 0, 0, role.encode(), pattern.encode(), b"")
        self.map[:self.HEAD.size] = self.HEAD.pack(*armed)
        self.map[:4] = struct.pack("<I", 1)

    def disarm(self):
        self.map[:4] = bytes(4)
        return self.hit()

    def hit(self):
        fields = self.HEAD.unpack(self.map[:self.HEAD.size])
        return fields[10].split(b"\0")[0].decode() or None

    @property
    def calls(self):
        return self.HEAD.unpack(self.map[:self.HEAD.size])[6]


# ---- a journal and the power loss ---------------------------------------------------------------------------------
OPEN, WRITE, SYNC_BEGIN, SYNC_END, SIZE, RENAME, UNLINK, MKDIR, RMDIR = range(1, 10)
MARK = 100  # written by the test: what the outside world knows by now
SECTOR = 512
HEAD = struct.Struct("<IIQqqII")


def mark(journal, **what):
    """Notes in the journal that something was acknowledged, answered or asked."""
    more = json.dumps(what).encode()
    with open(journal, "ab", buffering=0) as file:
        file.write(HEAD.pack(HEAD.size + len(more), MARK, 0, 0, 0, 0, len(more)) + more)


def read_journal(path):
    """[(record, inode, a, b, path, more)]"""
    with open(path, "rb") as file:
        data = file.read()
    out, at = [], 0
    while at < len(data):
        size, record, inode, a, b, path_bytes, more_bytes = HEAD.unpack_from(data, at)
        name_at = at + HEAD.size
        out.append((record, inode, a, b, data[name_at:name_at + path_bytes].decode(),
                    data[name_at + path_bytes:name_at + path_bytes + more_bytes]))
        at += size
    return out


class File:
    def __init__(self):
        self.durable = bytearray()
        self.pending = []  # (WRITE, offset, bytes) and (SIZE, bytes, None), since the last sync
        self.covered = 0  # how many of them were there when the newest sync began

    def change(self, change):
        self.pending.append(change)


class Folder:
    def __init__(self):
        self.names = {}    # as programs see it
        self.durable = {}  # as of the last sync
        self.pending = []  # [(name, File | Folder | None)] groups since then: one call may change several names
        self.covered = 0


class Disk:
    """What programs see, and what is on the disk for certain. The model is harsher than ext4: without a sync of the
    file any sectors of it may be missing, and without a sync of the folder any number of the newest names."""

    def __init__(self, start=None):
        """Empty, or with what folder @start holds, all of it durable."""
        self.by_inode = {}
        self.root = self._take(start) if start else Folder()

    def _take(self, path):
        """The folder or file at @path, known by its inode as the journal will call it."""
        if os.path.isdir(path):
            node = Folder()
            node.names = {name: self._take(f"{path}/{name}") for name in os.listdir(path)}
            node.durable = dict(node.names)
        else:
            node = File()
            with open(path, "rb") as file:
                node.durable = bytearray(file.read())
        self.by_inode[os.stat(path).st_ino] = node
        return node

    def folder_of(self, path):
        folder = self.root
        parts = [part for part in path.split("/") if part]
        for part in parts[:-1]:
            folder = folder.names[part]
        return folder, parts[-1] if parts else None

    def find(self, path):
        folder, name = self.folder_of(path)
        return self.root if name is None else folder.names.get(name)

    def set_name(self, path, node):
        folder, name = self.folder_of(path)
        if node is None:
            folder.names.pop(name, None)
        else:
            folder.names[name] = node
        folder.pending.append([(name, node)])

    def apply(self, record, inode, a, b, path, more):
        if record == OPEN:
            node = self.find(path)
            if node is None:
                node = File()
                self.set_name(path, node)
            elif a:
                node.change((SIZE, 0, None))
            self.by_inode[inode] = node
        elif record == MKDIR:
            if path:
                node = Folder()
                self.set_name(path, node)
            else:
                node = self.root
            self.by_inode[inode] = node
        elif record == WRITE:
            self.by_inode[inode].change((WRITE, a, more))
        elif record == SIZE:
            self.by_inode[inode].change((SIZE, a, None))
        elif record in (SYNC_BEGIN, SYNC_END):
            node = self.by_inode.get(inode) or self.find(path)
            if node is None:
                return
            if record == SYNC_BEGIN:
                node.covered = len(node.pending)
            else:
                self.settle(node, node.covered)
        elif record == RENAME:
            node = self.find(path)
            source, name = self.folder_of(path)
            target, target_name = self.folder_of(more.decode())
            if source is target:
                source.names.pop(name)
                source.names[target_name] = node
                source.pending.append([(name, None), (target_name, node)])
            else:
                self.set_name(more.decode(), node)
                self.set_name(path, None)
        elif record in (UNLINK, RMDIR):
            self.set_name(path, None)

    @staticmethod
    def settle(node, count):
        if isinstance(node, Folder):
            for group in node.pending[:count]:
                for name, child in group:
                    if child is None:
                        node.durable.pop(name, None)
                    else:
                        node.durable[name] = child
        else:
            for change in node.pending[:count]:
                put(node.durable, change)
        del node.pending[:count]
        node.covered = max(0, node.covered - count)

    def power_loss(self, target, rng, style):
        """Writes what the disk has to folder @target. @style: none (nothing that was not synced), all, names (all
        names, no bytes), bytes (all bytes, no names), torn (sectors and names at random)."""
        self._leave(self.root, target, rng, style)

    def _leave(self, folder, target, rng, style):
        os.makedirs(target, exist_ok=True)
        names = dict(folder.durable)
        keep = {"none": 0, "bytes": 0, "all": len(folder.pending), "names": len(folder.pending)}.get(
            style, rng.randint(0, len(folder.pending)))
        for group in folder.pending[:keep]:
            for name, child in group:
                if child is None:
                    names.pop(name, None)
                else:
                    names[name] = child
        for name, child in names.items():
            if mapped(name):
                continue
            if isinstance(child, Folder):
                self._leave(child, f"{target}/{name}", rng, style)
                continue
            with open(f"{target}/{name}", "wb") as file:
                file.write(left_of(child, rng, style))


def mapped(name):
    """Written through mappings, which the journal does not see; these hold no truth."""
    return name == "run" or name.endswith("-shm")


def put(data, change):
    kind, at, more = change
    if kind == SIZE:
        if at < len(data):
            del data[at:]
        else:
            data.extend(bytes(at - len(data)))
        return
    if len(data) < at:
        data.extend(bytes(at - len(data)))
    data[at:at + len(more)] = more


def left_of(file, rng, style):
    """The bytes of a file after the power went."""
    data = bytearray(file.durable)
    if style in ("none", "names"):
        return data
    if style in ("all", "bytes"):
        for change in file.pending:
            put(data, change)
        return data
    share = rng.choice((0.1, 0.5, 0.9, 0.99))
    for kind, at, more in file.pending:
        if kind == SIZE:
            if rng.random() < share:
                put(data, (kind, at, more))
            continue
        end = at + len(more)
        while at < end:
            step = min(end, (at // SECTOR + 1) * SECTOR) - at
            if rng.random() < share:
                put(data, (WRITE, at, more[len(more) - (end - at):len(more) - (end - at) + step]))
            at += step
    return data


def die(journal, pid):
    """Ends process @pid of a recorded life, in the middle of anything but between a change and its record."""
    order, deadline = f"{journal}.die.{pid}", time.monotonic() + 20
    with open(order, "w", encoding="utf-8"):
        pass
    while os.path.exists(f"/proc/{pid}"):
        assert time.monotonic() < deadline, f"process {pid} does not die"
        time.sleep(0.005)
    os.unlink(order)


def after_power_loss(records, cut, target, rng, style, disk=None):
    """Replays @records up to number @cut over @disk (an empty one), takes the power away, leaves the disk in folder
    @target; the marks so far."""
    disk, marks = disk or Disk(), []
    for record, inode, a, b, path, more in records[:cut]:
        if record == MARK:
            marks.append(json.loads(more))
        else:
            disk.apply(record, inode, a, b, path, more)
    disk.power_loss(target, rng, style)
    return marks


def self_check():
    """A few lives of a file whose ends are known."""
    disk, rng = Disk(), random.Random(1)
    disk.apply(OPEN, 1, 0, 0, "/a", b"")
    disk.apply(WRITE, 1, 0, 3, "/a", b"old")
    assert disk.root.durable == {}
    disk.apply(SYNC_BEGIN, 1, 0, 0, "/a", b"")
    disk.apply(WRITE, 1, 0, 3, "/a", b"new")
    disk.apply(SYNC_END, 1, 0, 0, "/a", b"")
    file = disk.root.names["a"]
    assert bytes(left_of(file, rng, "none")) == b"old" and bytes(left_of(file, rng, "all")) == b"new"
    disk.apply(RENAME, 0, 0, 0, "/a", b"/b")
    disk.apply(SYNC_BEGIN, 9, 0, 0, "", b"")
    disk.apply(SYNC_END, 9, 0, 0, "", b"")
    assert disk.root.durable == {"b": file}
    disk.apply(UNLINK, 0, 0, 0, "/b", b"")
    assert disk.root.durable == {"b": file} and disk.root.names == {}
