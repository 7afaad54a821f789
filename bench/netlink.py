# SPDX-License-Identifier: Apache-2.0
"""What the engine `netlink` costs in CPU time: a reading of many cgroups, and each task that comes and goes.

The source runs in this process; the tasks are children of another one, in the cgroup that it was started in.
"""

from __future__ import annotations

import subprocess
import sys
import time

from bench.reading import NUMBERS, containers
from bench.tables import Table, quartiles
from containeragent.counters.netlink.source import NetlinkSource
from containeragent.counters.netlink.walk import walk
from containeragent.host import cgroup2

TIMES = 21
CHILDREN = 20_000
STORM = f"import os\nfor _ in range({CHILDREN}):\n os.waitpid(os.fork() or os._exit(0), 0)"


def _reading_ms() -> float:
    begin = time.process_time()
    walk(cgroup2.mount_point())
    return (time.process_time() - begin) * 1e3


def _task_us() -> float:
    """CPU time of this process for one fork and exit."""
    source = NetlinkSource(cgroup2.mount_point(), "bench")
    try:
        begin = time.process_time()
        subprocess.run([sys.executable, "-S", "-E", "-c", STORM], check=True)
        time.sleep(0.5)
        return (time.process_time() - begin) * 1e6 / CHILDREN
    finally:
        source.close()


def run(_pairs: int) -> Table:
    """A row a figure."""
    table = Table("Engine netlink", ("what", "q1", "median", "q3", "unit"))
    for number in NUMBERS:
        with containers(number):
            _reading_ms()
            figures = quartiles([_reading_ms() for _ in range(TIMES)])
            table.rows.append((f"reading of {number} containers", *figures, "ms"))
    figures = quartiles([_task_us() for _ in range(5)])
    table.rows.append(("fork + exit of a task", *figures, "us"))
    return table
