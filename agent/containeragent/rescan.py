# SPDX-License-Identifier: Apache-2.0
"""Looks at all pages again and again, so that snapshots have fresh figures of what no event tells, and audits now and
then for the metrics.

It costs what the configuration allows: after each turn it rests until the CPU time that it took is that part of the
time that went by.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from containeragent.containers.audit import Differences
from containeragent.errors import Refused

log = logging.getLogger(__name__)

_SHORTEST_REST_SECONDS = 15.0


def rest_seconds(spent_seconds: float, percent: float) -> float:
    """How long to rest after a turn that took so much CPU time."""
    return max(_SHORTEST_REST_SECONDS, spent_seconds * (100 / percent - 1))


class Rescanner:
    """A thread of its own. `percent` is of one core and above 0; `drift_seconds` is 0 for no audits."""

    def __init__(
        self, look: Callable[[], object], audit: Callable[[], Differences], percent: float, drift_seconds: int
    ) -> None:
        self._look = look
        self._audit = audit
        self._percent = percent
        self._drift_seconds = drift_seconds
        self._audited_at = -float("inf")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rescan", daemon=True)
        self.drift: Differences = {}  # of the last audit

    def start(self) -> None:
        """The first turn begins at once."""
        self._thread.start()

    def stop(self) -> None:
        """After the turn that is under way, if it takes no longer than a few seconds."""
        self._stopped.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        rest = 0.0
        while not self._stopped.wait(rest):
            before = time.thread_time()
            try:
                self.turn()
            except (Refused, OSError) as error:
                log.error("looking at pages failed, it is tried again: %s", error)
            rest = rest_seconds(time.thread_time() - before, self._percent)

    def turn(self) -> None:
        """A look, which an audit makes too."""
        now = time.monotonic()
        if self._drift_seconds and now - self._audited_at >= self._drift_seconds:
            self.drift, self._audited_at = self._audit(), now
        else:
            self._look()
