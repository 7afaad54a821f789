# SPDX-License-Identifier: Apache-2.0
"""Subsystem `tasks`: a container needs a slot to be counted, and has counters and a limit of its tasks."""

from __future__ import annotations

import os
from collections.abc import Iterable

from containeragent.counters.source import Source
from containeragent.errors import Refused
from containeragent.limits.keeper import Keeper
from containeragent.subsystems.api import Attribute, Container, Subsystem
from containeragent.subsystems.builtin.counted import Counter, attributes, limit

_COUNTERS: dict[str, Counter] = {
    "num_tasks": ("threads in it and below", lambda reading: reading.total["tasks"]),
    "peak_tasks": ("highest num_tasks so far", lambda reading: reading.peak_tasks),
    "forks": ("threads ever started", lambda reading: reading.forks),
    "exits": ("threads ever ended", lambda reading: reading.exits),
}


def _is_there(container: Container) -> bool:
    try:
        return os.stat(container.path).st_ino == container.id
    except OSError:
        return False


class Tasks(Subsystem):
    """Counted by a Source, limited by a Keeper."""

    name = "tasks"

    def __init__(self, source: Source, keeper: Keeper) -> None:
        self._source = source
        self._keeper = keeper

    def create(self, container: Container) -> None:
        """Without a slot it would count with its parent, as one that is there already may."""
        if container.existing or self._source.slots is None:
            return
        if self._source.snapshot().reading(container.id) is None:
            if not _is_there(container):
                raise Refused("ENODEV", f"container {container.name} was removed meanwhile")
            self._source.sweep()
            raise Refused(
                "ENOSPC",
                f"container {container.name} was not made: all {self._source.slots} slots are in use; "
                "remove containers, or load with more --slots",
            )

    def populate(self, container: Container) -> Iterable[Attribute]:
        """Counters, and the limit, which can be set."""
        yield from attributes(self._source, container, _COUNTERS)
        yield limit(self._keeper, container, "task_limit", "most tasks, or max")
