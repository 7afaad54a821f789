# SPDX-License-Identifier: Apache-2.0
"""Pins that somebody removed, put back from what the agent holds open.

Until that can be done, everything counts as long as the agent runs: it must not end for it, as all counters would go.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping

from containeragent.errors import Refused
from containeragent.pins import KINDS, Pins

log = logging.getLogger(__name__)

Descriptors = Mapping[str, Mapping[str, int]]  # by kind and name


class KeptPins:
    """`locks` are those that the agent holds; the agent's own goes with the folder, and is taken anew."""

    def __init__(self, pins: Pins, locks: contextlib.ExitStack) -> None:
        self._pins = pins
        self._locks = locks
        self.not_put_back = ""  # why not; empty while nothing is missing

    def look_after(self, descriptors: Descriptors) -> None:
        """Put back what is missing; tried at each call, said once."""
        if not any(descriptors[kind].keys() - set(self._pins.names(kind)) for kind in KINDS):
            self.not_put_back = ""
            return
        gone = f"the pins under {self._pins.folder} were removed by someone"
        try:
            self._put_back(descriptors)
        except (Refused, OSError) as error:
            if not self.not_put_back:
                log.error("%s and cannot be put back, so counting ends with the agent: %s", gone, error)
            self.not_put_back = str(error)
            return
        log.error("%s; they are put back", gone)
        self.not_put_back = ""

    def _put_back(self, descriptors: Descriptors) -> None:
        with self._pins.loader_lock():
            lock_is_gone = not self._pins.agent.is_dir()
            if not self._pins.finish_interrupted():
                self._pins.publish(descriptors)
            if lock_is_gone:
                self._locks.enter_context(self._pins.agent_lock())
