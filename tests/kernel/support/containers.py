# SPDX-License-Identifier: Apache-2.0
"""Cgroups of a test, and the kernel's own figures for them.

A container is a cgroup v2 directory; where the memory controller is on v1, it has a twin there that tasks enter too,
because the kernel counts pages by that one.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from tests.kernel.support import mountpoints
from tests.kernel.support.waiting import until

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Pages:
    """Pages of a container and everything below it."""

    anon: int
    file: int
    shmem: int

    def __sub__(self, other: Pages) -> Pages:
        return Pages(self.anon - other.anon, self.file - other.file, self.shmem - other.shmem)


NO_PAGES = Pages(0, 0, 0)
_V1_NAMES = ("total_rss", "total_cache", "total_shmem")
_V2_NAMES = ("anon", "file", "shmem")
_V1_LISTS = ("total_mapped_file", "total_active_anon", "total_active_file")
_V2_LISTS = ("file_mapped", "active_anon", "active_file")


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
        return Pages(*self._statistics(_V1_NAMES if self.twin else _V2_NAMES))

    def kernel_seen(self) -> dict[str, int]:
        """The same, with mapped page cache and pages on active lists, by the names that a PageView has."""
        anon, file, shmem = self._statistics(_V1_NAMES if self.twin else _V2_NAMES)
        mapped, active_anon, active_file = self._statistics(_V1_LISTS if self.twin else _V2_LISTS)
        active = active_anon + active_file
        return {"anon": anon, "file": file, "shmem": shmem, "mapped": mapped, "active": active}

    def _statistics(self, names: tuple[str, ...]) -> list[int]:
        lines = ((self.twin or self.path) / "memory.stat").read_text().splitlines()
        values = {name: int(value) for name, value in (line.split() for line in lines)}
        return [values[name] // PAGE_BYTES for name in names]

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


def _rmdir(folder: Path) -> None:
    """Ended tasks stay in a cgroup until they are reaped."""

    def gone() -> bool:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    if not until(gone, bool):
        folder.rmdir()


def make(name: str) -> Container:
    """A container named test-<pid>-name below the roots."""
    full, memory = f"test-{os.getpid()}-{name}", mountpoints.memory_v1()
    return Container(mountpoints.unified() / full, memory / full if memory else None)
