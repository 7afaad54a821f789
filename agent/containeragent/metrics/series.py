# SPDX-License-Identifier: Apache-2.0
"""The series that a container has: of its counters, and of its limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from containeragent.counters.snapshot import UNKNOWN, Column, Snapshot
from containeragent.limits.model import LimitState
from containeragent.metrics.family import Series, Value

States = Sequence[LimitState]


def _bytes(column: Column, page_size: int) -> Column:
    return np.where(column == UNKNOWN, UNKNOWN, column * page_size)


def _memory(name: str) -> Callable[[Snapshot, int], Column]:
    return lambda snapshot, page: _bytes(snapshot.total[name], page)


_BPF = "Source: page counters of the engine (label pages of containeragent_engine_info)"
_TASKS = "Source: task events"
COUNTERS: tuple[Series[Snapshot], ...] = (
    Series(
        "tasks",
        f"Threads in the cgroup and below it now. {_TASKS}; the kernel's figure: pids.current.",
        lambda s, page: s.total["tasks"],
    ),
    Series(
        "tasks_peak",
        f"Most threads there ever were in it and below. {_TASKS}; the kernel's figure: pids.peak.",
        lambda s, page: s.peak_tasks,
    ),
    Series("forks", f"Threads ever started in it and below. {_TASKS}.", lambda s, page: s.forks, counter=True),
    Series("exits", f"Threads ever ended in it and below. {_TASKS}.", lambda s, page: s.exits, counter=True),
    Series(
        "anon_bytes",
        f"Anonymous memory of it and below, in bytes. {_BPF}; the kernel's figure: memory.stat anon.",
        _memory("anon"),
    ),
    Series(
        "file_bytes",
        "Page cache of it and below, tmpfs and shared memory among it, in bytes. "
        f"{_BPF}; the kernel's figure: memory.stat file.",
        _memory("file"),
    ),
    Series(
        "shmem_bytes",
        f"tmpfs and shared memory of it and below, in bytes. {_BPF}; the kernel's figure: memory.stat shmem.",
        _memory("shmem"),
    ),
    Series(
        "file_mapped_bytes",
        f"Page cache of it and below that is mapped by someone, in bytes. {_BPF}, or the last look at all pages; "
        "the kernel's figure: memory.stat file_mapped.",
        _memory("mapped"),
    ),
    Series(
        "active_bytes",
        "Memory of it and below on active lists, in bytes. Source: the last look at all pages; "
        "the kernel's figure: memory.stat active_anon + active_file.",
        _memory("active"),
    ),
    Series(
        "files",
        "Files that have page cache charged to it or below. Source: the last look at all pages; the kernel has none.",
        lambda s, page: s.total["files"],
    ),
    Series(
        "memory_peak_bytes",
        f"Most anonymous memory and page cache there ever were in it and below, in bytes. {_BPF}.",
        lambda s, page: _bytes(s.peak_pages, page),
    ),
    Series(
        "pages_partial",
        "1 if pages from before the load are missing from the figures, else 0. Source: the loader.",
        lambda s, page: s.partial.astype(np.int64),
    ),
)


def _page_limits(states: States, page: int) -> list[Value]:
    return [None if one.limits.page_limit is None else one.limits.page_limit * page for one in states]


_LIMIT = "Source: containerctl limit, as kept on the cgroup"
LIMITS: tuple[Series[States], ...] = (
    Series(
        "task_limit",
        f"Most threads that it and below may have at a time. {_LIMIT}.",
        lambda states, page: [one.limits.task_limit for one in states],
    ),
    Series(
        "task_limit_hits",
        "Times that a task limit was hit, of it or below. Source: pids.events, or fork events.",
        lambda states, page: [one.hits.tasks for one in states],
        counter=True,
    ),
    Series("page_limit_bytes", f"Memory that it and below may have, in bytes. {_LIMIT}.", _page_limits),
    Series(
        "page_limit_hits",
        "Times that a page limit was hit, of it or below. Source: memory.events, or page events.",
        lambda states, page: [one.hits.pages for one in states],
        counter=True,
    ),
    Series(
        "throttled_seconds",
        "Time that the page limit had it stopped, in seconds. Source: the agent, as kept on the cgroup.",
        lambda states, page: [one.throttled_seconds for one in states],
        counter=True,
    ),
)


def _lines(table: Sequence[Series[Snapshot]] | Sequence[Series[States]]) -> int:
    """With the time of creation that OpenMetrics has of each counter, which Prometheus stores as a series too."""
    return sum(2 if series.counter else 1 for series in table)


PER_CONTAINER = _lines(COUNTERS) + 1  # and _container_info
PER_DEAD = PER_CONTAINER + 1  # and _died_timestamp_seconds
PER_LIMITED = _lines(LIMITS)
