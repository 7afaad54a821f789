# SPDX-License-Identifier: Apache-2.0
"""Workloads whose pages go to swap and come back; the test makes the kernel reclaim at the rests that ask for it."""

from __future__ import annotations

import mmap
import os
import signal

from tests.kernel.workloads.resting import Rests, main, rest

PAGE = mmap.PAGESIZE
PAGES = 8192


def _read(memory: mmap.mmap, step: int = 1) -> int:
    return sum(memory[page * PAGE] for page in range(0, PAGES, step))


def _touched(flags: int, advice: int) -> mmap.mmap:
    memory = mmap.mmap(-1, PAGES * PAGE, flags | mmap.MAP_ANONYMOUS)
    if flags & mmap.MAP_PRIVATE:
        memory.madvise(advice)
    for page in range(PAGES):
        memory[page * PAGE] = page % 251  # zeroes would not need swap
    return memory


def anon() -> Rests:
    """Small pages."""
    yield from _private(mmap.MADV_NOHUGEPAGE)


def huge() -> Rests:
    """Huge pages, which are split on their way out."""
    yield from _private(mmap.MADV_HUGEPAGE)


def _private(advice: int) -> Rests:
    memory = _touched(mmap.MAP_PRIVATE, advice)
    yield rest("touched", {"anon": PAGES})
    yield rest("reclaim")
    read = _read(memory, step=3)
    yield rest("some read", facts={"read": read})
    memory[0] = 1
    yield rest("reclaim")
    _read(memory)
    yield rest("all read", {"anon": PAGES})
    yield rest("reclaim")
    yield rest("swapoff", {"anon": PAGES})
    memory.close()
    yield rest("unmapped", {"anon": 0})


def shared() -> Rests:
    """Shared memory; nobody has it mapped when it comes back by swapoff."""
    memory = _touched(mmap.MAP_SHARED, 0)
    yield rest("touched", {"shmem": PAGES})
    yield rest("reclaim")
    _read(memory, step=5)
    yield rest("some read")
    yield rest("reclaim")
    memory.madvise(mmap.MADV_DONTNEED)
    yield rest("unmapped")
    yield rest("swapoff", {"shmem": PAGES})
    memory.close()
    yield rest("closed", {"shmem": 0})


def forked() -> Rests:
    """A child has the same pages in swap, reads some and writes some."""
    memory = _touched(mmap.MAP_PRIVATE, mmap.MADV_NOHUGEPAGE)
    go, told_to_go = os.pipe()
    done, told = os.pipe()
    child = os.fork()
    if not child:
        os.read(go, 1)
        _read(memory, step=2)
        for page in range(0, PAGES, 4):
            memory[page * PAGE] = 1
        os.write(told, b"x")
        signal.pause()
    try:
        yield rest("forked", {"anon": PAGES})
        yield rest("reclaim")
        os.write(told_to_go, b"x")
        os.read(done, 1)
        yield rest("child read and wrote")
        _read(memory)
        yield rest("all read", {"anon": PAGES + PAGES // 4})
        yield rest("reclaim")
        yield rest("swapoff", {"anon": PAGES + PAGES // 4})
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    yield rest("child gone", {"anon": PAGES})


if __name__ == "__main__":
    main(anon, huge, shared, forked)
