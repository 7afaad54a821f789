# SPDX-License-Identifier: Apache-2.0
"""CPU time and memory of an agent with many containers that nobody asks, looks at all pages and audits among it."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from bench import agents, counting
from bench.tables import Table
from containeragent.host import cgroup2
from containeragent.loader.load import unload

CONTAINERS, SETTLING_SECONDS, SPAN_SECONDS = 1000, 60, 180
TARGET_PERCENT = 0.5


def _cpu_seconds(pid: int) -> float:
    """Of all its threads, in user mode and in the kernel (proc(5), utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def run(_pairs: int) -> Table:
    """One row."""
    table = Table(
        f"An agent at rest, over {SPAN_SECONDS} s",
        ("containers", "cpu_s", "percent_of_a_core", "target_percent", "resident_mib"),
    )
    root = cgroup2.mount_point() / f"bench-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            with agents.answering(folder, root) as (pid, _):
                for number in range(CONTAINERS):
                    (root / f"container-{number}").mkdir()
                time.sleep(SETTLING_SECONDS)
                before, begin = _cpu_seconds(pid), time.monotonic()
                time.sleep(SPAN_SECONDS)
                spent = _cpu_seconds(pid) - before
                percent = 100 * spent / (time.monotonic() - begin)
                table.rows.append((CONTAINERS, spent, percent, TARGET_PERCENT, _resident_mib(pid)))
        finally:
            unload(counting.OPTIONS.bpffs, counting.silent)
            for path in [*root.glob("container-*"), root] if root.exists() else []:
                path.rmdir()
    return table
