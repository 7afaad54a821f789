# SPDX-License-Identifier: Apache-2.0
"""Enter the tasks that exist into the kernel side's table: at load, and when it says that it lost some.

Entering a task twice is harmless (bpf/tasks.c), so this can run at any time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from containeragent import runnable
from containeragent.runnable import Runnable


def _threads_by_process(proc: Path) -> dict[int, int]:
    """Number of threads of each process in /proc."""
    threads = {}
    for name in os.listdir(proc):
        if name.isdigit():
            with contextlib.suppress(OSError):
                threads[int(name)] = len(os.listdir(proc / name / "task"))
    return threads


def scan(iterator: int, scan_process: Runnable, counted: Callable[[], int], proc: Path = Path("/proc")) -> None:
    """All tasks: those that the kernel iterates, then, if `counted` stays short of it, those that only /proc shows."""
    runnable.run_iterator(iterator)
    threads = _threads_by_process(proc)
    if counted() >= sum(threads.values()):
        return
    for process in threads:
        scan_process(process)
