# SPDX-License-Identifier: Apache-2.0
"""Files that are charged to cgroups: their pages count there, whoever touches them first.

In: open files. Out: entries of the map `files` (bpf/files.h), which outlive the agent, and the pages that are cached
already counted with the new one. A file is what the kernel has pages of: on a file system that is on top of others
(overlay) the inode below.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from containeragent import libbpf, runnable
from containeragent.counters.maps import Array, CounterMaps
from containeragent.counters.records import (
    FILE,
    FILE_KEY,
    FILE_PATH_BYTES,
    FILE_WALK,
    FILES,
    FILTER_WORDS,
    MAPPED_FILE,
    SLOT_LIVE,
)
from containeragent.errors import Refused
from containeragent.host import grace
from containeragent.runnable import Runnable

_TRIES = 8  # pages that others are at work with are tried again
_RUNS_AT_ONCE = 512  # then others may run
_FILTER_BITS = FILTER_WORDS * 64


@dataclass(frozen=True)
class FileKey:
    """Which file: an inode number that is used again comes with another generation. `device` is the kernel's s_dev."""

    inode: int
    device: int
    generation: int

    def encode(self) -> bytes:
        """The map's key."""
        return np.array((self.inode, self.device, self.generation), dtype=FILE_KEY).tobytes()

    @property
    def device_name(self) -> str:
        """MAJOR:MINOR, as /proc/self/mountinfo has it (include/linux/kdev_t.h)."""
        return f"{self.device >> 20}:{self.device & 0xFFFFF}"


@dataclass(frozen=True)
class ChargedFile:
    """An entry. `mapping` is the address_space that it was last seen as."""

    key: FileKey
    cgroup_id: int
    path: str
    mapping: int


@dataclass(frozen=True)
class Cached:
    """Of a file that is in memory: pages in the page cache, and names that it has; 0: it was removed."""

    pages: int
    links: int


def _key(record: Any) -> FileKey:
    return FileKey(int(record["inode"]), int(record["device"]), int(record["generation"]))


def _decoded(raw_key: bytes, raw: bytes) -> ChargedFile:
    file = np.frombuffer(raw[: FILE.itemsize], FILE)[0]
    path = os.fsdecode(file["path"].tobytes().partition(b"\0")[0])
    return ChargedFile(_key(np.frombuffer(raw_key, FILE_KEY)[0]), int(file["cgroup_id"]), path, int(file["mapping"]))


@contextlib.contextmanager
def _mapped(descriptor: int) -> Iterator[int]:
    """The address that an open file is mapped at, untouched."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    address = libc.mmap(None, mmap.PAGESIZE, mmap.PROT_READ, mmap.MAP_PRIVATE, descriptor, 0)
    if address == ctypes.c_void_p(-1).value:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    try:
        yield address
    finally:
        libc.munmap(address, mmap.PAGESIZE)


class ChargedFiles:
    """From any thread. `in_two_steps`: engine fentry, which wants pages marked before they are moved."""

    def __init__(self, maps: CounterMaps, descriptors: dict[str, dict[str, int]], in_two_steps: bool) -> None:
        """`descriptors` are of what is pinned, by kind (pins.KINDS) and name."""
        pinned, programs = descriptors["maps"], descriptors["programs"]
        self._maps = maps
        self._files = pinned["files"]
        self._filter = _view(pinned["file_filter"], np.uint64, FILTER_WORDS)
        self._asked = _view(pinned["mapped_file"], MAPPED_FILE, 1)
        self._walked = _view(pinned["file_walk"], FILE_WALK, 1)
        self._walk_program = Runnable(programs["walk_file"])
        self._find_program = programs["task_vma"]
        self._in_two_steps = in_two_steps
        self._lock = threading.Lock()

    @property
    def generation(self) -> tuple[int, int]:
        """Changes when an entry may be out of date: its file is gone, or a cgroup."""
        state = self._maps.state
        return int(state["files_gone"][0]), int(state["topology"][0])

    @contextlib.contextmanager
    def found(self, descriptor: int) -> Iterator[tuple[FileKey, int]]:
        """An open file's key and address_space, which stays as long as this lasts. OSError if it cannot be mapped."""
        with _mapped(descriptor) as address:
            with self._lock:
                self._asked[:] = 0
                self._asked["address"] = address
                runnable.run_iterator(self._find_program, threading.get_native_id())
                seen = self._asked[0].copy()
            if not seen["mapping"]:
                raise Refused("EIO", "the kernel does not show what was mapped: see containerctl doctor")
            yield _key(seen), int(seen["mapping"])

    def entry(self, key: FileKey) -> ChargedFile | None:
        """What is entered of a file; perhaps of a cgroup that is gone."""
        raw = libbpf.map_lookup(self._files, key.encode(), FILE.itemsize)
        return None if raw is None else _decoded(key.encode(), raw)

    def entries(self) -> list[ChargedFile]:
        """All of them."""
        keys = dict.fromkeys(libbpf.map_keys(self._files, FILE_KEY.itemsize))
        found = ((key, libbpf.map_lookup(self._files, key, FILE.itemsize)) for key in keys)
        return [_decoded(key, raw) for key, raw in found if raw is not None]

    def lives(self, cgroup_id: int) -> bool:
        """Whether a cgroup has a slot of its own now."""
        return bool(self._slot(cgroup_id))

    def _slot(self, cgroup_id: int) -> int:
        slots = self._maps.slots
        found = np.flatnonzero((slots["cgroup_id"] == cgroup_id) & (slots["state"] == SLOT_LIVE))
        return int(found[0]) if len(found) else 0

    def charge(self, key: FileKey, mapping: int, cgroup_id: int, path: str) -> int:
        """Have all pages of a file count with a cgroup, also those that are cached; how many of them were moved."""
        slot, raw = self._slot(cgroup_id), os.fsencode(path)
        if not slot:
            raise Refused("ENODEV", f"cgroup {cgroup_id} is being removed, or has no slot of its own")
        if len(raw) >= FILE_PATH_BYTES:
            raise Refused("EINVAL", f"the path {path[:80]}... has more than {FILE_PATH_BYTES - 1} bytes")
        value = np.zeros(1, dtype=FILE)
        value["cgroup_id"], value["slot"], value["mapping"] = cgroup_id, slot, mapping
        value["path"][0, : len(raw)] = np.frombuffer(raw, dtype=np.uint8)
        with self._lock:
            bit = key.inode % _FILTER_BITS
            self._filter[bit // 64] |= np.uint64(1 << bit % 64)
            try:
                libbpf.map_update(self._files, key.encode(), value.tobytes())
            except OSError:
                raise Refused("ENOSPC", f"{FILES} files are charged already, which is the most: remove one") from None
            self._maps.state["files"] = FILES
            grace.wait_for_programs()  # those at work have not seen it
            return self._move(key, mapping, slot)

    def release(self, key: FileKey) -> bool:
        """Whoever touches its pages first pays from now on; those that are cached stay where they are."""
        with self._lock:
            found = libbpf.map_delete(self._files, key.encode())
            self._count()
        return found

    def prune(self) -> None:
        """Take out what was entered for cgroups that are gone."""
        with self._lock:
            for entry in self.entries():
                if not self._slot(entry.cgroup_id):
                    libbpf.map_delete(self._files, entry.key.encode())
            self._count()

    def _count(self) -> None:
        """Let programs look for as few files as there are."""
        numbers = [entry.key.inode % _FILTER_BITS for entry in self.entries()]
        bits = np.zeros(FILTER_WORDS, dtype=np.uint64)
        for bit in numbers:
            bits[bit // 64] |= np.uint64(1 << bit % 64)
        self._filter[:] = bits
        self._maps.state["files"] = len(numbers)

    def cached(self, entry: ChargedFile) -> Cached | None:
        """What of it is in memory; None if nothing of the file is, not even that it exists."""
        with self._lock:
            return self._walk(entry.key, entry.mapping)[0]

    def _move(self, key: FileKey, mapping: int, slot: int) -> int:
        """Until a look finds nothing more to move. What is on its way between frames shows in the next."""
        total = 0
        for turn in range(_TRIES):
            if turn or self._in_two_steps:
                if self._in_two_steps:
                    self._walk(key, mapping, slot, mark=1)
                grace.wait_for_programs()
            _, moved, left = self._walk(key, mapping, slot)
            total += moved
            if not (moved or left):
                break
        return total

    def _walk(self, key: FileKey, mapping: int, slot: int = 0, mark: int = 0) -> tuple[Cached | None, int, int]:
        """Over the cached pages: what is there, pages moved (or marked), and those that could not be."""
        index, runs, pages, all_moved, all_left = 0, 0, 0, 0, 0
        while True:
            moved, left = 1, 1
            while moved and left:  # of several slots, one is moved at a time
                if not self._walk_program(mapping, index, slot, mark, key.inode, key.device << 32 | key.generation):
                    return None, all_moved, all_left
                walked = self._walked[0]
                at, pages_here, moved, left = (int(walked[name]) for name in ("next", "pages", "moved", "left"))
                all_moved += moved
            all_left += left
            pages += pages_here
            if not at:
                return Cached(pages, int(self._walked["links"][0])), all_moved, all_left
            index, runs = at, runs + 1
            if runs % _RUNS_AT_ONCE == 0:
                time.sleep(0)


def _view(descriptor: int, dtype: np.dtype[np.void] | type[np.uint64], count: int) -> Array:
    return np.frombuffer(libbpf.map_memory(descriptor, writable=True), dtype=dtype, count=count)
