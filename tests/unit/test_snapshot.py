# SPDX-License-Identifier: Apache-2.0
"""A snapshot is what the counters say, summed over CPUs and over the tree."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, strategies as st

from containeragent.counters import snapshot, topology
from containeragent.counters.maps import CounterMaps
from containeragent.counters.pageview import PageView
from containeragent.counters.records import GROUP, LIMIT, ROW, SLOT, SLOT_DEAD, SLOT_FREE, SLOT_LIVE, STATE
from containeragent.counters.snapshot import UNKNOWN, Reader, page_columns
from containeragent.counters.topology import Topology

CPUS, SLOTS = 3, 16
PARENT, CHILD, GONE = 2, 7, 4  # slots below the root's


class FakeMaps(SimpleNamespace):
    """A root, a container, a container in it, and a removed one in it."""

    def __init__(self) -> None:
        super().__init__(
            rows=np.zeros((CPUS, SLOTS), ROW),
            groups=np.zeros(SLOTS, GROUP),
            limits=np.zeros(SLOTS, LIMIT),
            slots=np.zeros(SLOTS, SLOT),
            state=np.zeros(1, STATE),
        )
        self.enter(1, 0, 0)
        self.enter(PARENT, 1, 1)
        self.enter(CHILD, PARENT, 2)
        self.enter(GONE, PARENT, 2, SLOT_DEAD)

    def enter(self, slot: int, parent: int, level: int, state: int = SLOT_LIVE) -> None:
        """A slot in use, whose cgroup has the id 100 + slot."""
        self.slots[slot]["state"], self.slots[slot]["level"] = state, level
        self.slots[slot]["cgroup_id"], self.groups[slot]["parent"] = 100 + slot, parent

    def reader(self) -> Reader:
        """Reads these."""
        return Reader(cast(CounterMaps, self))


@pytest.fixture
def maps() -> FakeMaps:
    """Nothing counted yet."""
    return FakeMaps()


@given(st.lists(st.integers(-(2**40), 2**40), min_size=3, max_size=3))
def test_pages_are_summed_over_cpus(parts: list[int]) -> None:
    """A page that one CPU allocates and another one frees is gone: single CPUs' sums mean nothing."""
    rows = np.zeros((CPUS, SLOTS), ROW)
    rows["alloc_anon"][:, 5] = parts
    rows["free_anon"][::-1, 5] = parts
    rows["adjust_file"][1, 5] = 9
    anon, file, shmem, mapped = page_columns(rows, np.arange(SLOTS))
    assert (anon[5], file[5], shmem[5], mapped[5]) == (0, 9, 0, 0)
    assert not anon[:5].any() and not file[6:].any()


@given(st.sets(st.integers(0, 63), max_size=20) | st.integers(0, 64).map(lambda top: set(range(top))))
def test_slots_far_apart_and_side_by_side(used: set[int]) -> None:
    """Each has its own pages, whichever others are in use, and however many are summed at once."""
    rows, slots = np.zeros((CPUS, 64), ROW), np.array(sorted(used), dtype=np.intp)
    numbers = np.arange(rows.size * 3).reshape(CPUS, 64, 3)
    rows["alloc_anon"], rows["add_file"], rows["adjust_mapped"] = numbers.transpose(2, 0, 1)
    rows.flags.writeable = False  # as they are mapped
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "_SLOTS_AT_ONCE", 5)
        anon, file, _, mapped = page_columns(rows, slots)
    assert np.stack([anon, file, mapped], axis=1).tolist() == numbers.sum(axis=0)[slots].tolist()


def test_what_pages_become() -> None:
    """Anonymous pages that went into the page cache are file pages; shmem is a part of file."""
    rows = np.zeros((CPUS, SLOTS), ROW)
    row = rows[0, 3:4]
    row["alloc_anon"], row["free_anon"], row["add_from_anon"] = 100, 10, 30
    row["add_file"], row["free_file"], row["delete_file"] = 7, 2, 5
    row["free_shmem"], row["delete_shmem"] = 1, 2
    row["adjust_anon"], row["adjust_file"], row["adjust_shmem"] = -4, 6, 12
    row["shmem"], row["mapped"], row["adjust_mapped"] = 40, 5, -2
    anon, file, shmem, mapped = page_columns(rows, np.array([3]))
    assert (anon[0], file[0], shmem[0]) == (100 - 10 - 30 - 4, 7 + 30 - 2 - 5 + 6, 40 + 12 - 1 - 2)
    assert mapped[0] == 5 - 2 and {column.dtype for column in (anon, file, shmem, mapped)} == {np.dtype(np.int64)}


def _count(maps: FakeMaps, slot: int, tasks: int, anon: int, file: int) -> None:
    maps.groups[slot]["tasks_local"] = tasks
    maps.rows[slot % CPUS, slot]["alloc_anon"] = anon
    maps.rows[slot % CPUS, slot]["add_file"] = file


def test_totals_and_local(maps: FakeMaps) -> None:
    """Totals have everything below; local has what is a container's own or was a removed one's right below it."""
    for slot, numbers in {1: (1, 10, 100), PARENT: (2, 20, 200), CHILD: (4, 40, 400), GONE: (0, 0, 800)}.items():
        _count(maps, slot, *numbers)
    taken = maps.reader().take()
    root, parent, child = (taken.reading(100 + slot) for slot in (1, PARENT, CHILD))
    assert root and parent and child
    assert (root.total["tasks"], root.total["anon"], root.total["file"]) == (7, 70, 1500)
    assert (parent.total["tasks"], parent.total["anon"], parent.total["file"]) == (6, 60, 1400)
    assert (parent.local["tasks"], parent.local["anon"], parent.local["file"]) == (2, 20, 1000)
    assert (child.total["tasks"], child.total["anon"], child.total["file"]) == (4, 40, 400)
    assert taken.reading(100 + GONE) is None
    assert taken.reading(999) is None
    assert len(taken) == 3 and set(taken.cgroup_ids) == {101, 102, 107}


def test_peaks_are_never_below_the_present(maps: FakeMaps) -> None:
    """The kernel side tells ancestors of pages in batches, so its peak can be behind."""
    _count(maps, CHILD, 5, 90, 10)
    maps.groups[CHILD]["tasks_peak"], maps.groups[CHILD]["pages_peak"] = 4, 64
    maps.groups[PARENT]["tasks_peak"], maps.groups[PARENT]["pages_peak"] = 50, 6400
    maps.enter(9, 1, 1)
    taken = maps.reader().take()
    new = taken.reading(109)
    assert new and (new.peak_tasks, new.peak_pages) == (0, 0)
    child, parent = taken.reading(100 + CHILD), taken.reading(100 + PARENT)
    assert child and (child.peak_tasks, child.peak_pages) == (5, 100)
    assert parent and (parent.peak_tasks, parent.peak_pages) == (50, 6400)


def test_partial_goes_up(maps: FakeMaps) -> None:
    """Where pages from before the load are not known, neither is the sum above."""
    maps.slots[CHILD]["partial"] = 1
    taken = maps.reader().take()
    partial = {number: taken.reading(number) for number in taken.cgroup_ids}
    assert {number: reading.partial_pages for number, reading in partial.items() if reading} == {
        101: True, 102: True, 107: True,
    }  # fmt: skip
    maps = FakeMaps()
    maps.slots[PARENT]["partial"] = 1
    reading = maps.reader().take().reading(100 + CHILD)
    assert reading and not reading.partial_pages


def test_health(maps: FakeMaps) -> None:
    """Everything that the kernel side says of itself arrives."""
    names = [
        name
        for name in STATE.names or ()
        if name not in ("topology", "ends", "other_ends", "managed_root", "files", "files_gone")
    ]
    for at, name in enumerate(names):
        maps.state[name] = at + 11
    health = dataclasses.asdict(maps.reader().take().health)
    assert (health.pop("slots"), health.pop("slots_used")) == (SLOTS, 4)
    renamed = {"dead_slots": "slots_dead"}
    assert health == {renamed.get(name, name): at + 11 for at, name in enumerate(names)}


def test_a_snapshot_stays(maps: FakeMaps) -> None:
    """What was taken does not change while the kernel counts on."""
    reader = maps.reader()
    _count(maps, CHILD, 1, 2, 3)
    before = reader.take()
    first = before.reading(100 + CHILD)
    maps.groups[:]["forks"] = 77
    _count(maps, CHILD, 9, 9, 9)
    assert before.reading(100 + CHILD) == first
    second = reader.take().reading(100 + CHILD)
    assert second and (second.total["tasks"], second.forks) == (9, 77)


def test_the_tree_is_read_again_when_it_changed(maps: FakeMaps) -> None:
    """And only then."""
    reader = maps.reader()
    assert len(reader.take()) == 3
    maps.enter(9, 1, 1)
    assert len(reader.take()) == 3
    maps.state["topology"] += 1
    assert set(reader.take().cgroup_ids) == {101, 102, 107, 109}
    maps.slots[9]["state"] = SLOT_FREE
    maps.state["topology"] += 1
    assert len(reader.take()) == 3


@pytest.mark.parametrize("times", [0, 1, 3, 1000])
def test_a_tree_that_changes_meanwhile(maps: FakeMaps, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Taken again a few times, then as it is: a snapshot always comes."""
    left, looks, page_columns_of = [times], list[Any](), snapshot.page_columns

    def columns(rows: Any, slots: Any) -> Any:
        looks.append(slots)
        if left[0]:
            left[0] -= 1
            maps.state["topology"] += 1
        return page_columns_of(rows, slots)

    monkeypatch.setattr(snapshot, "page_columns", columns)
    assert len(maps.reader().take()) == 3
    assert left[0] == max(0, times - 4) and len(looks) == min(times + 1, 4)


def test_slots_that_change_while_the_tree_is_made(maps: FakeMaps, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made of what they were at one moment."""
    build = topology.build

    def made(generation: int, slots: Any, parents: Any) -> Topology:
        maps.slots["state"], maps.groups["parent"] = SLOT_FREE, 0
        return build(generation, slots, parents)

    monkeypatch.setattr(topology, "build", made)
    _count(maps, CHILD, 5, 90, 10)
    taken = maps.reader().take()
    parent = taken.reading(100 + PARENT)
    assert set(taken.cgroup_ids) == {101, 102, 107} and parent and parent.total["tasks"] == 5


def test_what_no_event_tells_is_as_it_was_seen(maps: FakeMaps) -> None:
    """Unknown before the first look, and of a container that came after it; what is counted stays counted."""
    reader = maps.reader()
    unknown = reader.take().reading(100 + CHILD)
    assert unknown and unknown.total["mapped"] is None and unknown.local["active"] is None
    assert reader.take().pages_seen_at is None
    ids = np.array([101, 100 + PARENT, 100 + CHILD], dtype=np.uint64)
    untold = np.full(3, UNKNOWN)
    total = {"anon": np.array([7, 7, 7]), "mapped": np.array([60, 50, 20]), "active": untold}
    reader.see(PageView(7.0, ids, total, {"mapped": np.array([10, 30, 20]), "active": untold}))
    _count(maps, CHILD, tasks=1, anon=5, file=0)
    seen = reader.take()
    parent, child = seen.reading(100 + PARENT), seen.reading(100 + CHILD)
    assert seen.pages_seen_at == 7.0 and parent and child
    assert (parent.total["mapped"], parent.local["mapped"], parent.total["anon"]) == (50, 30, 5)
    assert (child.total["mapped"], child.total["anon"], child.total["active"]) == (20, 5, None)
    maps.enter(9, 1, 1)
    maps.state["topology"] += 1
    new = reader.take().reading(109)
    assert new and new.total["mapped"] is None and new.total["anon"] == 0


def test_the_highest_of_one_that_is_gone(maps: FakeMaps) -> None:
    """As snapshots had it; 0 of the next cgroup in its slot, and of one that none had."""
    reader = maps.reader()
    maps.rows["alloc_anon"][0, CHILD] = 23
    reader.take()
    maps.rows["alloc_anon"][0, CHILD] = 5
    reader.take()
    maps.slots[CHILD]["state"] = SLOT_DEAD
    assert reader.highest_pages(CHILD, 100 + CHILD) == 23
    assert reader.highest_pages(CHILD, 999) == reader.highest_pages(GONE, 100 + GONE) == 0


def test_the_highest_of_large_numbers(maps: FakeMaps) -> None:
    """Ids and pages have 64 bits."""
    maps.slots["cgroup_id"][CHILD] = (1 << 60) + 1
    maps.rows["alloc_anon"][0, CHILD] = (1 << 54) + 1
    reader = maps.reader()
    taken = reader.take().reading((1 << 60) + 1)
    assert taken and taken.peak_pages == reader.highest_pages(CHILD, (1 << 60) + 1) == (1 << 54) + 1
    assert reader.highest_pages(CHILD, 1 << 60) == 0


def test_when_a_cgroup_was_made(maps: FakeMaps) -> None:
    """Unknown of those that were there before the load."""
    maps.slots["born_ns"][CHILD] = 1 << 40
    found = maps.reader().take()
    born = dict(zip(found.cgroup_ids, found.born_ns.tolist(), strict=True))
    assert born[100 + CHILD] == 1 << 40 and born[100 + PARENT] == UNKNOWN


@pytest.mark.parametrize("knows_mapped", [False, True])
def test_what_is_from_looks(maps: FakeMaps, knows_mapped: bool) -> None:
    """Mapped pages only where the programs do not count them."""
    maps.rows["mapped"][0, CHILD] = 23
    found = Reader(cast(CounterMaps, maps), knows_mapped).take()
    assert ("mapped" in found.from_look) is not knows_mapped
    assert {"active", "files"} <= set(found.from_look)
    child = found.reading(100 + CHILD)
    assert child and child.total["mapped"] == child.local["mapped"] == (23 if knows_mapped else None)


def test_some_alone(maps: FakeMaps) -> None:
    """In the order that was asked for; of all nothing is copied, and of none every column is empty."""
    for slot in (1, PARENT, CHILD):
        _count(maps, slot, slot, 10 * slot, 100 * slot)
        maps.groups[slot]["forks"] = slot
    taken = maps.reader().take()
    assert taken.only(range(3)) is taken
    some = taken.only([2, 0])
    assert some.cgroup_ids == (100 + CHILD, 101) and len(some) == 2 and some.reading(100 + PARENT) is None
    assert [some.reading(number) for number in some.cgroup_ids] == [taken.reading(number) for number in some.cgroup_ids]
    none = taken.only([])
    columns = [*none.total.values(), *none.local.values(), none.forks, none.partial, none.born_ns]
    assert len(none) == 0 and not none.index and {len(column) for column in columns} == {0}
