# SPDX-License-Identifier: Apache-2.0
"""What counting costs the workloads: their CPU time with the programs attached, with empty ones, and without any.

The order alternates, so that what drifts (frequencies, other guests) cancels out.
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
STATES = ("off", "empty", "on")
UNITS = {"fork": "process"}


def run_workload(name: str) -> tuple[float, int]:
    """CPU time of one run, in nanoseconds per unit, and how many units went by."""
    command = [sys.executable, "-S", "-E", "-B", str(SCRIPT), name]
    spent_ns, units = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.split()
    return float(spent_ns), int(units)


def _round(switch: Switch, name: str, turn: int) -> dict[str, float]:
    """Time of the workload by state."""
    order = STATES[turn % 3 :] + STATES[: turn % 3]
    times = {}
    for state in order if turn % 2 else order[::-1]:
        switch.set(state)
        times[state] = run_workload(name)[0]
    return times


def _wait_until_alone(seconds: float = 60) -> bool:
    """Other sets come and go with other people's tests; wait for a while that there is none."""
    end = time.monotonic() + seconds
    while counting.others() and time.monotonic() < end:
        time.sleep(0.2)
    return not counting.others()


def _measure(switch: Switch, name: str, pairs: int) -> tuple[list[dict[str, float]], int]:
    """Times of each round, and how many rounds another set disturbed."""
    measured, disturbed = [], 0
    for turn in range(pairs):
        alone = _wait_until_alone()
        measured.append(_round(switch, name, turn))
        disturbed += not (alone and not counting.others())
    return measured, disturbed


def run(pairs: int) -> Table:
    """One row a workload, for each engine that loads here."""
    ratios = ("ratio_q1", "ratio_median", "ratio_q3", "empty_median")
    columns = ("engine", "workload", "unit", "off_ns", "on_ns", *ratios, "target", "disturbed")
    table = Table(f"Cost for workloads, CPU time, {pairs} pairs", columns)
    table.notes.append("empty_median: the same ratio with programs that do nothing on the same events")
    table.notes.append("disturbed: rounds during which another set of programs counted too, with counting and without")
    for engine in counting.engines():
        with counting.switch(engine) as switch:
            for name in WORKLOADS:
                measured, disturbed = _measure(switch, name, pairs)
                row = (engine, name, UNITS.get(name, "page"), *_figures(measured), TARGETS.get(name, ""), disturbed)
                table.rows.append(row)
    return table


def _figures(measured: list[dict[str, float]]) -> tuple[float, ...]:
    """Medians of the times, quartiles of the ratio, and the ratio with programs that do nothing."""
    off, on = (quartiles([times[state] for times in measured])[1] for state in ("off", "on"))
    empty, ratios = (quartiles([times[state] / times["off"] for times in measured]) for state in ("empty", "on"))
    return off, on, *ratios, empty[1]
