# SPDX-License-Identifier: Apache-2.0
"""What counting costs the workloads: their CPU time with the programs loaded, beside the same without, in pairs.

Pairs alternate in their order, so that what drifts (frequencies, other guests) cancels out.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from bench import counting
from bench.counting import Switch
from bench.tables import Table, quartiles
from bench.workloads import WORKLOADS

SCRIPT = Path(__file__).with_name("workloads.py")
TARGETS = {"fault": 1.10, "populate": 1.10, "fork": 1.03}
UNITS = {"fork": "process"}


def workload_ns(name: str) -> float:
    """CPU time of one run, in nanoseconds per unit."""
    command = [sys.executable, "-S", "-E", "-B", str(SCRIPT), name]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def _pair(switch: Switch, name: str, on_first: bool) -> tuple[float, float]:
    """Times without and with counting."""
    times = {}
    for on in (on_first, not on_first):
        switch.set(on)
        times[on] = workload_ns(name)
    return times[False], times[True]


def _wait_until_alone(seconds: float = 60) -> bool:
    """Other sets come and go with other people's tests; wait for a while that there is none."""
    end = time.monotonic() + seconds
    while counting.others() and time.monotonic() < end:
        time.sleep(0.2)
    return not counting.others()


def _measure(switch: Switch, name: str, pairs: int) -> tuple[list[tuple[float, float]], int]:
    """Pairs of times, and how many of them another set disturbed."""
    measured, disturbed = [], 0
    for turn in range(pairs):
        alone = _wait_until_alone()
        measured.append(_pair(switch, name, bool(turn % 2)))
        disturbed += not (alone and not counting.others())
    return measured, disturbed


def run(pairs: int) -> Table:
    """One row a workload."""
    ratios = ("ratio_q1", "ratio_median", "ratio_q3", "ratio_of_least")
    columns = ("workload", "unit", "off_ns", "on_ns", *ratios, "target", "disturbed")
    table = Table(f"Cost for workloads, CPU time, {pairs} pairs", columns)
    table.notes.append("disturbed: pairs during which another set of programs counted too, with counting and without")
    with counting.switch() as switch:
        for name in WORKLOADS:
            measured, disturbed = _measure(switch, name, pairs)
            table.rows.append((name, UNITS.get(name, "page"), *_figures(measured), TARGETS.get(name, ""), disturbed))
    return table


def _figures(measured: list[tuple[float, float]]) -> tuple[float, ...]:
    """Medians, quartiles of the ratios, and the ratio of the fastest runs, which others disturbed least."""
    off, on = ([times[at] for times in measured] for at in range(2))
    ratios = quartiles([with_it / without for without, with_it in measured])
    return quartiles(off)[1], quartiles(on)[1], *ratios, min(on) / min(off)
