# SPDX-License-Identifier: Apache-2.0
"""Ends tasks beyond a task limit where the kernel cannot deny their fork: the newest first; where they are more than
one, while all stand still.

In: a container that may be above its task limit. Out: it is back at the limit, or has only tasks that were there when
the limit was set below them: for a lower limit alone nobody is ended, whoever else comes is.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator

from containeragent.cgroups.tree import Parts, Tree
from containeragent.counters.source import Source
from containeragent.events.event import KILL
from containeragent.host import process
from containeragent.limits.ending import clean_up, end_processes
from containeragent.limits.freezer import Freezer
from containeragent.limits.holders import AGENT
from containeragent.limits.keeper import Keeper
from containeragent.limits.model import Spared

_PAUSE_SECONDS = 0.001
_ROUNDS = 50  # forks that were under way when everything was stopped still come through
_SAY_SECONDS = 1.0


class Excess:
    """Of the containers in one tree. Tasks are ended in one thread."""

    def __init__(self, tree: Tree, source: Source, keeper: Keeper, freezer: Freezer) -> None:
        self._tree = tree
        self._source = source
        self._keeper = keeper
        self._freezer = freezer
        self._unsaid: dict[int, tuple[float, int]] = {}  # cgroup id -> when it was last told, processes ended since

    def end(self, cgroup_id: int) -> bool:
        """End the newest beyond what it may have; the next that are beyond are told. False: some are not gone yet."""
        entry = self._keeper.entry(cgroup_id)
        limit = None if entry is None else entry.kept.limits.task_limit
        if entry is None or limit is None or entry.modes.tasks != AGENT:
            return True
        self._source.rearm(cgroup_id)
        with contextlib.ExitStack() as frozen:
            ended, settled = self._end_newest(entry.parts, limit, _Known(entry.kept.spared), frozen)
        if ended:
            self._say(cgroup_id, entry.parts, ended, limit)
            clean_up(self._tree, entry.parts)
        return settled

    def _end_newest(self, parts: Parts, limit: int, known: _Known, frozen: contextlib.ExitStack) -> tuple[int, bool]:
        """How many processes were ended, and whether they are gone."""
        ended: set[int] = set()
        stopped = False
        for _ in range(_ROUNDS):
            tasks = self._tree.tasks(parts)
            if len(tasks) <= (most := known.most(tasks, limit)):
                return len(ended), True
            beyond = known.newest(tasks, most)
            if not stopped and len(beyond | ended) > 1:
                stopped = self._freezer.stop(parts, self)
                frozen.callback(self._freezer.go_on, parts, self)
            end_processes(self._tree, parts, beyond - ended)
            ended |= beyond
            time.sleep(_PAUSE_SECONDS)
        return len(ended), False

    def _say(self, cgroup_id: int, parts: Parts, ended: int, limit: int) -> None:
        """A storm of forks is no storm of events."""
        at, before = self._unsaid.get(cgroup_id, (0.0, 0))
        now = time.monotonic()
        if now < at + _SAY_SECONDS:
            self._unsaid[cgroup_id] = (at, before + ended)
            return
        self._unsaid[cgroup_id] = (now, 0)
        reason = f"{before + ended} processes, the newest, above the limit of {limit} tasks"
        self._keeper.publish(KILL, parts, reason=reason)

    def forget(self, cgroup_id: int) -> None:
        """It is gone."""
        self._unsaid.pop(cgroup_id, None)


class _Known:
    """The tasks of one container, each read once."""

    def __init__(self, spared: Spared | None) -> None:
        self._spared = spared
        self._tasks: dict[int, tuple[int, int] | None] = {}  # when it started, in ticks, and its process; None: ended

    def most(self, tasks: Iterable[int], limit: int) -> int:
        """How many may stay."""
        if self._spared is None:
            return limit
        until_ticks = self._spared.until_ticks
        old = sum(started_ticks <= until_ticks for started_ticks, _, _ in self._look_up(tasks))
        return max(limit, min(old, self._spared.tasks))

    def newest(self, tasks: Iterable[int], most: int) -> set[int]:
        """The processes to end so that `most` tasks are left; those that are ending already are among them."""
        by_process: dict[int, list[tuple[int, int]]] = {}
        for started_ticks, task, leader in self._look_up(tasks):
            by_process.setdefault(leader, []).append((started_ticks, task))
        beyond, found = sum(map(len, by_process.values())) - most, set[int]()
        by_process.pop(os.getpid(), None)
        for leader in sorted(by_process, key=lambda one: max(by_process[one]), reverse=True):
            if beyond > 0:
                beyond -= len(by_process[leader])
                found.add(leader)
        return found

    def _look_up(self, tasks: Iterable[int]) -> Iterator[tuple[int, int, int]]:
        """When it started, its id and its process, of each that has not ended."""
        for task in tasks:
            if task not in self._tasks:
                self._tasks[task] = _age_and_process(task)
            found = self._tasks[task]
            if found is not None:
                yield found[0], task, found[1]


def _age_and_process(task: int) -> tuple[int, int] | None:
    age = process.age(task)
    leader = task if age and age.threads == 1 else process.leader(task)
    return None if age is None or leader is None else (age.started_ticks, leader)
