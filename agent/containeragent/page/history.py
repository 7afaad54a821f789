# SPDX-License-Identifier: Apache-2.0
"""The last minutes of containers, in memory that is bounded: 960 bytes a container.

In: snapshots, one every few seconds. Out: what a container used, from the oldest sample to the newest. It is gone with
the agent.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from containeragent.counters.snapshot import UNKNOWN, Column, Snapshot

FIELDS = ("tasks", "anon", "file", "forks")  # forks: started in a second; pages of the host's page size
SAMPLES = 60
INTERVAL_SECONDS = 10.0
_MOST_OF_A_CORE = 0.0025  # where a snapshot is dear (netlink), samples are further apart
_CHOSEN_ANEW_SECONDS = 60.0  # where there are more containers than rows

Series = dict[str, list[float | None]]


class History:
    """Rings of SAMPLES samples for `most` containers: those with the most memory and tasks, where there are more."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._values = np.empty((most, SAMPLES, len(FIELDS)), dtype=np.float32)  # memory is touched as rows are given
        self._times = np.full(SAMPLES, np.nan)
        self._written = 0
        self._rows: dict[int, int] = {}  # by cgroup id
        self._free = list(range(most - 1, -1, -1))
        self._of: tuple[int, ...] | None = None  # the cgroups that rows were chosen for, and where: position, row
        self._positions: npt.NDArray[np.intp] = np.empty(0, dtype=np.intp)
        self._targets: npt.NDArray[np.intp] = np.empty(0, dtype=np.intp)
        self._chosen_at = -float("inf")
        self._forks: _Forks | None = None
        self._due = -float("inf")
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """What it takes when every row is in use."""
        return self._values.nbytes

    def upkeep(self, snapshot: Callable[[], Snapshot]) -> None:
        """Take a sample if it is time for one."""
        now = self._clock()
        if now < self._due:
            return
        started = time.thread_time()
        self.add(snapshot())
        self._due = now + max(INTERVAL_SECONDS, (time.thread_time() - started) / _MOST_OF_A_CORE)

    def add(self, snapshot: Snapshot) -> None:
        """One sample of every container that has a row."""
        now = self._clock()
        forks = self._fork_rates(snapshot, now)
        with self._lock:
            self._choose(snapshot, now)
            at = self._written % SAMPLES
            columns = [*(snapshot.total[name] for name in FIELDS[:-1]), forks]
            for field, column in enumerate(columns):
                chosen = column[self._positions]
                self._values[self._targets, at, field] = np.where(chosen == UNKNOWN, np.nan, chosen)
            self._times[at] = now
            self._written += 1

    def of(self, cgroup_id: int) -> Series:
        """By the names of FIELDS, oldest first, with `age_seconds`; None is unknown. Empty where there is no row."""
        with self._lock:
            row = self._rows.get(cgroup_id)
            if row is None:
                return {}
            order = self._order()
            values, ages = self._values[row, order], self._clock() - self._times[order]
        there = np.flatnonzero(~np.isnan(values).all(axis=1))
        first = int(there[0]) if len(there) else len(order)
        found = {name: _listed(values[first:, at]) for at, name in enumerate(FIELDS)}
        return {"age_seconds": [round(age, 1) for age in ages[first:].tolist()], **found}

    def last(self, cgroup_id: int, field: str) -> float | None:
        """The newest sample of one field."""
        with self._lock:
            row = self._rows.get(cgroup_id)
            if row is None:
                return None
            return _listed(self._values[row, [(self._written - 1) % SAMPLES], FIELDS.index(field)])[0]

    def memory(self, cgroup_id: int, points: int) -> list[float | None]:
        """Anonymous pages and page cache, the highest of each of so many equal parts of the time, oldest first."""
        with self._lock:
            row = self._rows.get(cgroup_id)
            if row is None:
                return []
            whole = np.full(SAMPLES, np.nan)
            order = self._order()
            if len(order):
                whole[-len(order) :] = self._values[row, order, 1] + self._values[row, order, 2]
        parts = np.fmax.reduce(whole.reshape(points, -1), axis=1)
        return _listed(parts)

    def _order(self) -> npt.NDArray[np.intp]:
        """Places of the samples, oldest first."""
        first = max(0, self._written - SAMPLES)
        return np.arange(first, self._written) % SAMPLES

    def _choose(self, snapshot: Snapshot, now: float) -> None:
        """Give rows to those that came, and take those of who is gone."""
        most, ids = len(self._values), snapshot.cgroup_ids
        if self._of is ids and (len(ids) <= most or now - self._chosen_at < _CHOSEN_ANEW_SECONDS):
            return
        self._of, self._chosen_at = ids, now
        positions = _largest(snapshot, most)
        chosen = [ids[at] for at in positions.tolist()]
        for gone in self._rows.keys() - set(chosen):
            self._free.append(self._rows.pop(gone))
        for came in (number for number in chosen if number not in self._rows):
            self._rows[came] = row = self._free.pop()
            self._values[row] = np.nan
        self._positions = positions
        self._targets = np.array([self._rows[number] for number in chosen], dtype=np.intp)

    def _fork_rates(self, snapshot: Snapshot, now: float) -> npt.NDArray[Any]:
        """Since the sample before; who came meanwhile began at 0."""
        before, self._forks = self._forks, _Forks(now, snapshot.index, snapshot.forks)
        if before is None or now <= before.at:
            return np.full(len(snapshot), np.nan)
        known = before.forks
        if before.index is not snapshot.index:
            at = np.array([before.index.get(number, -1) for number in snapshot.cgroup_ids], dtype=np.intp)
            known = np.where(at >= 0, np.append(known, 0)[at], 0)
        rates = np.maximum(snapshot.forks - known, 0) / (now - before.at)
        return np.where((snapshot.forks == UNKNOWN) | (known == UNKNOWN), np.nan, rates)


@dataclass(frozen=True)
class _Forks:
    """Of one sample; `index` as in its snapshot, which as a whole would be much to keep."""

    at: float
    index: dict[int, int]
    forks: Column


def _largest(snapshot: Snapshot, most: int) -> npt.NDArray[np.intp]:
    """Positions of at most so many, in order."""
    if len(snapshot) <= most:
        return np.arange(len(snapshot), dtype=np.intp)
    weight: Column = sum(
        (np.maximum(snapshot.total[name], 0) for name in ("anon", "file", "tasks")), np.zeros(len(snapshot), np.int64)
    )
    return np.sort(np.argsort(weight)[::-1][:most])


def _listed(values: npt.NDArray[Any]) -> list[float | None]:
    return [None if math.isnan(value) else round(value, 2) for value in values.tolist()]
