# SPDX-License-Identifier: Apache-2.0
"""Time to take a snapshot of many containers, and the system calls that it makes.

The containers are made under a cgroup of the bench's own and removed again. System calls are counted by strace, where
it is installed, in a process that takes snapshots between two marks.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import counting
from bench.tables import Cell, Table, quartiles
from containeragent.counters.maps import CounterMaps
from containeragent.counters.snapshot import Reader
from containeragent.errors import Refused
from containeragent.host import cgroup2
from containeragent.pins import Pins

NUMBERS = (1_000, 10_000)
TIMES = 101
STRACED_TIMES = 20
MARK = "getppid"
NOT_MEASURED = "not measured: no strace"


@contextlib.contextmanager
def containers(number: int, name: str = "bench") -> Iterator[None]:
    """That many cgroups, in groups of 100."""
    top = cgroup2.mount_point() / f"{name}-{os.getpid()}"
    top.mkdir()
    try:
        for outer in range(number // 100):
            (top / f"group-{outer}").mkdir()
            for inner in range(99):
                (top / f"group-{outer}" / f"container-{inner}").mkdir()
        yield
    finally:
        for folder, _, _ in os.walk(top, topdown=False):
            os.rmdir(folder)


def reader(pins: Pins) -> Reader:
    """Of what is loaded."""
    stamp = pins.stamp()
    if stamp is None:
        raise Refused("ENOENT", f"nothing is loaded in {pins.folder}")
    return Reader(CounterMaps.from_pins(pins, stamp))


def _take_ms(reader: Reader) -> tuple[float, int]:
    begin = time.perf_counter()
    count = len(reader.take())
    return (time.perf_counter() - begin) * 1e3, count


def _system_calls(pins: Pins) -> Cell:
    """System calls that a snapshot makes, the tree known."""
    if not shutil.which("strace"):
        return NOT_MEASURED
    with tempfile.NamedTemporaryFile("r") as trace:
        take = [sys.executable, "-m", "bench.reading", str(pins.folder)]
        subprocess.run(["strace", "-f", "-qq", "-o", trace.name, *take], check=True)
        lines = trace.read().splitlines()
    begin, end = (at for at, line in enumerate(lines) if f" {MARK}(" in line)
    return (end - begin - 1) / STRACED_TIMES


def _straced(folder: str) -> None:
    counters = reader(Pins(Path(folder)))
    counters.take()
    os.getppid()
    for _ in range(STRACED_TIMES):
        counters.take()
    os.getppid()


def run(_pairs: int) -> Table:
    """One row a number of containers."""
    columns = ("containers", "first_ms", "q1_ms", "median_ms", "q3_ms", "system_calls", "target_ms")
    table = Table(f"Taking a snapshot, {TIMES} times", columns)
    with counting.switched_on() as pins:
        for number in NUMBERS:
            with containers(number):
                counters = reader(pins)
                first, count = _take_ms(counters)
                low, middle, high = quartiles([_take_ms(counters)[0] for _ in range(TIMES)])
                target = 5 if number == max(NUMBERS) else ""
                table.rows.append((count, first, low, middle, high, _system_calls(pins), target))
    return table


if __name__ == "__main__":
    _straced(sys.argv[1])
