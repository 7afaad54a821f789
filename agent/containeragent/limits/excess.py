# SPDX-License-Identifier: Apache-2.0
"""Ends tasks beyond a task limit where the kernel cannot deny their fork: the newest first, while all stand still.

In: a container that has gone above its task limit. Out: it is back at the limit, or at the number of tasks that it had
when the limit was set below that: for a lower limit alone nobody is ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence

from containeragent.cgroups.tree import Parts, Tree
from containeragent.counters.source import Source
from containeragent.events.event import KILL
from containeragent.host import process
from containeragent.limits.freezer import Freezer
from containeragent.limits.keeper import Keeper

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
        self._allowed: dict[int, tuple[int, int]] = {}  # cgroup id -> limit, tasks that it may have while above that
        self._unsaid: dict[int, tuple[float, int]] = {}  # cgroup id -> when it was last told, processes ended since

    def allow(self, cgroup_id: int, limit: int | None, present: int) -> None:
        """The limit was set now, when there were so many tasks."""
        self._allowed.pop(cgroup_id, None)
        if limit is not None and present > limit:
            self._allowed[cgroup_id] = (limit, present)

    def end(self, cgroup_id: int, before: int | None = None) -> None:
        """End the newest beyond what it may have; the next that are beyond are told at once.

        `before` is the number of tasks before the first that was told: what has ended since the limit was set below
        them does not come back.
        """
        entry = self._keeper.entry(cgroup_id)
        if entry is None or entry.kept.limits.task_limit is None:
            return
        limit = entry.kept.limits.task_limit
        self._source.rearm(cgroup_id)
        most = self._most(cgroup_id, limit, before)
        present = len(self._tree.tasks(entry.parts))
        if present <= most:
            self.allow(cgroup_id, limit, present)
            return
        self._freezer.stop(entry.parts, self)
        try:
            ended = self._end_newest(entry.parts, most)
        finally:
            self._freezer.go_on(entry.parts, self)
        self._say(cgroup_id, entry.parts, ended, limit)

    def _most(self, cgroup_id: int, limit: int, before: int | None) -> int:
        known, present = self._allowed.get(cgroup_id, (limit, limit))
        if known != limit:
            return limit
        return max(limit, present if before is None else min(present, before))

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
        self._allowed.pop(cgroup_id, None)
        self._unsaid.pop(cgroup_id, None)

    def _end_newest(self, parts: Parts, most: int) -> int:
        ended: set[int] = set()
        for _ in range(_ROUNDS):
            tasks = self._tree.tasks(parts)
            if len(tasks) <= most:
                break
            ended |= _kill_beyond(tasks, most)
            time.sleep(_PAUSE_SECONDS)
        return len(ended)


def _kill_beyond(tasks: Sequence[int], most: int) -> set[int]:
    """End the newest in whole processes; those that are ending already are the first again. The processes."""
    ages = [(age.started_ticks, task, age.threads) for task in tasks if (age := process.age(task))]
    number, killed = len(ages) - most, set[int]()
    for _, task, threads in sorted(ages, reverse=True):
        if number <= 0:
            break
        leader = task if threads == 1 else process.leader(task)
        if leader is not None and leader not in killed and leader != os.getpid():
            killed.add(leader)
            number -= threads
            with contextlib.suppress(ProcessLookupError):
                os.kill(leader, signal.SIGKILL)
    return killed
