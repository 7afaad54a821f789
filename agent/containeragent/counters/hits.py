# SPDX-License-Identifier: Apache-2.0
"""What the kernel side tells of limits and of memory that ran out: LimitHit (Source.listen_limits) and OutOfMemory.

In: notices of the kinds NOTICE_LIMIT and NOTICE_OOM. Out: what they say.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from containeragent.counters import records


class Limit(enum.Enum):
    """Which one was hit. STOP is 112.5 % of the page limit."""

    TASKS = "tasks"
    PAGES = "pages"
    STOP = "stop"


class Cause(enum.IntEnum):
    """Why (limit_cause of bpf/records.h): crossed by what was counted; a fork denied; set below what is used."""

    CROSSED = 0
    DENIED = 1
    SET = 2


@dataclass(frozen=True)
class Task:
    """`pid` is of the process; `comm` of the thread, None if it is not known."""

    pid: int
    comm: str | None


@dataclass(frozen=True)
class LimitHit:
    """`usage` and `value` are tasks or pages; of STOP, `value` is the page limit. A fork denied is not in `usage`."""

    cgroup_id: int  # whose limit it is
    limit: Limit
    cause: Cause
    usage: int  # at the hit
    value: int
    task: Task | None  # at work then; None where notices were lost


@dataclass(frozen=True)
class OutOfMemory:
    """The kernel kills `victim` because `trigger` found no memory."""

    cgroup_id: int | None  # the victim's; None if it is not known
    victim: Task
    trigger: Task
    trigger_cgroup_id: int


@dataclass(frozen=True)
class LimitNotice:
    """Limits of this slot or of its ancestors were hit."""

    slot: int
    cause: Cause
    task: Task


def _record(raw: bytes, dtype: np.dtype[np.void]) -> Any:
    return np.frombuffer(raw, dtype=dtype, count=1)[0]


def _task(pid: int, comm: npt.NDArray[np.uint8]) -> Task:
    name = comm.tobytes().partition(b"\0")[0].decode("utf-8", "backslashreplace")
    return Task(int(pid), name or None)


def limit_notice(raw: bytes) -> LimitNotice:
    """Of the kind NOTICE_LIMIT."""
    record = _record(raw, records.LIMIT_NOTICE)
    return LimitNotice(int(record["slot"]), Cause(int(record["cause"])), _task(record["pid"], record["comm"]))


def out_of_memory(raw: bytes) -> OutOfMemory:
    """Of a notice of the kind NOTICE_OOM."""
    record = _record(raw, records.OOM_NOTICE)
    return OutOfMemory(
        cgroup_id=int(record["cgroup_id"]) or None,
        victim=_task(record["victim_pid"], record["victim_comm"]),
        trigger=_task(record["trigger_pid"], record["trigger_comm"]),
        trigger_cgroup_id=int(record["trigger_cgroup_id"]),
    )
