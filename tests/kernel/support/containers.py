# SPDX-License-Identifier: Apache-2.0
"""Cgroups of a test, and the kernel's own figures for them.

A container is a cgroup v2 directory; where the memory controller is on v1, it has a twin there that tasks enter too,
because the kernel counts pages by that one.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.kernel.support import mountpoints
from tests.kernel.support.waiting import until

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Pages:
    """Pages of a container and everything below it; `mapped` is None where the engine does not count them."""

    anon: int
    file: int
    shmem: int
    mapped: int | None = None

    def __sub__(self, other: Pages) -> Pages:
        mapped = None if self.mapped is None or other.mapped is None else self.mapped - other.mapped
        return Pages(self.anon - other.anon, self.file - other.file, self.shmem - other.shmem, mapped)


NO_PAGES = Pages(0, 0, 0)
_V1_NAMES = ("total_rss", "total_cache", "total_shmem", "total_mapped_file")
_V2_NAMES = ("anon", "file", "shmem", "file_mapped")
_V1_LISTS = ("total_active_anon", "total_active_file")
_V2_LISTS = ("active_anon", "active_file")


def statistics(file: Path, names: tuple[str, ...]) -> list[int]:
    """Pages, from a memory.stat."""
    values = {name: int(value) for name, value in (line.split() for line in file.read_text().splitlines())}
    return [values[name] // PAGE_BYTES for name in names]


def pages_in(file: Path, names: tuple[str, ...] = _V2_NAMES) -> Pages:
    """What a memory.stat says."""
    return Pages(*statistics(file, names))


class Container:
    """A cgroup that a test made."""

    def __init__(self, path: Path, twin: Path | None) -> None:
        self.path = path
        self.twin = twin
        for folder in self._folders():
            folder.mkdir()
        self.id = path.stat().st_ino

    def _folders(self) -> list[Path]:
        return [self.path] + ([self.twin] if self.twin else [])

    def child(self, name: str, twin: bool = True) -> Container:
        """A cgroup below this one; without `twin` the kernel may charge its tasks' memory to this one."""
        if twin:
            self._tell_memory_apart(True)
        return Container(self.path / name, self.twin / name if twin and self.twin else None)

    def enter(self, pid: int = 0) -> None:
        """Move a process (0: the caller) into it; cgroups below lose their own memory.stat on v2."""
        self._tell_memory_apart(False)
        for folder in self._folders():
            (folder / "cgroup.procs").write_text(str(pid))

    def _tell_memory_apart(self, wanted: bool) -> None:
        """Of cgroups below. With the memory controller on v2, a cgroup that does so can have no processes."""
        if "memory" in (self.path / "cgroup.controllers").read_text().split():
            (self.path / "cgroup.subtree_control").write_text("+memory" if wanted else "-memory")

    def threads(self) -> int:
        """Lines of cgroup.threads over the subtree: what num_tasks promises to be."""
        return sum(len((folder / "cgroup.threads").read_text().split()) for folder in self._subtree())

    def _subtree(self) -> list[Path]:
        return [Path(folder) for folder, _, _ in os.walk(self.path)]

    def kernel_pages(self) -> Pages:
        """memory.stat, of v1 where the memory controller is there (mm/memcontrol-v1.c), else of v2."""
        if self.twin:
            return pages_in(self.twin / "memory.stat", _V1_NAMES)
        return pages_in(self.path / "memory.stat")

    def kernel_seen(self) -> dict[str, int]:
        """The same, with pages on active lists, by the names that a PageView has."""
        active = statistics((self.twin or self.path) / "memory.stat", _V1_LISTS if self.twin else _V2_LISTS)
        return asdict(self.kernel_pages()) | {"active": sum(active)}

    def limit_memory(self, limit_bytes: int) -> None:
        """Make the kernel reclaim."""
        file = self.twin / "memory.limit_in_bytes" if self.twin else self.path / "memory.max"
        file.write_text(str(limit_bytes))

    def kill(self) -> None:
        """End everything in the subtree: only what the test started can be there."""
        with contextlib.suppress(FileNotFoundError):
            (self.path / "cgroup.kill").write_text("1")

    def rmdir(self) -> None:
        """Remove it while it has no children."""
        for folder in self._folders():
            _rmdir(folder)

    def remove(self) -> None:
        """Remove it and everything below it, whatever is left there."""
        self.kill()
        for top in self._folders():
            for folder, _, _ in os.walk(top, topdown=False):
                _rmdir(Path(folder))


def is_removed(folder: Path) -> bool:
    """Whether a cgroup is gone, by us now or by somebody before; ended tasks stay in it until they are reaped."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _rmdir(folder: Path) -> None:
    if not until(lambda: is_removed(folder), bool):
        folder.rmdir()


def make(name: str) -> Container:
    """A container named test-<pid>-name below the roots."""
    full, memory = f"test-{os.getpid()}-{name}", mountpoints.memory_v1()
    return Container(mountpoints.unified() / full, memory / full if memory else None)
