# SPDX-License-Identifier: Apache-2.0
"""Loops whose CPU time is nearly all the kernel's; run alone in a small Python: `python -S -E workloads.py NAME`.

Prints the CPU time of the loop (user and system, children included) in nanoseconds per unit, a page or a process, and
the number of units that went by, the first unmeasured turn of the loop among them. With `serve -1` (a CPU) it
turns once for each line that it reads, and prints the nanoseconds per unit of each.
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
Work = tuple[Callable[[], None], int]


def _cpu_ns() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used) * 1e9


def _memory(advice: int) -> mmap.mmap:
    memory = mmap.mmap(-1, 16 * MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(advice)
    return memory


def fault() -> Work:
    """Page faults one by one and munmap, of 16 MiB; per page."""
    rounds, pages = 5, 16 * MIB // PAGE
    ones = b"\1" * pages

    def loop() -> None:
        for _ in range(rounds):
            memory = _memory(mmap.MADV_NOHUGEPAGE)
            memory[::PAGE] = ones
            memory.close()

    return loop, rounds * pages


def populate() -> Work:
    """The same in one call of madvise; per page."""
    return _populate(mmap.MADV_NOHUGEPAGE, 6)


def huge() -> Work:
    """The same with huge pages; per page of 4 KiB."""
    return _populate(mmap.MADV_HUGEPAGE, 40)


def _populate(advice: int, rounds: int) -> Work:
    def loop() -> None:
        for _ in range(rounds):
            memory = _memory(advice)
            memory.madvise(MADV_POPULATE_WRITE)
            memory.close()

    return loop, rounds * 16 * MIB // PAGE


def fork() -> Work:
    """fork, exit and wait; per child."""
    rounds = 100

    def loop() -> None:
        for _ in range(rounds):
            child = os.fork()
            if not child:
                os._exit(0)
            os.waitpid(child, 0)

    return loop, rounds


def read() -> Work:
    """A file of 64 MiB out of the page cache and into it again; per page."""
    file, chunk = tempfile.TemporaryFile(dir="/var/tmp"), bytearray(MIB)  # noqa: SIM115, it is read as long as we live
    for _ in range(64):
        os.write(file.fileno(), chunk)
    os.fsync(file.fileno())

    def loop() -> None:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        for offset in range(0, 64 * MIB, MIB):
            os.preadv(file.fileno(), [chunk], offset)

    return loop, 64 * MIB // PAGE


def tmpfs() -> Work:
    """A file of 32 MiB on tmpfs, written and truncated; per page."""
    file, chunk = tempfile.TemporaryFile(dir="/dev/shm"), bytearray(MIB)  # noqa: SIM115, the same

    def loop() -> None:
        for offset in range(0, 32 * MIB, MIB):
            os.pwrite(file.fileno(), chunk, offset)
        os.ftruncate(file.fileno(), 0)

    return loop, 32 * MIB // PAGE


WORKLOADS = {function.__name__: function for function in (fault, populate, huge, fork, read, tmpfs)}


def _turn(work: Work) -> float:
    loop, units = work
    before = _cpu_ns()
    loop()
    return (_cpu_ns() - before) / units


def _serve(work: Work) -> None:
    _turn(work)
    for _line in sys.stdin:
        print(_turn(work), flush=True)


def _main(name: str, *how: str) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[int(how[1]) if how else -1]})  # moving costs more than what is measured
    work = WORKLOADS[name]()
    if how:
        _serve(work)
        return
    _turn(work)
    print(_turn(work), 2 * work[1])


if __name__ == "__main__":
    _main(*sys.argv[1:])
