# SPDX-License-Identifier: Apache-2.0
"""A gigabyte that is there before the programs are loaded, and goes afterwards."""

from __future__ import annotations

import mmap
import os

from tests.kernel.workloads.resting import Rests, main, rest

PAGE = mmap.PAGESIZE
MIB = 1 << 20
MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_REMOVE = 22, 23, 9


def _private(size: int, advice: int) -> mmap.mmap:
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(advice)
    memory.madvise(MADV_POPULATE_WRITE)
    return memory


def everything(folder: str) -> Rests:
    """256 MiB each of small and huge pages, 448 MiB of a file, 64 MiB of it mapped, 64 MiB of shared memory."""
    small, huge = _private(256 * MIB, mmap.MADV_NOHUGEPAGE), _private(256 * MIB, mmap.MADV_HUGEPAGE)
    shared = mmap.mmap(-1, 64 * MIB, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
    shared.madvise(MADV_POPULATE_WRITE)
    descriptor = os.open(os.path.join(folder, "file"), os.O_RDWR | os.O_CREAT)
    for _ in range(448):
        os.write(descriptor, b"x" * MIB)
    os.fsync(descriptor)
    mapped = mmap.mmap(descriptor, 64 * MIB, mmap.MAP_SHARED, mmap.PROT_READ)
    mapped.madvise(MADV_POPULATE_READ)
    yield rest("allocated")
    small.madvise(mmap.MADV_DONTNEED, 0, 128 * MIB)
    huge.madvise(mmap.MADV_DONTNEED, 128 * MIB, 128 * MIB)
    mapped.madvise(mmap.MADV_DONTNEED, 0, 32 * MIB)
    shared.madvise(MADV_REMOVE, 0, 32 * MIB)
    yield rest("half of it unmapped")
    small.madvise(MADV_POPULATE_WRITE)
    mapped.madvise(MADV_POPULATE_READ)
    yield rest("taken again")
    os.ftruncate(descriptor, 224 * MIB)
    yield rest("truncated")
    for memory in (small, huge, mapped, shared):
        memory.close()
    yield rest("unmapped")


if __name__ == "__main__":
    main(everything)
