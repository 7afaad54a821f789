# SPDX-License-Identifier: Apache-2.0
"""Loops whose CPU time is nearly all the kernel's; run alone in a small Python: `python -S -E workloads.py NAME`.

Prints the CPU time of the loop (user and system, children included) in nanoseconds per unit, a page or a process, and
the number of units that went by, the first unmeasured turn of the loop among them.
"""

from __future__ import annotations

import mmap
import os
import resource
import sys
import tempfile
from collections.abc import Callable

PAGE = mmap.PAGESIZE
MIB = 1 << 20
MADV_POPULATE_WRITE = 23
Result = tuple[float, int]


def _cpu_ns() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used) * 1e9


def _per_unit(loop: Callable[[], None], units: int) -> Result:
    loop()
    before = _cpu_ns()
    loop()
    return (_cpu_ns() - before) / units, 2 * units


def _memory(advice: int) -> mmap.mmap:
    memory = mmap.mmap(-1, 64 * MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(advice)
    return memory


def fault() -> Result:
    """Page faults one by one and munmap, of 64 MiB; per page."""
    rounds, pages = 6, 64 * MIB // PAGE
    ones = b"\1" * pages

    def loop() -> None:
        for _ in range(rounds):
            memory = _memory(mmap.MADV_NOHUGEPAGE)
            memory[::PAGE] = ones
            memory.close()

    return _per_unit(loop, rounds * pages)


def populate() -> Result:
    """The same in one call of madvise; per page."""
    return _populate(mmap.MADV_NOHUGEPAGE, 6)


def huge() -> Result:
    """The same with huge pages; per page of 4 KiB."""
    return _populate(mmap.MADV_HUGEPAGE, 40)


def _populate(advice: int, rounds: int) -> Result:
    def loop() -> None:
        for _ in range(rounds):
            memory = _memory(advice)
            memory.madvise(MADV_POPULATE_WRITE)
            memory.close()

    return _per_unit(loop, rounds * 64 * MIB // PAGE)


def fork() -> Result:
    """fork, exit and wait; per child."""
    rounds = 500

    def loop() -> None:
        for _ in range(rounds):
            child = os.fork()
            if not child:
                os._exit(0)
            os.waitpid(child, 0)

    return _per_unit(loop, rounds)


def read() -> Result:
    """A file of 256 MiB out of the page cache and into it again; per page."""
    with tempfile.TemporaryFile(dir="/var/tmp") as file:
        descriptor, chunk = file.fileno(), bytearray(MIB)
        for _ in range(256):
            os.write(descriptor, chunk)
        os.fsync(descriptor)

        def loop() -> None:
            for _ in range(2):
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                for offset in range(0, 256 * MIB, MIB):
                    os.preadv(descriptor, [chunk], offset)

        return _per_unit(loop, 2 * 256 * MIB // PAGE)


def tmpfs() -> Result:
    """A file of 64 MiB on tmpfs, written and truncated; per page."""
    with tempfile.TemporaryFile(dir="/dev/shm") as file:
        descriptor, chunk = file.fileno(), bytearray(MIB)

        def loop() -> None:
            for _ in range(4):
                for offset in range(0, 64 * MIB, MIB):
                    os.pwrite(descriptor, chunk, offset)
                os.ftruncate(descriptor, 0)

        return _per_unit(loop, 4 * 64 * MIB // PAGE)


WORKLOADS = {function.__name__: function for function in (fault, populate, huge, fork, read, tmpfs)}

if __name__ == "__main__":
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # moving between CPUs costs more than what is measured
    print(*WORKLOADS[sys.argv[1]]())
