# SPDX-License-Identifier: Apache-2.0
"""Subsystem `cpu`: CPU time as the kernel accounts it (cpu.stat, Documentation/admin-guide/cgroup-v2.rst).

The kernel keeps the times of every cgroup, with or without the cpu controller; periods and throttling only with it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path

from containeragent.cgroups.directory import flat_keyed
from containeragent.subsystems.api import Attribute, Container, Subsystem, Value

STAT = "cpu.stat"
_SECONDS = {
    "usage_seconds": ("CPU time of it and below", "usage_usec"),
    "user_seconds": ("in user mode", "user_usec"),
    "system_seconds": ("in the kernel", "system_usec"),
}
_LIMITED = {
    "throttled_seconds": ("time without a CPU because of cpu.max", "throttled_usec"),
}


class Cpu(Subsystem):
    """Read when it is asked for."""

    name = "cpu"

    def populate(self, container: Container) -> Iterable[Attribute]:
        """Seconds."""
        found = _read(container)
        shown = _SECONDS | {name: entry for name, entry in _LIMITED.items() if entry[1] in found}
        return [Attribute(name, text, functools.partial(_seconds, found, key)) for name, (text, key) in shown.items()]


def _read(container: Container) -> dict[str, int]:
    """Microseconds and counts; empty when it is gone."""
    try:
        return flat_keyed(Path(container.path, STAT).read_text(encoding="ascii"))
    except OSError:
        return {}


def _seconds(found: dict[str, int], key: str) -> Value:
    return found[key] / 1e6 if key in found else None
