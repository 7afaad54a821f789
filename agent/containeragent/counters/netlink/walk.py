# SPDX-License-Identifier: Apache-2.0
"""One reading of every cgroup's files, parents before children. A cgroup that goes meanwhile is left out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from containeragent.counters.netlink import files
from containeragent.counters.netlink.files import Pages


@dataclass(frozen=True, slots=True)
class Row:
    """`parent` is the position of the parent's row. `memory`, `memory_peak` are bytes, None where there is no file."""

    cgroup_id: int
    parent: int | None
    tasks: list[int]
    memory: Pages | None
    memory_peak: int | None
    tasks_peak: int | None


def _row(folder: bytes, cgroup_id: int, parent: int | None) -> Row | None:
    tasks = files.tasks(folder)
    if tasks is None:
        return None
    memory, peak, tasks_peak = files.memory(folder), None, files.number(folder, b"pids.peak")
    if memory is not None:
        peak = files.number(folder, b"memory.peak")
    return Row(cgroup_id, parent, tasks, memory, peak, tasks_peak)


def _folders(folder: bytes) -> Iterator[bytes]:
    try:
        with os.scandir(folder) as entries:
            found = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    yield from found


def walk(mount: Path) -> list[Row]:
    """All cgroups under a cgroup2 mount."""
    rows: list[Row] = []
    waiting: list[tuple[bytes, int | None]] = [(os.fsencode(mount), None)]
    while waiting:
        folder, parent = waiting.pop()
        try:
            facts = os.stat(folder, follow_symlinks=False)
        except OSError:
            continue
        row = _row(folder, facts.st_ino, parent)
        if row is None:
            continue
        rows.append(row)
        if facts.st_nlink > 2:  # kernfs counts folders there: most cgroups have none
            waiting += [(below, len(rows) - 1) for below in _folders(folder)]
    return rows
