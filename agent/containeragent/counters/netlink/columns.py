# SPDX-License-Identifier: Apache-2.0
"""Rows of a reading become a Snapshot: sums over subtrees, what is a cgroup's own, UNKNOWN for what has no file."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from containeragent.counters.netlink.nodes import Node
from containeragent.counters.netlink.walk import Row
from containeragent.counters.snapshot import COUNTERS, UNKNOWN, Column, Health, Snapshot


def _column(values: Sequence[int | None]) -> Column:
    return np.array([UNKNOWN if value is None else value for value in values], dtype=np.int64)


def total_tasks(rows: Sequence[Row]) -> list[int]:
    """Of each row and everything below it."""
    totals = [len(row.tasks) for row in rows]
    for at in range(len(rows) - 1, -1, -1):
        parent = rows[at].parent
        if parent is not None:
            totals[parent] += totals[at]
    return totals


def own(rows: Sequence[Row], totals: Sequence[int | None]) -> list[int | None]:
    """What is not below: totals cover the subtree. Readings of a moment apart may differ, so it is not below 0."""
    left = list(totals)
    for row, total in zip(rows, totals, strict=True):
        above = row.parent
        while above is not None and left[above] is None:
            above = rows[above].parent
        if above is not None and total is not None:
            left[above] = (left[above] or 0) - total
    return [None if value is None else max(0, value) for value in left]


def snapshot(rows: Sequence[Row], nodes: Sequence[Node] | None, page_size: int, lost: int) -> Snapshot:
    """`nodes` are the rows' in their order, None without task events. `lost` are events that were not seen."""
    tasks = total_tasks(rows)
    total: dict[str, Sequence[int | None]] = {"tasks": tasks}
    local: dict[str, Sequence[int | None]] = {"tasks": [len(row.tasks) for row in rows]}
    for name in COUNTERS[1:]:
        total[name] = [_pages(row, name, page_size) for row in rows]
        local[name] = own(rows, total[name])
    ids = tuple(row.cgroup_id for row in rows)
    unknown: list[int | None] = [None] * len(rows)
    peaks = [node.peak for node in nodes] if nodes is not None else unknown
    peak_tasks = [_highest(row.tasks_peak, peak, now) for row, peak, now in zip(rows, peaks, tasks, strict=True)]
    return Snapshot(
        taken_at=time.monotonic(),
        cgroup_ids=ids,
        total={name: _column(values) for name, values in total.items()},
        local={name: _column(values) for name, values in local.items()},
        peak_tasks=_column(peak_tasks),
        peak_pages=_column([None if row.memory_peak is None else row.memory_peak // page_size for row in rows]),
        forks=_column(unknown if nodes is None else [node.forks for node in nodes]),
        exits=_column(unknown if nodes is None else [node.exits for node in nodes]),
        task_limit_hits=_column(unknown),
        page_limit_hits=_column(unknown),
        partial=np.zeros(len(rows), dtype=np.bool_),
        born_ns=_column(unknown),
        health=Health(None, len(rows), 0, 0, lost, 0, 0, 0),
        index={number: at for at, number in enumerate(ids)},
    )


def _pages(row: Row, name: str, page_size: int) -> int | None:
    memory = None if row.memory is None else row.memory.get(name)
    return None if memory is None else memory // page_size


def _highest(of_kernel: int | None, of_events: int | None, now: int) -> int | None:
    """pids.peak where there is one: it has seen what was before us."""
    peak = of_events if of_kernel is None else of_kernel
    return None if peak is None else max(peak, now)
