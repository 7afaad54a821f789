# SPDX-License-Identifier: Apache-2.0
"""What /proc says of one task (proc(5))."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from dataclasses import dataclass
from pathlib import Path

_PF_KTHREAD = 0x00200000  # include/linux/sched.h
_ENDED = "ZXx"
_CAP_KILL = 5
_URGENT = -10  # nice value
_MMAP_THRESHOLD, _ARENA_MAX = -3, -8  # M_MMAP_THRESHOLD, M_ARENA_MAX of malloc.h
_LARGE_BYTES = 128 * 1024  # the C library's own default, which it raises by itself unless it is set


@dataclass(frozen=True)
class Process:
    """`uids` are the real, effective and saved user ids; `process` is the thread group's id."""

    process: int
    uids: tuple[int, int, int]
    ended: bool
    kernel_thread: bool


def capabilities(proc: Path = Path("/proc")) -> int:
    """Bits of those that we have (capabilities(7), linux/capability.h)."""
    status = (proc / "self" / "status").read_text()
    return next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))


def has_capabilities(proc: Path = Path("/proc")) -> bool:
    """Whether we have any capability, as a service with another user than root may."""
    return bool(capabilities(proc))


def may_kill(proc: Path = Path("/proc")) -> bool:
    """Whether we may end tasks of other users."""
    return bool(capabilities(proc) >> _CAP_KILL & 1)


def hurry(proc: Path = Path("/proc")) -> None:
    """Have this process, and threads that it starts, run before others, if we may.

    Where sessions share the CPUs evenly (sched(7), autogroup), a nice value means something in its session alone. A
    service has one for itself: then it is the session's too.
    """
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, min(_URGENT, os.getpriority(os.PRIO_PROCESS, 0)))
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # no such thing; or we may not
            (proc / "self" / "autogroup").write_text(str(_URGENT))


def share_memory() -> None:
    """Have all threads take memory from one place, and large pieces go back at once (mallopt(3)).

    Many small places each keep what they had at most; so does one where large answers come and go between small pieces.
    """
    with contextlib.suppress(AttributeError):  # another C library than glibc
        libc = ctypes.CDLL(None)
        libc.mallopt(_ARENA_MAX, 1)
        libc.mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)


def now_ticks() -> int:
    """Now, as times are counted at which tasks started: ticks since the boot."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


@dataclass(frozen=True)
class Age:
    """When a task started, in ticks since the boot; how many threads its process has."""

    started_ticks: int
    threads: int


def age(task: int, proc: Path = Path("/proc")) -> Age | None:
    """None when there is no such task, or it has ended."""
    try:
        stat = (proc / str(task) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    after_name = stat[stat.rindex(")") + 2 :].split()
    if after_name[0] in _ENDED:
        return None
    return Age(started_ticks=int(after_name[19]), threads=int(after_name[17]))


def leader(task: int, proc: Path = Path("/proc")) -> int | None:
    """The process of a task; None when it is gone."""
    found = look_up(task, proc)
    return None if found is None else found.process


def threads(process: int, proc: Path = Path("/proc")) -> int:
    """Threads of a process; 0 when it is gone."""
    try:
        return len(os.listdir(proc / str(process) / "task"))
    except (FileNotFoundError, ProcessLookupError):
        return 0


def look_up(task: int, proc: Path = Path("/proc")) -> Process | None:
    """A task, or None when there is none with that id."""
    try:
        status = (proc / str(task) / "status").read_text(errors="replace")
        stat = (proc / str(task) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    real, effective, saved, _ = (int(uid) for uid in fields["Uid"].split())
    after_name = stat[stat.rindex(")") + 2 :].split()
    return Process(
        process=int(fields["Tgid"]),
        uids=(real, effective, saved),
        ended=after_name[0] in _ENDED,
        kernel_thread=bool(int(after_name[6]) & _PF_KTHREAD),
    )
