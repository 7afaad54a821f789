# SPDX-License-Identifier: Apache-2.0
"""Files that are charged to cgroups: what is entered, what programs look for, and pages moved until none is left.

The kernel side is a dictionary and a page cache made by hand.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import tempfile
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from containeragent import libbpf, runnable
from containeragent.counters import charged
from containeragent.counters.charged import Cached, ChargedFiles, FileKey
from containeragent.counters.maps import CounterMaps
from containeragent.counters.records import FILE, FILE_KEY, FILE_WALK, FILES, FILTER_WORDS, MAPPED_FILE, SLOT_DEAD
from containeragent.errors import Refused
from containeragent.host import grace
from tests.unit.test_snapshot import CHILD, GONE, PARENT, FakeMaps

MAPPING = 0xFFFF_8880_0000_1000
KEY = FileKey(70_000, 254 << 20 | 7, 9)


class Kernel:
    """Maps by descriptor: 1 files, 2 the filter, 3 what was asked, 4 what was walked. Programs: 5 walks, 6 finds."""

    def __init__(self, patch: pytest.MonkeyPatch, in_two_steps: bool) -> None:
        self.entries: dict[bytes, bytes] = {}
        self.memory: dict[int, Any] = {
            2: np.zeros(FILTER_WORDS, np.uint64), 3: np.zeros(1, MAPPED_FILE), 4: np.zeros(1, FILE_WALK),
        }  # fmt: skip
        self.maps = FakeMaps()
        self.waits = 0
        self.room = FILES
        self.found = MAPPING
        # Answers of the walks to come: next, pages, moved, left; None: it is not in memory.
        self.walks: list[tuple[int, int, int, int] | None] = []
        self.walked: list[tuple[int, ...]] = []
        self.addresses: list[int] = []
        patch.setattr(libbpf, "map_memory", self._map)
        patch.setattr(libbpf, "map_lookup", lambda _, key, __: self.entries.get(key))
        patch.setattr(libbpf, "map_keys", lambda *_: [*self.entries, *list(self.entries)[:1], b"gone meanwhile!!"])
        patch.setattr(libbpf, "map_update", self._update)
        patch.setattr(libbpf, "map_delete", lambda _, key: self.entries.pop(key, None) is not None)
        patch.setattr(runnable, "run_iterator", self._find)
        patch.setattr(charged, "Runnable", lambda descriptor: self._walk if descriptor == 5 else None)
        patch.setattr(grace, "wait_for_programs", self._wait)
        maps = {"files": 1, "file_filter": 2, "mapped_file": 3, "file_walk": 4}
        descriptors = {"maps": maps, "programs": {"walk_file": 5, "task_vma": 6}}
        self.files = ChargedFiles(cast(CounterMaps, self.maps), descriptors, in_two_steps)

    def _map(self, descriptor: int, *, writable: bool) -> memoryview:
        """Whole pages; `memory` has what is wanted of them."""
        wanted, whole = self.memory[descriptor], np.zeros(1 << 14, np.uint8)
        self.memory[descriptor] = whole[: wanted.nbytes].view(wanted.dtype)
        whole.flags.writeable = writable
        return memoryview(cast(Any, whole))

    def _update(self, descriptor: int, key: bytes, value: bytes) -> None:
        if len(self.entries) >= self.room:
            raise OSError(7, "no room")
        assert (descriptor, len(key), len(value)) == (1, FILE_KEY.itemsize, FILE.itemsize)
        self.entries[key] = value

    def _wait(self) -> None:
        self.waits += 1
        self.walked.append(())

    def _find(self, descriptor: int, task: int) -> None:
        assert (descriptor, task) == (6, threading.get_native_id()) and not self.memory[3]["mapping"][0]
        self.addresses.append(int(self.memory[3]["address"][0]))
        self.memory[3][0] = (self.addresses[-1], self.found, KEY.inode, KEY.device, KEY.generation)

    def _walk(self, *arguments: int) -> int:
        self.walked.append(arguments)
        answer = self.walks.pop(0) if self.walks else (0, 0, 0, 0)
        if answer is None:
            return 0
        self.memory[4][0] = (*answer, 3)
        return 1

    def filter(self) -> set[int]:
        """Bits that are set."""
        return {
            at * 64 + bit for at, word in enumerate(self.memory[2].tolist()) for bit in range(64) if word >> bit & 1
        }

    def looked_for(self) -> int:
        """How many files programs believe there are."""
        return int(self.maps.state["files"][0])


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """Engine tracepoint."""
    return Kernel(monkeypatch, in_two_steps=False)


def test_keys() -> None:
    """As the map has them, and as people see the device."""
    assert np.frombuffer(KEY.encode(), FILE_KEY)[0].tolist() == (70_000, 254 << 20 | 7, 9)
    assert KEY.device_name == "254:7" and FileKey(1, 0xFFFFF, 0).device_name == "0:1048575"


def test_charge(kernel: Kernel) -> None:
    """It is entered with its slot before pages are moved; programs look for it from then on."""
    kernel.walks = [(0, 5, 4, 0), (0, 5, 0, 0)]
    assert kernel.files.charge(KEY, MAPPING, 100 + CHILD, "/a/\udcff") == 4
    assert np.frombuffer(kernel.entries[KEY.encode()], FILE)[["cgroup_id", "slot", "mapping"]][0].tolist() == (
        100 + CHILD, CHILD, MAPPING,
    )  # fmt: skip
    entry = kernel.files.entry(KEY)
    assert entry and (entry.key, entry.cgroup_id, entry.path, entry.mapping) == (KEY, 100 + CHILD, "/a/\udcff", MAPPING)
    assert kernel.filter() == {70_000 % (FILTER_WORDS * 64)} and kernel.looked_for() == FILES
    walk = (MAPPING, 0, CHILD, 0, KEY.inode, KEY.device << 32 | KEY.generation)
    assert kernel.walked == [(), walk, (), walk]


def test_charge_in_two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engine fentry: pages are marked, then programs at work end, then they are moved."""
    kernel = Kernel(monkeypatch, in_two_steps=True)
    kernel.walks = [(0, 9, 2, 0), (0, 9, 2, 0)]
    assert kernel.files.charge(KEY, MAPPING, 100 + CHILD, "/a") == 2
    assert [step[3] if step else "wait" for step in kernel.walked] == ["wait", 1, "wait", 0, 1, "wait", 0]


def test_pages_that_others_are_at_work_with(kernel: Kernel) -> None:
    """They are tried again, a few times."""
    kernel.walks = [(0, 5, 0, 1), (0, 5, 0, 1), (0, 5, 3, 0)]
    assert kernel.files.charge(KEY, MAPPING, 100 + CHILD, "/a") == 3
    assert len([step for step in kernel.walked if step]) == 4
    kernel.walked, kernel.walks = [], [(0, 5, 0, 1)] * 100
    assert kernel.files.charge(KEY, MAPPING, 100 + CHILD, "/a") == 0
    assert len([step for step in kernel.walked if step]) == 8


def test_a_long_file(kernel: Kernel) -> None:
    """It is walked in pieces, each again as long as some of it moved and some is left: one slot at a time."""
    kernel.walks = [(512, 10, 5, 2), (512, 10, 2, 0), (99, 20, 1, 1), (99, 20, 0, 1), (0, 3, 0, 0)]
    assert kernel.files.charge(KEY, MAPPING, 100 + CHILD, "/a") == 8
    assert [step[1] for step in kernel.walked if step][:5] == [0, 0, 512, 512, 99]


def test_what_is_cached(kernel: Kernel) -> None:
    """Pages of all pieces, and names; None of what is not in memory. Nothing is moved for that."""
    kernel.files.charge(KEY, MAPPING, 100 + CHILD, "/a")
    entry = kernel.files.entry(KEY)
    assert entry
    kernel.walked, kernel.walks = [], [(7, 10, 0, 0), (0, 3, 0, 0)]
    assert kernel.files.cached(entry) == Cached(13, 3)
    assert [step[:4] for step in kernel.walked] == [(MAPPING, 0, 0, 0), (MAPPING, 7, 0, 0)]
    kernel.walks = [(7, 10, 0, 0), None]
    assert kernel.files.cached(entry) is None


def test_one_that_leaves_memory_while_it_is_moved(kernel: Kernel) -> None:
    """What was moved is known."""
    kernel.walks = [(7, 10, 6, 0), (8, 10, 2, 2), None, None]
    assert kernel.files.charge(KEY, MAPPING, 100 + CHILD, "/a") == 8


def test_others_run_in_between(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a huge file."""
    naps: list[float] = []
    monkeypatch.setattr(charged, "time", SimpleNamespace(sleep=naps.append))
    kernel.walks = [(at, 1, 0, 0) for at in range(1, 1100)]
    kernel.files.charge(KEY, MAPPING, 100 + CHILD, "/a")
    assert naps == [0, 0]


def test_what_is_not_charged(kernel: Kernel) -> None:
    """To a cgroup that is gone; with a path that is too long; one too many. Nothing is entered."""
    kernel.maps.slots[PARENT]["state"] = SLOT_DEAD
    for cgroup_id in (999, 100 + GONE, 100 + PARENT, 0):
        with pytest.raises(Refused, match=f"cgroup {cgroup_id} is being removed") as refused:
            kernel.files.charge(KEY, MAPPING, cgroup_id, "/a")
        assert refused.value.code == "ENODEV" and not kernel.files.lives(cgroup_id)
    with pytest.raises(Refused, match="has more than 1023 bytes") as refused:
        kernel.files.charge(KEY, MAPPING, 100 + CHILD, "/" * 1024)
    assert refused.value.code == "EINVAL" and len(refused.value.message) < 150
    assert not kernel.entries and kernel.files.lives(100 + CHILD)
    kernel.files.charge(KEY, MAPPING, 100 + CHILD, "/" * 1023)
    kernel.room = 1
    with pytest.raises(Refused, match="4096 files are charged already") as refused:
        kernel.files.charge(FileKey(1, 1, 1), MAPPING, 100 + CHILD, "/b")
    assert refused.value.code == "ENOSPC"


def test_release(kernel: Kernel) -> None:
    """Programs look for as few files as there are; one that is not there is no loss."""
    other = FileKey(5 + FILTER_WORDS * 64, 1, 1)
    kernel.files.charge(KEY, MAPPING, 100 + CHILD, "/a")
    kernel.files.charge(other, MAPPING, 100 + PARENT, "/b")
    assert [entry.path for entry in kernel.files.entries()] == ["/a", "/b"]
    assert kernel.files.release(KEY) is True
    assert kernel.filter() == {5} and kernel.looked_for() == 1
    assert kernel.files.release(KEY) is False and kernel.files.entry(KEY) is None
    assert kernel.files.release(other) is True and kernel.filter() == set() and kernel.looked_for() == 0


def test_two_with_the_same_bit_and_two_in_one_word(kernel: Kernel) -> None:
    """Neither takes the other's away."""
    for inode in (64, 64 + FILTER_WORDS * 64, 66):
        kernel.files.charge(FileKey(inode, 1, 1), MAPPING, 100 + CHILD, "/a")
    assert kernel.filter() == {64, 66}
    kernel.files.release(FileKey(64, 1, 1))
    assert kernel.filter() == {64, 66} and kernel.looked_for() == 2


def test_prune(kernel: Kernel) -> None:
    """What was entered for cgroups that are gone."""
    kernel.files.charge(KEY, MAPPING, 100 + CHILD, "/a")
    kernel.files.charge(FileKey(5, 1, 1), MAPPING, 100 + PARENT, "/b")
    before = kernel.files.generation
    kernel.maps.slots[CHILD]["state"] = SLOT_DEAD
    kernel.maps.state["topology"] += 1
    assert kernel.files.generation != before
    kernel.files.prune()
    assert [entry.path for entry in kernel.files.entries()] == ["/b"]
    assert kernel.filter() == {5} and kernel.looked_for() == 1
    before = kernel.files.generation
    kernel.maps.state["files_gone"] += 1
    assert kernel.files.generation != before


def _maps() -> set[int]:
    with open("/proc/self/maps", encoding="utf-8") as file:
        return {int(line.partition("-")[0], 16) for line in file}


def test_found(kernel: Kernel) -> None:
    """The kernel is asked by the address at which the file is mapped; it is mapped as long as that lasts."""
    with tempfile.TemporaryFile() as file:
        file.write(b"x")
        file.flush()
        with kernel.files.found(file.fileno()) as (key, mapping):
            assert (key, mapping) == (KEY, MAPPING) and kernel.addresses[0] in _maps()
            assert ctypes.string_at(kernel.addresses[0], 1) == b"x"
        assert kernel.addresses[0] not in _maps()
        kernel.found = 0
        with pytest.raises(Refused, match=r"^the kernel does not show") as refused, kernel.files.found(file.fileno()):
            pass
        assert refused.value.code == "EIO" and kernel.addresses[1] not in _maps()


def test_what_cannot_be_mapped(kernel: Kernel) -> None:
    """A folder, say."""

    @contextlib.contextmanager
    def folder() -> Iterator[int]:
        descriptor = os.open("/", os.O_RDONLY)
        yield descriptor
        os.close(descriptor)

    with folder() as descriptor, pytest.raises(OSError, match="No such device"), kernel.files.found(descriptor):
        pass
