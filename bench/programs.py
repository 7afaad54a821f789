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
from bench.overhead import run_workload
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


def _measure(pins: Pins, table: Table, engine: str, workload: str) -> None:
    """A row for each program that matters, and one for all that ran, by unit of the workload."""
    before, (_, units) = _infos(pins), run_workload(workload)
    all_runs, all_ns, all_missed = 0, 0, 0
    for name, after in _infos(pins).items():
        runs, spent_ns = after.runs - before[name].runs, after.run_time_ns - before[name].run_time_ns
        missed = after.missed - before[name].missed
        all_runs, all_ns, all_missed = all_runs + runs, all_ns + spent_ns, all_missed + missed
        if runs >= units // 100:
            sizes = (after.instructions, after.machine_code_bytes)
            table.rows.append((engine, workload, name, runs / units, spent_ns / runs, spent_ns / units, missed, *sizes))
    summed = (all_runs / units, all_ns / max(1, all_runs), all_ns / units, all_missed)
    table.rows.append((engine, workload, "all together", *summed, "", ""))


def run(_pairs: int) -> Table:
    """Each engine that loads here, one after the other."""
    columns = ("engine", "workload", "program", "runs_a_unit", "ns_a_run", "ns_a_unit", "missed", "instructions")
    table = Table("Programs", (*columns, "machine_code_bytes"))
    table.notes.append("a unit is a page, of fork a process")
    for engine in counting.engines():
        with counting.switched_on(engine) as pins, _statistics():
            for workload in WORKLOADS:
                _measure(pins, table, engine, workload)
    return table
