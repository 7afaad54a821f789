# SPDX-License-Identifier: Apache-2.0
"""What is kept of releases on a cgroup: its flags, and what was counted in it when it was last known to be empty.

In: attributes as cgroups/attributes.py has them. Out: Flags and a Mark, and back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from containeragent.cgroups import attributes
from containeragent.counters.snapshot import Reading

NOTIFY, REMOVE, IDLE = "notify_on_release", "remove_on_release", "idle"


@dataclass(frozen=True)
class Flags:
    """`notify`: a release is told, and the release agent run. `remove`: the container is removed instead."""

    notify: bool = False
    remove: bool = False

    @property
    def any(self) -> bool:
        """Whether its release matters to anybody."""
        return self.notify or self.remove


@dataclass(frozen=True)
class Mark:
    """Exits and peak of tasks: if they are higher now, tasks have been there since. None is unknown."""

    exits: int | None
    peak_tasks: int | None

    def is_before(self, other: Mark) -> bool:
        """Whether tasks came and went between this and the other."""
        pairs = ((self.exits, other.exits), (self.peak_tasks, other.peak_tasks))
        return any(one is not None and two is not None and two > one for one, two in pairs)


NEW = Mark(0, 0)


def mark_of(reading: Reading | None) -> Mark:
    """As the counters are now; a cgroup without a slot of its own has none."""
    return Mark(None, None) if reading is None else Mark(reading.exits, reading.peak_tasks)


def read(directory: int) -> tuple[Flags, Mark | None]:
    """Those of a cgroup. Without a mark it was not empty when that was last looked at."""
    kept = attributes.read(directory)
    return Flags(kept.get(NOTIFY) == "1", kept.get(REMOVE) == "1"), _mark(kept)


def _mark(kept: Mapping[str, str]) -> Mark | None:
    if IDLE not in kept:
        return None
    numbers: list[int | None] = [None, None]
    with contextlib.suppress(ValueError):
        exits, peak = kept[IDLE].split()
        numbers = [None if word == "-" else int(word) for word in (exits, peak)]
    return Mark(*numbers)


def write_flags(directory: int, flags: Flags) -> None:
    """A flag that is off needs no attribute."""
    attributes.put(directory, NOTIFY, "1" if flags.notify else None)
    attributes.put(directory, REMOVE, "1" if flags.remove else None)


def write_mark(directory: int, mark: Mark | None) -> None:
    """None when it is not empty."""
    words = [] if mark is None else ["-" if number is None else str(number) for number in (mark.exits, mark.peak_tasks)]
    attributes.put(directory, IDLE, " ".join(words) or None)
