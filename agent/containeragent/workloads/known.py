# SPDX-License-Identifier: Apache-2.0
"""Workloads by path, looked up once in a while.

A container's files may be written after its cgroup was made, and it may be renamed: what is known is looked up again
after some minutes, what has no name yet after some seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from containeragent.workloads.human_names import HumanNames
from containeragent.workloads.patterns import Workload, of_path

NAMED_SECONDS = 300.0
NAMELESS_SECONDS = 10.0
_MOST = 65536  # then all are forgotten


class Workloads:
    """From any thread: at worst something is looked up twice."""

    def __init__(self, names: HumanNames, clock: Callable[[], float] = time.monotonic) -> None:
        self._names = names
        self._clock = clock
        self._known: dict[str, tuple[Workload | None, float]] = {}  # by path; until when it holds

    def of(self, cgroup: str) -> Workload | None:
        """Whose the cgroup of that path is; None where nothing is known."""
        known = self._known.get(cgroup)
        now = self._clock()
        if known is not None and now < known[1]:
            return known[0]
        found = of_path(cgroup)
        if found is not None:
            found = self._names.complete(found)
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[cgroup] = found, now + (NAMED_SECONDS if found is None or found.name else NAMELESS_SECONDS)
        return found
