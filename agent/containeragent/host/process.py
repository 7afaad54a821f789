# SPDX-License-Identifier: Apache-2.0
"""What /proc says of one task (proc(5))."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PF_KTHREAD = 0x00200000  # include/linux/sched.h
_ENDED = "ZXx"


@dataclass(frozen=True)
class Process:
    """`uids` are the real, effective and saved user ids; `process` is the thread group's id."""

    process: int
    uids: tuple[int, int, int]
    ended: bool
    kernel_thread: bool


def has_capabilities(proc: Path = Path("/proc")) -> bool:
    """Whether we have any capability (capabilities(7)), as a service with another user than root may."""
    status = (proc / "self" / "status").read_text()
    return any(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))


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
