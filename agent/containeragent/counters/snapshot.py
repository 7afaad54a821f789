# SPDX-License-Identifier: Apache-2.0
"""One frozen reading of every container's counters.

In: mapped counters. Out: a Snapshot that knows nothing of who reads it. Reading is numpy over mapped memory: no system
call, whatever the number of containers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from containeragent.counters import records, topology
from containeragent.counters.maps import CounterMaps
from containeragent.counters.pageview import PageView
from containeragent.counters.topology import Topology

Column = npt.NDArray[np.int64]
COUNTERS = ("tasks", "anon", "file", "shmem", "mapped", "active", "files")
UNKNOWN = records.UNKNOWN
_ATTEMPTS = 4
Count = Any  # int, or None: unknown. Who knows the engine need not ask


@dataclass(frozen=True)
class Health:
    """What the kernel side says of itself; totals since the load."""

    slots: int | None  # None: no bound
    slots_used: int
    slots_dead: int
    slots_exhausted: int
    tasks_lost: int
    pages_lost: int
    pages_unclaimed: int
    notices_lost: int


@dataclass(frozen=True)
class Reading:
    """One container. Pages are of the host's page size. `local` leaves out what is below it. None is unknown."""

    cgroup_id: int
    total: dict[str, Count]  # by the names of COUNTERS: with everything below
    local: dict[str, Count]
    peak_tasks: Count
    peak_pages: Count
    forks: Count
    exits: Count
    partial_pages: bool
    task_limit_hits: Count  # of limits that the programs hold
    page_limit_hits: Count


@dataclass(frozen=True)
class Snapshot:
    """Columns are (living containers,), in the order of `cgroup_ids`; UNKNOWN stands for what is not known."""

    taken_at: float  # time.monotonic()
    cgroup_ids: tuple[int, ...]
    total: dict[str, Column]  # by the names of COUNTERS: with everything below
    local: dict[str, Column]
    peak_tasks: Column
    peak_pages: Column
    forks: Column
    exits: Column
    task_limit_hits: Column  # of limits that the programs hold
    page_limit_hits: Column
    partial: npt.NDArray[np.bool_]
    born_ns: Column  # CLOCK_MONOTONIC when they began to count; of who was there before, and with `netlink`, UNKNOWN
    health: Health
    index: dict[int, int]  # cgroup id -> position
    from_look: tuple[str, ...] = ()  # counters that no event tells: they are from a look at all pages
    pages_seen_at: float | None = None  # time.monotonic() of that look, None before the first one

    def __len__(self) -> int:
        return len(self.cgroup_ids)

    def only(self, positions: Sequence[int]) -> Snapshot:
        """These containers alone."""
        if len(positions) == len(self):
            return self
        at = np.array(positions, dtype=np.intp)
        columns = (
            "peak_tasks",
            "peak_pages",
            "forks",
            "exits",
            "task_limit_hits",
            "page_limit_hits",
            "partial",
            "born_ns",
        )
        ids = tuple(self.cgroup_ids[position] for position in positions)
        return replace(
            self,
            cgroup_ids=ids,
            total={name: column[at] for name, column in self.total.items()},
            local={name: column[at] for name, column in self.local.items()},
            index={number: position for position, number in enumerate(ids)},
            **{name: getattr(self, name)[at] for name in columns},
        )

    def reading(self, cgroup_id: int) -> Reading | None:
        """One container's counters; None for a cgroup that has no slot of its own."""
        at = self.index.get(cgroup_id)
        if at is None:
            return None
        return Reading(
            cgroup_id=cgroup_id,
            total={name: _known(self.total[name][at]) for name in COUNTERS},
            local={name: _known(self.local[name][at]) for name in COUNTERS},
            peak_tasks=_known(self.peak_tasks[at]),
            peak_pages=_known(self.peak_pages[at]),
            forks=_known(self.forks[at]),
            exits=_known(self.exits[at]),
            partial_pages=bool(self.partial[at]),
            task_limit_hits=_known(self.task_limit_hits[at]),
            page_limit_hits=_known(self.page_limit_hits[at]),
        )


def _known(value: np.int64) -> Count:
    return None if value == UNKNOWN else int(value)


_SLOTS_AT_ONCE = 2048  # their sums stay in the CPU's cache while the rows of all CPUs are added to them
_NEAR = 1.5  # slots apart: adding rows as they lie costs less than picking those that are wanted


def page_columns(rows: npt.NDArray[Any], slots: topology.Index) -> npt.NDArray[np.int64]:
    """Anonymous, file, shmem and mapped pages of these slots, which are in order, in (cpus, slots) rows.

    bpf/records.h explains them.
    """
    words = rows.view(np.int64).reshape(*rows.shape, -1)
    found = np.empty((4, len(slots)), dtype=np.int64)
    for first in range(0, len(slots), _SLOTS_AT_ONCE):
        some = slice(first, first + _SLOTS_AT_ONCE)
        sums = _sums(words, slots[some])
        found[:, some] = _kinds({name: sums[:, at] for at, name in enumerate(rows.dtype.names or ())})
    return found


def _sums(words: npt.NDArray[np.int64], slots: topology.Index) -> npt.NDArray[np.int64]:
    """The rows of each slot, all CPUs together: slots come from a queue, so few containers may be far apart."""
    low, high = int(slots[0]), int(slots[-1]) + 1
    if high - low <= _NEAR * len(slots):
        sums: npt.NDArray[np.int64] = words[0, low:high].copy()
        for cpu in words[1:]:
            sums += cpu[low:high]
        return sums[slots - low]
    sums = words[0].take(slots, axis=0)
    picked = np.empty_like(sums)
    for cpu in words[1:]:
        sums += cpu.take(slots, axis=0, out=picked, mode="clip")  # else what is picked goes through one more copy
    return sums


def _kinds(sums: dict[str, Column]) -> tuple[Column, Column, Column, Column]:
    became_file = sums["add_from_anon"]
    anon = sums["alloc_anon"] - sums["free_anon"] - became_file + sums["adjust_anon"]
    file = sums["add_file"] + became_file - sums["free_file"] - sums["delete_file"] + sums["adjust_file"]
    shmem = sums["shmem"] - sums["free_shmem"] - sums["delete_shmem"] + sums["adjust_shmem"]
    return anon, file, shmem, sums["mapped"] + sums["adjust_mapped"]


_COUNTED = ("tasks", "anon", "file", "shmem", "mapped")  # by the programs; mapped pages by those of fentry only


class Peaks:
    """Highest values ever seen, by slot: the kernel's peaks are behind by up to a batch a CPU, and must not go back."""

    def __init__(self, slots: int) -> None:
        self._ids = np.zeros(slots, dtype=np.uint64)
        self._highest = np.zeros(slots, dtype=np.int64)

    def raised(self, tree: Topology, values: Column) -> Column:
        """`values` of the living nodes, raised to what was seen before in the same cgroups."""
        slots = tree.used[tree.live]
        known = np.where(self._ids[slots] == tree.ids, self._highest[slots], 0)
        self._ids[slots], self._highest[slots] = tree.ids, np.maximum(values, known)
        return self._highest[slots]

    def of(self, slot: int, cgroup_id: int) -> int:
        """The highest that was seen of a cgroup, which may be gone; 0 when it never was."""
        return int(self._highest[slot]) if self._ids[slot] == cgroup_id else 0


Columns = dict[str, Column]


class _Seen:
    """What a look at all pages found of some counters, in the order of a tree; kept for that tree."""

    def __init__(self, counters: tuple[str, ...], view: PageView | None = None) -> None:
        self.counters = counters
        self.view = view
        self._tree: Topology | None = None
        self._columns: tuple[Columns, Columns] = {}, {}

    def columns(self, tree: Topology) -> tuple[Columns, Columns]:
        """`total` and `local`; a container that came after the look is unknown."""
        if self._tree is not tree:
            self._tree, self._columns = tree, self._arranged(tree)
        return self._columns

    def _arranged(self, tree: Topology) -> tuple[Columns, Columns]:
        if self.view is None:
            unknown = dict.fromkeys(self.counters, np.full(len(tree.ids), UNKNOWN, dtype=np.int64))
            return unknown, unknown
        at, known = self.view.places(tree.ids)
        total, local = (
            {
                name: np.where(known, columns[name][at] if name in columns else UNKNOWN, UNKNOWN)
                for name in self.counters
            }
            for columns in (self.view.total, self.view.local)
        )
        return total, local


class Reader:
    """Takes snapshots. It keeps the tree between them and reads it anew only when the kernel side says it changed."""

    def __init__(self, maps: CounterMaps, knows_mapped: bool = False) -> None:
        self._maps = maps
        self._topology: Topology | None = None
        self._seen = _Seen(
            ("active", "files") if knows_mapped else ("mapped", "active", "files")
        )  # the programs do not count these
        self._peaks = Peaks(len(maps.slots))

    def tree(self) -> Topology:
        """The slots in use now."""
        generation = int(self._maps.state["topology"][0])
        if self._topology is None or self._topology.generation != generation:
            self._topology = topology.build(generation, self._maps.slots.copy(), self._maps.groups["parent"].copy())
        return self._topology

    def highest_pages(self, slot: int, cgroup_id: int) -> int:
        """What snapshots ever gave as peak_pages of a cgroup that may be gone."""
        return self._peaks.of(slot, cgroup_id)

    def see(self, view: PageView) -> None:
        """From now on, what the programs do not count is as this look found it."""
        self._seen = _Seen(self._seen.counters, view)

    def take(self) -> Snapshot:
        """A snapshot; read again if a container came or went meanwhile, up to a few times."""
        for _ in range(_ATTEMPTS):
            tree = self.tree()
            snapshot = self._take(tree)
            if int(self._maps.state["topology"][0]) == tree.generation:
                break
        return snapshot

    def _take(self, tree: Topology) -> Snapshot:
        maps, live, slots = self._maps, tree.live, tree.live_slots
        groups, limits = maps.groups, maps.limits
        local = np.stack([groups["tasks_local"][tree.used], *page_columns(maps.rows, tree.used)], axis=1)
        total, held = tree.subtree(local)[live], tree.held(local)[live]
        seen_total, seen_local = self._seen.columns(tree)
        totals = {name: total[:, at] for at, name in enumerate(_COUNTED)} | seen_total
        peak_pages = np.maximum(groups["pages_peak"][slots], totals["anon"] + totals["file"])
        born = maps.slots["born_ns"][slots].astype(np.int64)
        return Snapshot(
            taken_at=time.monotonic(),
            cgroup_ids=tree.cgroup_ids,
            total=totals,
            local={name: held[:, at] for at, name in enumerate(_COUNTED)} | seen_local,
            peak_tasks=np.maximum(groups["tasks_peak"][slots], totals["tasks"]),
            peak_pages=self._peaks.raised(tree, peak_pages),
            forks=groups["forks"][slots],
            exits=groups["exits"][slots],
            task_limit_hits=limits["task_limit_hits"][slots].astype(np.int64),
            page_limit_hits=limits["page_limit_hits"][slots].astype(np.int64),
            partial=tree.any_below(maps.slots["partial"][tree.used] != 0)[live],
            born_ns=np.where(born == 0, UNKNOWN, born),
            health=self._health(tree),
            index=tree.index,
            from_look=self._seen.counters,
            pages_seen_at=self._seen.view.taken_at if self._seen.view else None,
        )

    def _health(self, tree: Topology) -> Health:
        state = self._maps.state[0]
        return Health(
            slots=len(self._maps.slots),
            slots_used=len(tree.used),
            slots_dead=int(state["dead_slots"]),
            slots_exhausted=int(state["slots_exhausted"]),
            tasks_lost=int(state["tasks_lost"]),
            pages_lost=int(state["pages_lost"]),
            pages_unclaimed=int(state["pages_unclaimed"]),
            notices_lost=int(state["notices_lost"]),
        )
