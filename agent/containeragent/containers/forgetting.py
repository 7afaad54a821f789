# SPDX-License-Identifier: Apache-2.0
"""Subsystems hear of containers that somebody else removed, in a thread of their own: what they do there may take time.

In: `removed` events, and every few seconds a look, for engines that tell of no removal. Out: TakenUp.forget_gone.
"""

from __future__ import annotations

import logging
import threading

from containeragent.containers.taken_up import TakenUp
from containeragent.events.bus import Bus
from containeragent.events.event import REMOVED

log = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0


class Forgetter:
    """Runs until it is stopped."""

    def __init__(self, taken_up: TakenUp, bus: Bus) -> None:
        self._taken_up = taken_up
        self._bus = bus
        self._due = threading.Event()
        self._stopping = False
        self._removals = bus.subscribe(lambda event: event.kind == REMOVED, self._due.set, capacity=1)
        self._thread = threading.Thread(target=self._run, name="forgetter", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """And wait for what is being told."""
        self._bus.unsubscribe(self._removals)
        self._stopping = True
        self._due.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping:
            self._due.wait(_LOOK_SECONDS)
            self._due.clear()
            self._removals.take()
            try:
                self._taken_up.forget_gone()
            except Exception:
                log.exception("subsystems were not told of removed containers, it is tried again")
