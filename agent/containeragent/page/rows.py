# SPDX-License-Identifier: Apache-2.0
"""What the page shows of containers: the figures of the metrics, in bytes, with names for people and the last minutes.

In: snapshots. Out: documents. Unknown is None.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace

from containeragent import __version__
from containeragent.containers.ranking import Ranking, Wanted
from containeragent.containers.view import Container, Document
from containeragent.counters.snapshot import Count, Snapshot
from containeragent.counters.source import Source
from containeragent.errors import Refused
from containeragent.limits.model import NO_HITS, NO_LIMITS, LimitState
from containeragent.page.history import INTERVAL_SECONDS, History
from containeragent.workloads.patterns import Workload

MOST_ROWS = 1000
_CHART_POINTS = 30  # of a row's small chart: a divisor of SAMPLES
_UNLIMITED = LimitState(NO_LIMITS, None, None, NO_HITS, NO_HITS)
_KINDS = ("anon", "file", "shmem", "mapped", "active")

States = Mapping[int, LimitState]


class Rows:
    """Of one source. From any thread."""

    def __init__(
        self,
        source: Source,
        ranking: Ranking,
        history: History,
        *,
        states: Callable[[Snapshot], States],
        workload_of: Callable[[str], Workload | None],
    ) -> None:
        self._source = source
        self._ranking = ranking
        self._history = history
        self._states = states
        self._workload_of = workload_of

    def top(self, wanted: Wanted) -> Document:
        """The first containers in an order, and the sum of all."""
        snapshot = self._source.snapshot()
        states = self._states(snapshot)
        picked = self._ranking.pick(snapshot, replace(wanted, limit=min(wanted.limit, MOST_ROWS)))
        whole = self._ranking.whole(snapshot, wanted.all_cgroups)
        return {
            "time": time.time(),
            "host": os.uname().nodename,
            "version": __version__,
            "engine": asdict(self._source.engine),
            "sample_seconds": INTERVAL_SECONDS,
            "matched": picked.matched,
            "total": picked.total,
            "whole": whole and self._row(whole, states),
            "containers": [self._row(one, states) for one in picked.containers],
        }

    def one(self, cgroup_id: int) -> Document:
        """Everything of one container, with its last minutes."""
        snapshot = self._source.snapshot()
        found = self._ranking.find(snapshot, cgroup_id)
        if found is None:
            raise Refused("ENOENT", f"there is no container with the id {cgroup_id}; it may be gone")
        reading, past = found.reading, self._history.of(cgroup_id)
        for kind in ("anon", "file"):
            past[f"{kind}_bytes"] = [None if value is None else self._bytes(int(value)) for value in past.pop(kind, [])]
        return self._row(found, self._states(snapshot)) | {
            **{f"{kind}_bytes": self._bytes(reading.total[kind]) for kind in _KINDS},
            "tasks_peak": reading.peak_tasks,
            "memory_peak_bytes": self._bytes(reading.peak_pages),
            "forks": reading.forks,
            "exits": reading.exits,
            "local": {"tasks": reading.local["tasks"]}
            | {f"{kind}_bytes": self._bytes(reading.local[kind]) for kind in _KINDS},
            "history": past,
        }

    def _bytes(self, pages: Count) -> Count:
        return None if pages is None else pages * self._source.page_size

    def _row(self, one: Container, states: States) -> Document:
        total, cgroup_id = one.reading.total, one.reading.cgroup_id
        state = states.get(cgroup_id, _UNLIMITED) if one.managed else None
        workload = None if one.managed else self._workload_of(one.cgroup)
        chart = self._history.memory(cgroup_id, _CHART_POINTS)
        return {
            "id": cgroup_id,
            "name": one.name,
            "cgroup": one.cgroup,
            "managed": one.managed,
            "partial": one.reading.partial_pages,
            "workload": workload and asdict(workload),
            "tasks": total["tasks"],
            "task_limit": state and state.limits.task_limit,
            "anon_bytes": self._bytes(total["anon"]),
            "file_bytes": self._bytes(total["file"]),
            "page_limit_bytes": self._bytes(state and state.limits.page_limit),
            "task_limit_hits": state and state.hits.tasks,
            "page_limit_hits": state and state.hits.pages,
            "throttled_seconds": state and round(state.throttled_seconds, 3),
            "forks_per_second": self._history.last(cgroup_id, "forks"),
            "memory_bytes": [None if pages is None else self._bytes(int(pages)) for pages in chart],
        }
