# SPDX-License-Identifier: Apache-2.0
"""What the agent is told by signals: SIGTERM and SIGINT end it, SIGHUP makes it read its definitions again."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType

log = logging.getLogger(__name__)


class Signals:
    """Of this process, from now on. For its main thread."""

    def __init__(self) -> None:
        self._woken = threading.Event()
        self._stopped = self._reload = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._handle)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._reload = True
        else:
            log.info("stopping on %s", signal.Signals(number).name)
            self._stopped = True
        self._woken.set()

    def wait(self, seconds: float) -> bool:
        """At most so long; whether to go on."""
        self._woken.wait(seconds)
        self._woken.clear()
        return not self._stopped

    def take_reload(self) -> bool:
        """Whether a reload was asked for since this was asked."""
        asked, self._reload = self._reload, False
        return asked
