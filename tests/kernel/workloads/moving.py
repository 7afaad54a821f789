# SPDX-License-Identifier: Apache-2.0
"""Workloads whose pages the kernel moves to other frames."""

from __future__ import annotations

import mmap
import os
import signal
from pathlib import Path

from tests.kernel.workloads.resting import Rests, main, rest

PAGE = mmap.PAGESIZE
PAGES = 32768
HUGE = 512
COMPACT = Path("/proc/sys/vm/compact_memory")


def _migrated() -> int:
    lines = Path("/proc/vmstat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("pgmigrate_success "))


def _compact() -> dict[str, int]:
    before = _migrated()
    for _ in range(2):
        COMPACT.write_text("1")
    return {"migrated": _migrated() - before}


def _anon(pages: int = PAGES) -> mmap.mmap:
    memory = mmap.mmap(-1, pages * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(23)  # MADV_POPULATE_WRITE
    return memory


def _ballast() -> mmap.mmap:
    """
    Compaction moves pages up to free frames. What is held while a workload allocates, and let go afterwards, keeps the
    workload's pages from being up there already, as they are when the kernel compacted a moment ago.
    """
    memory = mmap.mmap(-1, 3 * PAGES * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    memory.madvise(23)
    return memory


def _punch(memory: mmap.mmap, advice: int) -> None:
    """Half of each 2 MiB."""
    for page in range(0, len(memory) // PAGE, HUGE):
        memory.madvise(advice, page * PAGE, HUGE // 2 * PAGE)


def anon() -> Rests:
    """Mapped by one process."""
    ballast, memory = _ballast(), _anon()
    ballast.close()
    _punch(memory, mmap.MADV_DONTNEED)
    yield rest("punched", {"anon": PAGES // 2})
    yield rest("compacted", {"anon": PAGES // 2}, facts=_compact())
    memory.close()
    yield rest("unmapped", {"anon": 0})


def anon_of_several() -> Rests:
    """
    Mapped by a parent and two children at the same addresses, some pages of each one's own. What the parent copies has
    the same anon_vma and index as what its children still have.
    """
    ballast, memory = _ballast(), _anon()
    ballast.close()
    ready, told = os.pipe()
    children = []
    for part in range(2):
        child = os.fork()
        if not child:
            for page in range(part, PAGES, 8):
                memory[page * PAGE] = 2
            os.write(told, b"x")
            signal.pause()
        children.append(child)
    try:
        for _ in children:
            os.read(ready, 1)
        yield rest("children wrote", {"anon": PAGES + PAGES // 4})
        for page in range(2, PAGES, 8):
            memory[page * PAGE] = 3
        yield rest("parent wrote", {"anon": PAGES + PAGES * 3 // 8})
        _punch(memory, mmap.MADV_DONTNEED)
        yield rest("compacted", facts=_compact())
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    yield rest("children gone", {"anon": PAGES // 2})


def _file(folder: str) -> int:
    path = os.path.join(folder, "file")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.unlink(path)
    half = HUGE // 2  # the largest folio is what one write covers; one that is only punched in part would stay whole
    for page in range(0, PAGES, half):
        os.pwrite(descriptor, b"x" * (half * PAGE), page * PAGE)
    return descriptor


def _punch_file(descriptor: int) -> None:
    for page in range(0, PAGES, HUGE):
        os.posix_fadvise(descriptor, page * PAGE, HUGE // 2 * PAGE, os.POSIX_FADV_DONTNEED)


def file(folder: str) -> Rests:
    """Page cache that nobody maps."""
    ballast, descriptor = _ballast(), _file(folder)
    ballast.close()
    os.fsync(descriptor)
    _punch_file(descriptor)
    yield rest("punched", {"file": PAGES // 2})
    yield rest("compacted", facts=_compact())  # the kernel may drop clean pages instead of moving them
    os.ftruncate(descriptor, PAGES // 4 * PAGE)
    yield rest("truncated")
    os.close(descriptor)
    yield rest("closed", {"file": 0})


def file_mapped(folder: str) -> Rests:
    """Page cache that is mapped."""
    ballast, descriptor = _ballast(), _file(folder)
    ballast.close()
    os.fsync(descriptor)
    _punch_file(descriptor)
    memory = mmap.mmap(descriptor, PAGES * PAGE)
    seen = sum(memory[page * PAGE] for page in range(HUGE // 2, PAGES, HUGE))
    yield rest("mapped", facts={"seen": seen})
    yield rest("compacted", facts=_compact())
    memory.close()
    os.close(descriptor)
    yield rest("closed", {"file": 0})


def shmem() -> Rests:
    """Shared memory, mapped, then not."""
    ballast, memory = _ballast(), mmap.mmap(-1, PAGES * PAGE, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
    memory.madvise(23)
    ballast.close()
    _punch(memory, 9)  # MADV_REMOVE
    yield rest("punched", {"shmem": PAGES // 2})
    yield rest("compacted", {"shmem": PAGES // 2, "file": PAGES // 2}, facts=_compact())
    memory.madvise(mmap.MADV_DONTNEED)
    yield rest("unmapped and compacted", {"shmem": PAGES // 2, "file": PAGES // 2}, facts=_compact())
    memory.close()
    yield rest("closed", {"shmem": 0, "file": 0})


def everything(folder: str) -> Rests:
    """All of it at once."""
    ballast = _ballast()
    memory, shared, descriptor = _anon(), mmap.mmap(-1, PAGES * PAGE, mmap.MAP_SHARED), _file(folder)
    shared.madvise(23)
    os.fsync(descriptor)
    huge = mmap.mmap(-1, PAGES * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    huge.madvise(mmap.MADV_HUGEPAGE)
    huge.madvise(23)
    ballast.close()
    _punch(memory, mmap.MADV_DONTNEED)
    _punch(shared, 9)
    _punch_file(descriptor)
    yield rest("compacted", {"anon": PAGES + PAGES // 2, "shmem": PAGES // 2}, facts=_compact())
    memory.madvise(23)
    yield rest("compacted again", {"anon": PAGES * 2, "shmem": PAGES // 2}, facts=_compact())


if __name__ == "__main__":
    main(anon, anon_of_several, file, file_mapped, shmem, everything)
