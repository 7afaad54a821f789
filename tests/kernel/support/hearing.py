# SPDX-License-Identifier: Apache-2.0
"""Limits that a test sets as the agent does, and what it is told of them."""

from __future__ import annotations

import time

from containeragent.counters.hits import LimitHit
from containeragent.counters.pinned import PinnedSource
from tests.kernel.support.containers import Container
from tests.kernel.support.counting import Counting
from tests.kernel.support.waiting import until


class Heard:
    """A source, and the hits that it tells."""

    def __init__(self, counting: Counting) -> None:
        self.source = PinnedSource(counting.pins)
        self.hits: list[tuple[float, LimitHit]] = []
        self.source.listen_limits(lambda hits: self.hits.extend((time.monotonic(), hit) for hit in hits))

    def all(self, count: int) -> list[LimitHit]:
        """Those that were told so far, waited for until there are so many; no more come."""
        until(lambda: len(self.hits), lambda number: number >= count, 5)
        time.sleep(0.2)
        assert len(self.hits) == count, self.hits
        return [hit for _, hit in self.hits]

    def counted(self, container: Container) -> tuple[int, int]:
        """Hits of tasks and of pages."""
        reading = self.source.snapshot().reading(container.id)
        assert reading is not None
        return reading.task_limit_hits, reading.page_limit_hits
