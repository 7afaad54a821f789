# SPDX-License-Identifier: Apache-2.0
"""System calls of a process, counted by strace where it is installed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

from bench.tables import Cell

NOT_MEASURED = "not measured: no strace"


def of_process(pid: int, act: Callable[[], object], times: int = 1) -> Cell:
    """Of a running one while something is done that many times, for each time."""
    if not shutil.which("strace"):
        return NOT_MEASURED
    with tempfile.NamedTemporaryFile("r") as summary:
        line = ["strace", "-c", "-f", "-qq", "-o", summary.name, "-p", str(pid)]
        with subprocess.Popen(line, stderr=subprocess.DEVNULL) as tracer:
            time.sleep(1)  # until it follows every thread
            for _ in range(times):
                act()
            tracer.send_signal(signal.SIGINT)
            tracer.wait(timeout=60)
        total = [row.split() for row in summary.read().splitlines() if row.endswith(" total")]
    return round(int(total[0][2 if len(total[0]) < 6 else 3]) / times) if total else 0


def between_marks(module: str, arguments: Sequence[str], mark: str) -> Cell:
    """Of a module that makes the call `mark` before and after what is to be counted."""
    if not shutil.which("strace"):
        return NOT_MEASURED
    with tempfile.NamedTemporaryFile("r") as trace:
        line = ["strace", "-f", "-qq", "-o", trace.name, sys.executable, "-m", module, *arguments]
        subprocess.run(line, check=True)
        lines = trace.read().splitlines()
    begin, end = (at for at, line in enumerate(lines) if f" {mark}(" in line)
    return end - begin - 1
