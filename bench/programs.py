# SPDX-License-Identifier: Apache-2.0
"""Nanoseconds a run of each program while the workloads of `overhead` run (kernel.bpf_stats_enabled).

36 to 48 ns of each are the measurement itself, and caches are colder with it: good to compare, not to add up.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from bench import counting
from bench.overhead import workload_ns
from bench.tables import Table
from bench.workloads import WORKLOADS
from containeragent import libbpf
from containeragent.libbpf import ProgramInfo
from containeragent.pins import Pins

SETTING = Path("/proc/sys/kernel/bpf_stats_enabled")


@contextlib.contextmanager
def _statistics() -> Iterator[None]:
    before = SETTING.read_text()
    SETTING.write_text("1")
    try:
        yield
    finally:
        SETTING.write_text(before)


def _infos(pins: Pins) -> dict[str, ProgramInfo]:
    found = {}
    for name in pins.names("links"):
        descriptor = pins.get("programs", name)
        found[name] = libbpf.program_info(descriptor)
        os.close(descriptor)
    return found


def run(_pairs: int) -> Table:
    """One row a program and workload, the dear ones first."""
    columns = ("program", "workload", "runs", "ns_a_run", "missed", "instructions")
    table = Table("Programs", columns)
    with counting.switched_on() as pins, _statistics():
        for workload in WORKLOADS:
            before = _infos(pins)
            workload_ns(workload)
            for name, after in _infos(pins).items():
                runs = after.runs - before[name].runs
                spent_ns = after.run_time_ns - before[name].run_time_ns
                missed = after.missed - before[name].missed
                if runs >= 1000:
                    table.rows.append((name, workload, runs, spent_ns / runs, missed, after.instructions))
    return table
