# SPDX-License-Identifier: Apache-2.0
"""The kernel's own figures for a cgroup: what our counters can be compared with.

In: a path under the cgroup2 mount, and the id that the cgroup there must have. Out: numbers, None where the kernel has
none (Documentation/admin-guide/cgroup-v2.rst, cgroup.threads and memory.stat).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from containeragent.cgroups.directory import flat_keyed
from containeragent.cgroups.paths import PathResolver

THREADS, STAT = "cgroup.threads", "memory.stat"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Our names, and the fields of memory.stat that make each up
_FIELDS = {
    "anon": ("anon",),
    "file": ("file",),
    "shmem": ("shmem",),
    "mapped": ("file_mapped",),
    "active": ("active_anon", "active_file"),
}


class Figures:
    """Reads below one mount."""

    def __init__(self, mount: Path, resolver: PathResolver) -> None:
        self._mount = mount
        self._resolver = resolver

    def tasks(self, cgroup: str, cgroup_id: int) -> int | None:
        """Threads in the cgroup and below it; None if it is gone, or the kernel does not list them."""
        with self._opened(cgroup, cgroup_id) as directory:
            return None if directory is None else _threads(directory)

    def pages(self, cgroup: str, cgroup_id: int, page_size: int) -> dict[str, int] | None:
        """memory.stat in pages, by our names; None where the cgroup has no memory controller."""
        with self._opened(cgroup, cgroup_id) as directory:
            text = None if directory is None else _read(directory, STAT)
        if text is None:
            return None
        values = flat_keyed(text)
        return {name: sum(values[field] for field in fields) // page_size for name, fields in _FIELDS.items()}

    def page_faults(self, cgroup: str, cgroup_id: int) -> int | None:
        """Page faults ever, of the cgroup and below it; None where it has no memory controller."""
        with self._opened(cgroup, cgroup_id) as directory:
            text = None if directory is None else _read(directory, STAT)
        found = re.search(r"^pgfault (\d+)$", text or "", re.MULTILINE)
        return int(found[1]) if found else None

    def active_pages(self, cgroup_ids: Sequence[int], page_size: int) -> dict[int, int]:
        """Pages on active lists of the cgroups, by id, that have a memory controller."""
        paths = zip(cgroup_ids, self._resolver.paths(cgroup_ids), strict=True)
        found = {number: self.pages(path, number, page_size) for number, path in paths if path is not None}
        return {number: pages["active"] for number, pages in found.items() if pages is not None}

    @contextlib.contextmanager
    def _opened(self, cgroup: str, cgroup_id: int) -> Iterator[int | None]:
        """Its directory; None when it is gone, or a path that cannot be spelled leads to another cgroup."""
        try:
            # Not as a Path, which keeps every name that was ever part of one.
            directory = os.open(f"{self._mount}/{cgroup}", _DIRECTORY)
        except (OSError, ValueError):
            yield None
            return
        try:
            yield directory if os.fstat(directory).st_ino == cgroup_id else None
        finally:
            os.close(directory)


def _read(directory: int, name: str) -> str | None:
    try:
        with open(os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory), encoding="ascii") as file:
            return file.read()
    except OSError:  # gone; or it has threads of a process that is elsewhere (EOPNOTSUPP), or no such controller
        return None


def _threads(directory: int) -> int | None:
    """A cgroup that goes while we look has none; one that does not list its threads makes the sum unknown."""
    text = _read(directory, THREADS)
    if text is None:
        return None
    total = text.count("\n")
    with os.scandir(directory) as entries:
        below = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    for name in below:
        try:
            child = os.open(name, _DIRECTORY, dir_fd=directory)
        except FileNotFoundError:
            continue
        try:
            threads = _threads(child)
        finally:
            os.close(child)
        if threads is None:
            return None
        total += threads
    return total
