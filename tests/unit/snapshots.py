# SPDX-License-Identifier: Apache-2.0
"""Snapshots for tests that need no kernel."""

from __future__ import annotations

import dataclasses
import time
from typing import Any, cast

import numpy as np

from containeragent.counters.charged import ChargedFiles
from containeragent.counters.ends import End
from containeragent.counters.snapshot import COUNTERS, UNKNOWN, Health, Reading, Snapshot
from containeragent.counters.source import Engine, Source

PAGE_BYTES = 4096


def health(**values: int) -> Health:
    """Zeros, but for `values`."""
    return Health(**{field.name: 0 for field in dataclasses.fields(Health)} | values)


def reading(cgroup_id: int, **values: Any) -> Reading:
    """Zeros, but for `values`; in `total` and `local` too."""
    zeros: dict[str, Any] = {field.name: 0 for field in dataclasses.fields(Reading)}
    counters = {kind: dict.fromkeys(COUNTERS, 0) | values.pop(kind, {}) for kind in ("total", "local")}
    return Reading(**zeros | {"cgroup_id": cgroup_id, "partial_pages": False} | counters | values)


def snapshot(*tasks_by_id: tuple[int, int], **of_health: int) -> Snapshot:
    """Cgroups by id with their number of tasks, all local.

    Every kind of page is ten times as many as tasks, but active ones, which are unknown.
    """
    tasks = np.array([number for _, number in tasks_by_id], dtype=np.int64)
    columns = {kind: tasks if kind == "tasks" else tasks * 10 for kind in COUNTERS}
    columns["active"] = np.full_like(tasks, UNKNOWN)
    return Snapshot(
        taken_at=0.0,
        cgroup_ids=tuple(number for number, _ in tasks_by_id),
        total=columns,
        local=columns,
        peak_tasks=tasks + 1,
        peak_pages=tasks * 30,
        forks=tasks + 23,
        exits=tasks + 24,
        task_limit_hits=tasks * 0,
        page_limit_hits=tasks * 0,
        partial=tasks > 1000,
        born_ns=np.full_like(tasks, UNKNOWN),
        health=health(**of_health),
        index={number: at for at, (number, _) in enumerate(tasks_by_id)},
    )


def end(cgroup_id: int, path: str, **values: Any) -> End:
    """A final record of just now, zeros but for `values`."""
    zeros: dict[str, Any] = {field.name: 0 for field in dataclasses.fields(End)}
    age_ns = round((time.time() - values.get("died_at", time.time())) * 1e9)
    times = {"born_at": time.time() - 2, "died_at": time.time(), "died_ns": time.monotonic_ns() - age_ns}
    kinds = {"local": {"anon": 1, "file": 2, "shmem": 0}, "reason": "", "has_children": False, "partial_pages": False}
    return End(
        **zeros | times | kinds | {"cgroup_id": cgroup_id, "path": path, "path_cut": False, "managed": True} | values
    )


class FakeProgram:
    """One of our programs, as the kernel describes it."""

    runs, run_time_ns, missed = 7, 3_000_000_000, 1


class FakeSource:
    """Snapshots that a test sets."""

    def __init__(self, now: Snapshot) -> None:
        self.now = now
        self.engine = Engine("tracepoint", "tracepoint")
        self.page_size = PAGE_BYTES
        self.slots: int | None = 16
        self.reason = ""
        self.swept = 0
        self.ended: list[End] = []
        self.explained: list[tuple[int, str]] = []
        self.denies_forks: bool | None = None
        self.files: ChargedFiles | None = None
        self.limited: list[tuple[int, int | None, int | None]] = []

    def snapshot(self) -> Snapshot:
        """The one that was set."""
        return self.now

    settled = snapshot

    def ends(self) -> list[End]:
        """Those that were put into `ended`, once."""
        found, self.ended = self.ended, []
        return found

    def set_limits(self, cgroup_id: int, task_limit: int | None, page_limit: int | None) -> None:
        """Notes them."""
        self.limited.append((cgroup_id, task_limit, page_limit))

    def rearm(self, cgroup_id: int) -> None:
        """Nothing."""

    def manage(self, cgroup_id: int) -> None:
        """Nothing."""

    def explain(self, end: End, reason: str) -> None:
        """Notes it by cgroup id."""
        self.explained.append((end.cgroup_id, reason))

    def changed(self) -> None:
        """Nothing to do."""

    def sweep(self) -> int:
        """Counts how often it is called."""
        self.swept += 1
        return 0

    def programs(self) -> dict[str, FakeProgram]:
        """One."""
        return {"cgroup_mkdir": FakeProgram()}

    def as_source(self) -> Source:
        """For the type checker."""
        return cast(Source, self)
