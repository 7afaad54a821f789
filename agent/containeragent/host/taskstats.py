# SPDX-License-Identifier: Apache-2.0
"""What the kernel accounts for each task (Documentation/accounting/taskstats.rst), through pyroute2.

In: thread ids. Out: documents as `tasks --stats --json` prints them; null where this kernel does not account.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from containeragent.errors import Refused
from containeragent.host import netlink

Document = dict[str, Any]
DELAY_SWITCH = Path("/proc/sys/kernel/task_delayacct")
# Waiting for a CPU is always measured, the other delays only where delay accounting is on.
_DELAYS = ("blkio", "swapin", "reclaim")
# pyroute2 decodes what all versions of struct taskstats have in common; freepages_delay_total comes after it, but for
# version 15, which had other fields in between and which pyroute2 decodes whole.
_RECLAIM_AT = 4 + 320


def delays_on(switch: Path = DELAY_SWITCH) -> bool:
    """Whether the kernel measures delays of tasks that start now. Off by default since Linux 5.14."""
    try:
        return switch.read_text().strip() != "0"
    except FileNotFoundError:  # before, and where it is not built in: then every delay is 0
        return "delayacct" in Path("/proc/cmdline").read_text().split()


def hints(delays: bool) -> list[str]:
    """What is missing, and what to do; one line each."""
    if delays:
        return []
    return [
        "delays but for the CPU are unknown: sysctl kernel.task_delayacct=1 measures them for tasks that start then"
    ]


def document(task: int, stats: Mapping[str, Any], reclaim_ns: int, delays: bool, io: bool) -> Document:
    """One task's. `stats` has the fields of struct taskstats (linux/taskstats.h)."""
    waited_ns = {"blkio": stats["blkio_delay_total"], "swapin": stats["swapin_delay_total"], "reclaim": reclaim_ns}
    return {
        "tid": task,
        "comm": bytes(stats["ac_comm"]).split(b"\0")[0].decode("utf-8", "backslashreplace"),
        "user_seconds": stats["ac_utime"] / 1e6,
        "system_seconds": stats["ac_stime"] / 1e6,
        "cpu_delay_seconds": stats["cpu_delay_total"] / 1e9,
        **{f"{name}_delay_seconds": waited_ns[name] / 1e9 if delays else None for name in _DELAYS},
        # Of the process; kernel threads have no memory of their own.
        "peak_rss_bytes": stats["hiwater_rss"] << 10 or None,
        "peak_vm_bytes": stats["hiwater_vm"] << 10 or None,
        "read_bytes": stats["read_bytes"] if io else None,
        "write_bytes": stats["write_bytes"] if io else None,
    }


def _reclaim_ns(stats: Any) -> int:
    if "freepages_delay_total" in stats:
        return int(stats["freepages_delay_total"])
    return int(struct.unpack_from("=Q", stats.data, stats.offset + _RECLAIM_AT)[0])


@contextlib.contextmanager
def _opened(library: Any) -> Iterator[Any]:
    try:
        connection = library.TaskStats()
    except OSError as error:
        raise _refused(error.errno or errno.EIO) from None
    try:
        connection.bind()
        yield connection
    except library.NetlinkError as error:
        raise _refused(error.code) from None
    finally:
        connection.close()


def _refused(number: int) -> Refused:
    what = "the kernel gives no task statistics"
    return Refused.of_errno(
        number, what, "they need CAP_NET_ADMIN for the agent, CONFIG_TASKSTATS and the host's network"
    )


def read(tasks: Iterable[int]) -> list[Document]:
    """Of each task that still exists, in order; Refused where the kernel gives none."""
    library, delays, io = netlink.taskstats(), delays_on(), os.path.exists("/proc/self/io")
    found = []
    with _opened(library) as connection:
        for task in tasks:
            try:
                (answer,) = connection.get_pid_stat(task)
            except library.NetlinkError as error:
                if error.code == errno.ESRCH:
                    continue
                raise
            stats = answer.get_attr("TASKSTATS_TYPE_AGGR_PID").get_attr("TASKSTATS_TYPE_STATS")
            found.append(document(task, stats, _reclaim_ns(stats), delays, io))
    return found
