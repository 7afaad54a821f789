# SPDX-License-Identifier: Apache-2.0
"""Kernel mode: limits as files of the pids and memory controllers (Documentation/admin-guide/cgroup-v2.rst).

In: Limits. Out: pids.max, memory.high and memory.max of one container, all of them written or none; and how often they
were hit. Controllers are enabled on the way down to it (cgroups/controllers.py).
"""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass

from containeragent.cgroups import controllers
from containeragent.cgroups.directory import flat_keyed, folders, read_file, write_file
from containeragent.cgroups.tree import Parts, Tree
from containeragent.errors import Refused
from containeragent.limits.model import NO_HITS, Hits, Limits

PIDS, MEMORY = "pids", "memory"
PIDS_MAX, MEMORY_HIGH, MEMORY_MAX = "pids.max", "memory.high", "memory.max"
PIDS_EVENTS, MEMORY_EVENTS, LOCAL = "pids.events", "memory.events", ".local"
MEMORY_CURRENT, OOM_GROUP = "memory.current", "memory.oom.group"
_NO_LIMIT = "max"

Setting = tuple[str, str]  # file, value


def pids_settings(limits: Limits) -> list[Setting]:
    """What the pids controller is told."""
    return [(PIDS_MAX, _value(limits.task_limit))]


def memory_settings(limits: Limits, before: Limits, page_size: int) -> list[Setting]:
    """What the memory controller is told; the hard stop only where ending the container was asked for, as a whole."""
    high, most = limits.page_limit, limits.hard_page_limit if limits.kill_after_seconds is not None else None
    if limits.dry_run:
        high = most = None
    kills, killed = limits.kill_after_seconds is not None, before.kill_after_seconds is not None
    group = [(OOM_GROUP, str(int(kills)))] if kills != killed else []
    return [(MEMORY_HIGH, _value(high, page_size)), (MEMORY_MAX, _value(most, page_size)), *group]


def _value(limit: int | None, unit: int = 1) -> str:
    return _NO_LIMIT if limit is None else str(limit * unit)


@dataclass(frozen=True)
class Counts:
    """`hits` of a container and those below, `local_hits` of its own limits; tasks killed for want of memory."""

    hits: Hits = NO_HITS
    local_hits: Hits = NO_HITS
    oom_kills: int = 0


NO_COUNTS = Counts()


class KernelLimits:
    """The controllers of the containers in one tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def controllers(self, parts: Parts) -> frozenset[str]:
        """Which of pids and memory a container has, and can hand down."""
        return controllers.offered(self._tree, parts) & {PIDS, MEMORY}

    def enable(self, parts: Parts) -> None:
        """Have the controllers of the cgroup root enabled down to a container that is, or will be, at `parts`."""
        controllers.enable(self._tree, parts, self.controllers(()))

    def write(self, parts: Parts, settings: list[Setting]) -> None:
        """All of them, or none: what was there before is put back when one is refused."""
        before: list[Setting] = []
        with self._tree.opened(parts) as directory:
            for file, value in settings:
                try:
                    before.append((file, read_file(directory, file).strip()))
                    write_file(directory, file, value)
                except OSError as error:
                    _put_back(directory, before)
                    if error.errno == errno.ENODEV:  # the container goes
                        raise
                    what = f"the kernel refused {file} = {value} for container {self._tree.title(parts)}"
                    raise Refused.of_errno(error.errno or errno.EIO, what, "nothing was changed") from None

    def counts(self, parts: Parts) -> Counts:
        """What the kernel has counted; None where it does not tell what is below from what is not.

        Since Linux kernel commit 3f26a885b54c ("cgroup/pids: Add pids.events.local") (in v6.11) a hit counts where the
        limit is; before, where the task is that could not fork, and not above.
        """
        with self._tree.opened(parts) as directory:
            tasks, tasks_local = _task_hits(directory)
            memory = _read(directory, MEMORY_EVENTS) or {}
            pages_local = _page_hits(_read(directory, MEMORY_EVENTS + LOCAL) or {})
        return Counts(Hits(tasks, _page_hits(memory)), Hits(tasks_local, pages_local), memory.get("oom_kill", 0))

    def pages(self, parts: Parts, page_size: int) -> int | None:
        """What memory.high is compared with; None without the controller."""
        with self._tree.opened(parts) as directory:
            try:
                return int(read_file(directory, MEMORY_CURRENT)) // page_size
            except FileNotFoundError:
                return None


def _task_hits(directory: int) -> tuple[int, int | None]:
    total, local = _read(directory, PIDS_EVENTS), _read(directory, PIDS_EVENTS + LOCAL)
    if total is None:
        return 0, 0
    if local is None:
        return _sum_below(directory), None
    return total.get("max", 0), local.get("max", 0)


def _page_hits(events: dict[str, int]) -> int:
    return events.get("high", 0) + events.get("max", 0)


def _read(directory: int, file: str) -> dict[str, int] | None:
    """A file of keys and numbers; None when it is not there."""
    try:
        return flat_keyed(read_file(directory, file))
    except FileNotFoundError:
        return None


def _sum_below(directory: int) -> int:
    total = (_read(directory, PIDS_EVENTS) or {}).get("max", 0)
    for name in folders(directory):
        with contextlib.suppress(FileNotFoundError):
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            try:
                total += _sum_below(below)
            finally:
                os.close(below)
    return total


def _put_back(directory: int, settings: list[Setting]) -> None:
    for file, value in reversed(settings):
        with contextlib.suppress(OSError):
            write_file(directory, file, value)
