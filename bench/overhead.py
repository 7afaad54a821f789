# SPDX-License-Identifier: Apache-2.0
"""What counting costs the workloads: their CPU time without, with our programs, and with empty ones.

Beside them, what one would write today: classic tracepoints through bcc, and bpftrace (bench/tracers).

The workloads live as long as the measurement. In each round every kind of counting is switched on in turn, in another
order, and every workload runs for a few milliseconds, four times: what disturbs only adds, so the least of the last
three counts. The first meets words of pages that went while nothing counted.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench import counting
from bench.counting import Switch
from bench.tables import Cell, Table, quartiles
from bench.tracers import Bpftrace, Classic, Tracer
from bench.workloads import WORKLOADS

SCRIPT = Path(__file__).with_name("workloads.py")
TARGETS = {"fault": 1.05, "fault, 2 processes": 1.05, "fork": 1.01, "read": 1.02}
UNITS = {"fork": "process"}
TRIES = 4
Measure = Callable[[], float]


def run_workload(name: str) -> tuple[float, int]:
    """CPU time of one run, in nanoseconds per unit, and how many units went by."""
    spent_ns, units = subprocess.run(_command(name), stdout=subprocess.PIPE, check=True).stdout.split()
    return float(spent_ns), int(units)


def _command(name: str, *how: str) -> list[str]:
    return [sys.executable, "-S", "-E", "-B", str(SCRIPT), name, *how]


class Workers:
    """Processes, each on a CPU of its own, that run a workload at the same time whenever they are asked."""

    def __init__(self, name: str, count: int, procs: Path | None = None) -> None:
        """`procs` is the file of the cgroup that they are to be in."""
        lines = [_command(name, "serve", str(-1 - at)) for at in range(count)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        self._processes = [subprocess.Popen(line, **pipes) for line in lines]
        if procs:
            for process in self._processes:
                procs.write_text(str(process.pid))

    def _once(self) -> float:
        for process in self._processes:
            assert process.stdin
            process.stdin.write("\n")
        return sum(float(process.stdout.readline()) for process in self._processes if process.stdout)

    def measure(self) -> float:
        """CPU time in nanoseconds per unit, the mean of all processes."""
        self._once()
        return min(self._once() for _ in range(TRIES - 1)) / len(self._processes)

    def close(self) -> None:
        """End them."""
        for process in self._processes:
            process.communicate()


class Kinds:
    """Every kind of counting that there is here, one at a time."""

    def __init__(self, ours: Switch, tracers: dict[str, Tracer]) -> None:
        self._ours, self._tracers = ours, tracers
        self.names = ["off", "empty", "on", *tracers]
        self._now = "off"

    def set(self, name: str) -> None:
        """One of `names`, instead of what was."""
        if self._now in self._tracers:
            self._tracers[self._now].off()
        self._now = name
        self._ours.set(name if name in ("empty", "on") else "off")
        if name in self._tracers:
            self._tracers[name].on()


@contextlib.contextmanager
def kinds(engine: str) -> Iterator[Kinds]:
    """All off."""
    with contextlib.ExitStack() as stack:
        tracers: dict[str, Tracer] = {"classic": Classic()}
        if Bpftrace.is_installed():
            tracers["bpftrace"] = Bpftrace()
        for tracer in tracers.values():
            stack.callback(tracer.close)
        yield Kinds(stack.enter_context(counting.switch(engine)), tracers)


def rounds(kinds: Kinds, work: dict[str, Measure], pairs: int) -> dict[str, dict[str, list[float]]]:
    """What each of `work` measured in each round, by its name and by the kind of counting."""
    found: dict[str, dict[str, list[float]]] = {name: {kind: [] for kind in kinds.names} for name in work}
    for _ in range(pairs):
        for kind in random.sample(kinds.names, len(kinds.names)):
            kinds.set(kind)
            for name, measure in work.items():
                found[name][kind].append(measure())
    kinds.set("off")
    return found


def _percent(spent: dict[str, list[float]], kind: str) -> str:
    """By how much more than without, in the same round: the median and quartiles."""
    if kind not in spent:
        return "not installed"
    ratios = [one / off for one, off in zip(spent[kind], spent["off"], strict=True)]
    low, middle, high = (f"{(ratio - 1) * 100:+.1f}" for ratio in quartiles(ratios))
    return f"{middle} ({low}..{high})"


COLUMNS = ("on_%", "empty_%", "classic_%", "bpftrace_%")


def figures(spent: dict[str, list[float]]) -> tuple[str, ...]:
    """For COLUMNS."""
    return tuple(_percent(spent, column.removesuffix("_%")) for column in COLUMNS)


def run(pairs: int) -> Table:
    """One row a workload, for each engine that loads here."""
    columns = ("engine", "workload", "unit", "off_ns", *COLUMNS, "target_%")
    table = Table(f"Cost for workloads, more CPU time, median and quartiles, {pairs} rounds", columns)
    table.notes.append("empty: programs that do nothing on the events of ours; classic, bpftrace: bench/tracers")
    for engine in counting.engines():
        table.rows += _of_engine(engine, pairs)
    others = counting.others()
    if others:
        table.notes.append(f"other sets counted during all of this, which makes the ratios less: {', '.join(others)}")
    return table


def _of_engine(engine: str, pairs: int) -> list[tuple[Cell, ...]]:
    with contextlib.ExitStack() as stack:
        counted = stack.enter_context(kinds(engine))
        workers = {name: Workers(name, 1) for name in WORKLOADS}
        if len(os.sched_getaffinity(0)) > 1:
            workers["fault, 2 processes"] = Workers("fault", 2)
        for one in workers.values():
            stack.callback(one.close)
        found = rounds(counted, {name: one.measure for name, one in workers.items()}, pairs)
    return [
        (engine, name, UNITS.get(name, "page"), quartiles(spent["off"])[1], *figures(spent), _target(name))
        for name, spent in found.items()
    ]


def _target(name: str) -> Cell:
    return f"{(TARGETS[name] - 1) * 100:+.0f}" if name in TARGETS else ""
