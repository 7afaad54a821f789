# SPDX-License-Identifier: Apache-2.0
"""One change at a time: two creates, create against rm. What is shown afterwards has it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from containeragent.counters.source import Source


class Changes:
    """Of the containers of one tree."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Alone. Nothing that was read before it is shown after it."""
        with self._lock:
            self._source.changed()
            try:
                yield
            finally:
                self._source.changed()
