# SPDX-License-Identifier: Apache-2.0
"""Workloads on anonymous memory."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import time
from pathlib import Path

from tests.kernel.workloads.resting import Rests, main, rest

PAGE = mmap.PAGESIZE
PAGES = 16384  # 64 MiB with pages of 4 KiB
HUGE = 512
HUGEPAGES = Path("/proc/sys/vm/nr_hugepages")
MAP_HUGETLB = 0x40000


def private(pages: int = PAGES) -> mmap.mmap:
    """Untouched private memory."""
    return mmap.mmap(-1, pages * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def touch(memory: mmap.mmap, first: int = 0, pages: int = PAGES, step: int = 1) -> None:
    """Write to pages."""
    for page in range(first, first + pages, step):
        memory[page * PAGE] = 1


def aligned_page(memory: mmap.mmap) -> int:
    """The first page of the memory where a huge page can begin."""
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return -(start // PAGE) % HUGE


def touch_and_drop() -> Rests:
    """Touch, MADV_DONTNEED, munmap; the rest goes at exit."""
    memory, kept = private(), private(4096)
    touch(memory)
    touch(kept, pages=4096)
    yield rest("touched", {"anon": PAGES + 4096})
    memory.madvise(mmap.MADV_DONTNEED, 0, PAGES // 2 * PAGE)
    yield rest("half dropped", {"anon": PAGES // 2 + 4096})
    touch(memory, pages=PAGES // 4)
    yield rest("a quarter touched again", {"anon": PAGES * 3 // 4 + 4096})
    memory.close()
    yield rest("unmapped", {"anon": 4096})


def populate() -> Rests:
    """MADV_POPULATE_WRITE (23): many faults in one call."""
    memory = private()
    memory.madvise(23)
    yield rest("populated", {"anon": PAGES})
    memory.close()
    yield rest("unmapped", {"anon": 0})


def locked() -> Rests:
    """Pages that no LRU list but the unevictable one has."""
    memory = private(4096)
    address = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    if ctypes.CDLL(None, use_errno=True).mlock(address, ctypes.c_size_t(4096 * PAGE)):
        raise OSError(ctypes.get_errno(), "mlock")
    yield rest("locked", {"anon": 4096})


def remapped() -> Rests:
    """mremap moves page tables, not pages."""
    memory = private(4096)
    touch(memory, pages=4096)
    memory.resize(PAGES * PAGE)
    yield rest("grown", {"anon": 4096})
    touch(memory, first=4096, pages=PAGES - 4096)
    yield rest("touched", {"anon": PAGES})
    memory.resize(1024 * PAGE)
    yield rest("shrunk", {"anon": 1024})


def zero_page() -> Rests:
    """Reading maps the zero page, which nobody is charged for."""
    memory = private()
    total = sum(memory[page * PAGE] for page in range(PAGES))
    yield rest("read", {"anon": total})
    touch(memory, pages=PAGES, step=2)
    yield rest("half written", {"anon": PAGES // 2})


def huge() -> Rests:
    """Huge pages, unmapped as they are, then at exit."""
    memory, kept = private(), private()
    for part in (memory, kept):
        part.madvise(mmap.MADV_HUGEPAGE)
        touch(part)
    yield rest("touched", {"anon": 2 * PAGES})
    memory.close()
    yield rest("unmapped", {"anon": PAGES})


def huge_parts() -> Rests:
    """
    Parts of huge pages are unmapped. The kernel still has them in memory, and charges them, until it splits the page or
    frees it, but memory.stat's anon leaves them out at once: too high by these pages (FACTS.md).
    """
    memory = private(PAGES)
    memory.madvise(mmap.MADV_HUGEPAGE)
    touch(memory)
    yield rest("touched", {"anon": PAGES})
    first = aligned_page(memory)
    memory.madvise(mmap.MADV_DONTNEED, (first + 5) * PAGE, 100 * PAGE)
    memory.madvise(mmap.MADV_DONTNEED, (first + 4 * HUGE) * PAGE, HUGE // 2 * PAGE)
    yield rest("parts unmapped", {"anon": PAGES}, too_high_anon=100 + HUGE // 2)
    memory.madvise(mmap.MADV_DONTNEED, first * PAGE, 5 * HUGE * PAGE)
    yield rest("these huge pages unmapped", {"anon": PAGES - 5 * HUGE})


def huge_protected() -> Rests:
    """A mapping of huge pages that is split in the page tables only."""
    memory = private(PAGES)
    memory.madvise(mmap.MADV_HUGEPAGE)
    touch(memory)
    address, libc = ctypes.addressof(ctypes.c_char.from_buffer(memory)), ctypes.CDLL(None)
    for page in range(0, PAGES - 8, HUGE):
        libc.mprotect(ctypes.c_void_p(address + page * PAGE), ctypes.c_size_t(8 * PAGE), mmap.PROT_READ)
    yield rest("protected in parts", {"anon": PAGES})


def collapsed() -> Rests:
    """MADV_COLLAPSE (25): small pages become huge ones, holes filled."""
    memory = private(PAGES)
    first = aligned_page(memory)
    touch(memory, first, 8 * HUGE, step=2)
    yield rest("touched", {"anon": 4 * HUGE})
    memory.madvise(mmap.MADV_HUGEPAGE)
    memory.madvise(25, first * PAGE, 8 * HUGE * PAGE)
    yield rest("collapsed", {"anon": 8 * HUGE})
    memory.madvise(mmap.MADV_DONTNEED)
    yield rest("dropped", {"anon": 0})


def collapsed_by_kernel(seconds: str) -> Rests:
    """khugepaged does the same from its own thread."""
    memory = private(PAGES)
    first = aligned_page(memory)
    touch(memory, first, 8 * HUGE)
    yield rest("touched", {"anon": 8 * HUGE})
    memory.madvise(mmap.MADV_HUGEPAGE)
    end = time.monotonic() + float(seconds)
    while _huge_pages() < 8 * HUGE and time.monotonic() < end:
        touch(memory, first, 8 * HUGE)
        time.sleep(0.1)
    yield rest("collapsed", {"anon": 8 * HUGE}, facts={"huge": _huge_pages()})
    memory.close()
    yield rest("unmapped", {"anon": 0})


def _huge_pages() -> int:
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("AnonHugePages:"):
            return int(line.split()[1]) * 1024 // PAGE
    return 0


def hugetlb() -> Rests:
    """Pages of hugetlbfs belong to a pool: anon and file leave them out. The test gives the pool back its size."""
    HUGEPAGES.write_text(str(int(HUGEPAGES.read_text()) + 8))
    yield rest("pool grown", {"anon": 0})
    memory = mmap.mmap(-1, 8 * HUGE * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_HUGETLB)
    touch(memory, pages=8 * HUGE, step=HUGE)
    yield rest("touched", {"anon": 0})
    memory.close()
    yield rest("unmapped", {"anon": 0})
    memory = mmap.mmap(-1, 8 * HUGE * PAGE, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | MAP_HUGETLB)
    touch(memory, pages=8 * HUGE, step=HUGE)
    yield rest("shared", {"anon": 0, "file": 0})


def forked() -> Rests:
    """A child copies half of its parent's pages on write, and ends."""
    memory = private()
    touch(memory)
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        touch(memory, pages=PAGES // 2)
        os.write(told, b"x")
        signal.pause()
    try:
        os.read(ready, 1)
        yield rest("child wrote", {"anon": PAGES + PAGES // 2})
        touch(memory, PAGES // 2, PAGES // 2)
        yield rest("parent wrote", {"anon": 2 * PAGES})
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    yield rest("child gone", {"anon": PAGES})
    touch(memory)
    yield rest("parent wrote again", {"anon": PAGES})


def huge_forked() -> Rests:
    """Copy on write of huge pages: they are split in the child's page tables and copied page by page."""
    memory = private()
    memory.madvise(mmap.MADV_HUGEPAGE)
    touch(memory)
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        touch(memory, pages=PAGES // 2)
        os.write(told, b"x")
        signal.pause()
    try:
        os.read(ready, 1)
        yield rest("child wrote", {"anon": PAGES + PAGES // 2})
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    yield rest("child gone", {"anon": PAGES})


def storm(processes: str, seconds: str) -> Rests:
    """Faults of small and huge pages in several processes for some time."""
    end = time.monotonic() + float(seconds)
    children = []
    for _ in range(int(processes)):
        child = os.fork()
        if not child:
            _fault_until(end)
            os._exit(0)
        children.append(child)
    kept = private(4096)
    touch(kept, pages=4096)
    yield rest("faulting")
    for child in children:
        os.waitpid(child, 0)
    yield rest("calm", {"anon": 4096})


def _fault_until(end: float) -> None:
    small, large = private(1024), private(4096)
    large.madvise(mmap.MADV_HUGEPAGE)
    while time.monotonic() < end:
        for part in (small, large):
            touch(part, pages=1024)
            part.madvise(mmap.MADV_DONTNEED)


if __name__ == "__main__":
    main(
        touch_and_drop,
        populate,
        locked,
        remapped,
        zero_page,
        huge,
        huge_parts,
        huge_protected,
        collapsed,
        collapsed_by_kernel,
        hugetlb,
        forked,
        huge_forked,
        storm,
    )
