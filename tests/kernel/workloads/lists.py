# SPDX-License-Identifier: Apache-2.0
"""Workloads that move page cache between the kernel's lists, and in and out of page tables."""

from __future__ import annotations

import mmap
import os

from tests.kernel.workloads.resting import Rests, main, rest

PAGE = mmap.PAGESIZE
PAGES = 16384
CHUNK = 64  # pages; a folio that a page table maps whole would be unmapped whole


def _file(folder: str) -> int:
    """A file whose writes let the file system take large folios where it does so."""
    path = os.path.join(folder, "file")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.unlink(path)
    for page in range(0, PAGES, CHUNK):
        os.pwrite(descriptor, b"x" * (CHUNK * PAGE), page * PAGE)
    os.fsync(descriptor)
    return descriptor


def _read(descriptor: int) -> None:
    for page in range(0, PAGES, 16):
        os.pread(descriptor, 16 * PAGE, page * PAGE)


def read_again(folder: str) -> Rests:
    """Once is not enough to be active (mm/swap.c, folio_mark_accessed)."""
    descriptor = _file(folder)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    yield rest("dropped", {"file": 0})
    _read(descriptor)
    yield rest("read", {"file": PAGES})
    for _ in range(2):
        _read(descriptor)
    yield rest("read again", {"file": PAGES})
    os.close(descriptor)
    yield rest("closed", {"file": 0})


def mapped_in_part(folder: str) -> Rests:
    """Holes in a mapping fall into the middle of folios."""
    descriptor = _file(folder)
    yield rest("written", {"file": PAGES})
    memory = mmap.mmap(descriptor, PAGES * PAGE)
    memory.madvise(22)  # MADV_POPULATE_READ
    yield rest("mapped")
    for page in range(3, PAGES, 64):
        memory.madvise(mmap.MADV_DONTNEED, page * PAGE, 5 * PAGE)
    yield rest("mapped in part")
    memory.close()
    yield rest("unmapped")
    os.close(descriptor)
    yield rest("closed", {"file": 0})


if __name__ == "__main__":
    main(read_again, mapped_in_part)
