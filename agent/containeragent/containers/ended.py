# SPDX-License-Identifier: Apache-2.0
"""Containers that are gone: their last numbers and why they ended, readable for a while.

In: final records of the kernel side, and reasons from who ends containers here. Out: the dead of the last
`grace_seconds`, and a `removed` event for each. Bounded: the oldest go first, and are counted.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from containeragent.cgroups.naming import Names
from containeragent.containers.view import Dead, Document
from containeragent.counters.ends import End
from containeragent.counters.source import Source
from containeragent.events.bus import Bus
from containeragent.events.event import REMOVED
from containeragent.limits.model import LimitState

MOST_RECORDS = 1024
Key = tuple[int, int]  # cgroup id, time of its end
BY_SOMEBODY = "removed, not by containeragent"
WHILE_AWAY = "removed while the agent was not running"


class Ended:
    """The dead. From any thread."""

    def __init__(
        self,
        source: Source,
        names: Names,
        bus: Bus,
        grace_seconds: float,
        *,
        known_path: Callable[[int], str | None] = lambda _: None,
        last_limits: Callable[[End], LimitState | None] = lambda _: None,
        cause_of: Callable[[int], str | None] = lambda _: None,
        most: int = MOST_RECORDS,
    ) -> None:
        """`known_path` may know a path that is too long for a record, `last_limits` what limits it had, `cause_of` why
        it ended beyond its removal.
        """
        self._source = source
        self._names = names
        self._bus = bus
        self._grace = grace_seconds
        self._known_path = known_path
        self._last_limits = last_limits
        self._cause_of = cause_of
        self._most = most
        # Apart, so that cgroups which are not ours never push out those that are. In the order of their ends.
        self._managed: dict[Key, Dead] = {}
        self._others: dict[Key, Dead] = {}
        self._expected: dict[int, tuple[str, bool]] = {}
        self._started_ns = time.monotonic_ns()
        self._lock = threading.RLock()
        self._last_sequence = 0
        self.dropped = 0  # managed ones that had to go before their time
        self.missed = 0  # managed ones that were overwritten by newer ones before they were read

    @contextlib.contextmanager
    def removing(self, cgroup_id: int, cgroup: str, reason: str, tell: bool = True) -> Iterator[None]:
        """Around a removal of our own; afterwards its event is published. Forgotten when it fails."""
        with self._lock:
            self._expected[cgroup_id] = (reason, tell)
        try:
            yield
            self.refresh()
            with self._lock:  # without a slot of its own it leaves no record
                if cgroup_id in self._expected and tell:
                    self._bus.publish(REMOVED, self._names.managed(cgroup) or cgroup, cgroup, reason=reason)
            self._names.forget(cgroup_id)
        finally:
            with self._lock:
                self._expected.pop(cgroup_id, None)

    def refresh(self) -> None:
        """Take in what ended since the last time."""
        with self._lock:
            for end in self._source.ends():
                if end.managed:
                    self._look_for_gap(end.sequence)
                self._enter(end)
            self._expire()

    def _look_for_gap(self, sequence: int) -> None:
        if 0 < self._last_sequence < sequence:  # they begin again when the layout was replaced
            self.missed += sequence - self._last_sequence - 1
        self._last_sequence = sequence

    def _enter(self, end: End) -> None:
        cgroup = self._path(end)
        if cgroup is None or self._names.is_leaf(cgroup):
            return
        name, in_grace = self._names.managed(cgroup, end.cgroup_id), self._in_grace(end)
        reason, tell = self._reason(end)
        limits = self._last_limits(end)
        dead = Dead(cgroup if name is None else name, cgroup, name is not None, end, reason, limits)
        if not end.reason:
            self._source.explain(end, reason)
            if tell and dead.managed and (in_grace or end.died_ns >= self._started_ns):
                self._bus.publish(REMOVED, dead.name, cgroup, reason=reason, **last_numbers(end))
        self._names.forget(end.cgroup_id)
        if in_grace:
            self._keep(dead)

    def _path(self, end: End) -> str | None:
        if end.path is None or end.path_cut:
            known = self._known_path(end.cgroup_id)
            return known or (None if end.path is None else end.path + "...")
        return end.path

    def _reason(self, end: End) -> tuple[str, bool]:
        """Why it ended, and whether its event is to be published."""
        if end.reason:
            return end.reason, False
        unknown = BY_SOMEBODY if end.died_ns >= self._started_ns else WHILE_AWAY
        removal, tell = self._expected.pop(end.cgroup_id, (unknown, True))
        return self._cause_of(end.cgroup_id) or removal, tell

    def _keep(self, dead: Dead) -> None:
        kept = self._managed if dead.managed else self._others
        kept[dead.end.cgroup_id, dead.end.died_ns] = dead
        if len(kept) > self._most:
            del kept[next(iter(kept))]
            self.dropped += dead.managed

    def _in_grace(self, end: End) -> bool:
        """By the clock that nobody sets."""
        return time.monotonic_ns() < end.died_ns + self._grace * 1e9

    def _expire(self) -> None:
        for kept in (self._managed, self._others):
            while kept and not self._in_grace(kept[first := next(iter(kept))].end):
                del kept[first]

    def dead(self, all_cgroups: bool) -> list[Dead]:
        """By path, and of one path the oldest first; with `all_cgroups` also those that were not managed."""
        self.refresh()
        with self._lock:
            found = [*self._managed.values(), *(self._others.values() if all_cgroups else ())]
        return sorted(found, key=lambda one: (one.cgroup, one.end.died_at))

    def newest(self, name: str) -> Dead | None:
        """The last one of that name; of a path when none was managed."""
        found = self.dead(True)
        of_name = [one for one in found if one.name == name]
        return max(of_name, key=lambda one: (one.managed, one.end.died_at), default=None)


def last_numbers(end: End) -> Document:
    """What an event says of it."""
    lived = None if end.born_at is None else round(end.died_at - end.born_at, 6)
    return {
        "forks": end.forks,
        "exits": end.exits,
        "peak_tasks": end.peak_tasks,
        "peak_pages": end.peak_pages,
        "lived_seconds": lived,
    }
