# SPDX-License-Identifier: Apache-2.0
"""Limits in the maps: set through the program that knows each cgroup's slot, and what was hit.

In: cgroup ids and limits; notices. Out: group.limited and the `limits` map of bpf/records.h; hits, each told once until
its limit is armed again.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import numpy as np

from containeragent.counters.hits import Cause, Limit, LimitHit, LimitNotice, Task
from containeragent.counters.maps import CounterMaps
from containeragent.counters.records import LIMIT_ARMED, LIMIT_HIT, LIMIT_TOLD, NO_LIMIT
from containeragent.errors import Refused
from containeragent.runnable import Runnable

Pair = tuple[int | None, int | None]  # tasks, pages
_MOST = 1 << 60  # beyond it, 112.5 % of a limit would be no number of 64 bits
# Field of the flag, of the usage, of the limit.
_FIELDS = {
    Limit.TASKS: ("tasks_flag", "tasks_at_hit", "task_limit"),
    Limit.PAGES: ("pages_flag", "pages_at_hit", "page_limit"),
    Limit.STOP: ("stop_flag", "stop_at_hit", "page_limit"),
}


def _argument(limit: int | None) -> int:
    return NO_LIMIT if limit is None else min(limit, _MOST)


class Limits:
    """What was set. From any thread."""

    def __init__(self, maps: CounterMaps, set_limits: Runnable) -> None:
        self._lock = threading.Lock()
        self._slots: dict[int, int] = {}
        self._set: dict[int, tuple[int, Pair]] = {}  # by slot: whose it is, and its limits
        self._maps = maps
        self._program = set_limits

    def set(self, cgroup_id: int, task_limit: int | None, page_limit: int | None) -> None:
        """Refused for a cgroup that is gone, or that has no slot of its own."""
        with self._lock:
            self._set.pop(self._slots.pop(cgroup_id, 0), None)
            slot = self._program(cgroup_id, _argument(task_limit), _argument(page_limit))
            if slot and (task_limit, page_limit) != (None, None):
                self._slots[cgroup_id] = slot
                self._set[slot] = cgroup_id, (task_limit, page_limit)
            elif not slot:
                raise Refused(
                    "ENOENT",
                    f"cgroup {cgroup_id} is not counted by itself, so it can have no limit: it is being removed, or "
                    "there are more cgroups than slots (`containerctl doctor`)",
                )

    def rearm(self, cgroup_id: int) -> None:
        """Have the next hit of its limits told; one that is noted and not told yet will be. Nothing without limits."""
        with self._lock:
            slot = self._slots.get(cgroup_id)
            if slot is not None and self._is_of(slot, cgroup_id):
                for flag, _, _ in _FIELDS.values():
                    if int(self._maps.limits[flag][slot]) == LIMIT_TOLD:
                        self._maps.limits[flag][slot] = LIMIT_ARMED

    def hits(self, notice: LimitNotice) -> list[LimitHit]:
        """What a notice is about, from the slot up, if it was not told yet.

        The slot may be another cgroup's by now. So who finds nothing takes all that are noted: as each noted hit has a
        notice, none is left when all notices are read.
        """
        with self._lock:
            return self._of_slot(notice) or self._all(notice.cause, notice.task)

    def _of_slot(self, notice: LimitNotice) -> list[LimitHit]:
        found: list[LimitHit] = []
        slot = notice.slot
        while slot:
            found += self._take(slot, notice.cause, notice.task)
            slot = int(self._maps.groups["parent"][slot])
        return found

    def _all(self, cause: Cause, task: Task | None) -> list[LimitHit]:
        limits = self._maps.limits
        noted = np.logical_or.reduce([limits[flag] == LIMIT_HIT for flag, _, _ in _FIELDS.values()])
        return [hit for slot in np.flatnonzero(noted).tolist() for hit in self._take(slot, cause, task)]

    def untold(self) -> list[LimitHit]:
        """What no notice told of."""
        with self._lock:
            return self._all(Cause.CROSSED, None)

    def _is_of(self, slot: int, cgroup_id: int) -> bool:
        return int(self._maps.slots["cgroup_id"][slot]) == cgroup_id

    def _take(self, slot: int, cause: Cause, task: Task | None) -> Iterator[LimitHit]:
        cgroup_id, _ = self._set.get(slot, (0, None))
        if not cgroup_id or not self._is_of(slot, cgroup_id):
            return
        limits = self._maps.limits
        for limit, (flag, usage, value) in _FIELDS.items():
            if int(limits[flag][slot]) == LIMIT_HIT:
                limits[flag][slot] = LIMIT_TOLD
                yield LimitHit(cgroup_id, limit, cause, int(limits[usage][slot]), int(limits[value][slot]), task)

    def move(self, maps: CounterMaps, set_limits: Runnable) -> None:
        """Go on with other maps: what was set is set there."""
        with self._lock:
            before, self._set, self._slots = self._set, {}, {}
            self._maps, self._program = maps, set_limits
        for cgroup_id, pair in before.values():
            with contextlib.suppress(Refused):  # gone meanwhile
                self.set(cgroup_id, *pair)
