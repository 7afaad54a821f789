# SPDX-License-Identifier: Apache-2.0
"""Whose turn it is to count (engine fentry): while programs are replaced, both versions are called for every event.

Each version has a number, each CPU the number of the one that counts there (map `turns`). What is counted happens where
a CPU cannot be preempted, so a number that is changed by a program on that CPU, run by a task there, never changes
between the two calls of one event.
"""

from __future__ import annotations

import os

from containeragent import libbpf
from containeragent.runnable import Runnable

FIRST = 0


def _number(turns: int, cpu: int) -> int:
    return int.from_bytes(libbpf.map_lookup(turns, cpu.to_bytes(4, "little"), 4) or bytes(4), "little")


def following(turns: int, cpus: int) -> int:
    """A number that no CPU has now, from the map of the programs that count."""
    return 1 + max(_number(turns, cpu) for cpu in range(cpus))


def give(turns: int, cpus: int, number: int) -> None:
    """Write the number for every CPU, also those that no task can run on; an event of this instant may be missed."""
    for cpu in range(cpus):
        if _number(turns, cpu) != number:
            libbpf.map_update(turns, cpu.to_bytes(4, "little"), number.to_bytes(4, "little"))


def take(take_turn: Runnable, turns: int, cpus: int, number: int) -> None:
    """From now on the version with this number counts, each event once."""
    allowed = os.sched_getaffinity(0)
    try:
        for cpu in range(cpus):
            try:
                os.sched_setaffinity(0, {cpu})
            except OSError:
                continue  # offline, or not ours to run on
            take_turn()
    finally:
        os.sched_setaffinity(0, allowed)
    give(turns, cpus, number)
