# SPDX-License-Identifier: Apache-2.0
"""Reclaims memory of containers in a thread of its own: it may take a while, and who must be stopped cannot wait.

In: containers and how many pages they are to give back. Out: an event with the pages before and after.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import NamedTuple

from containeragent.cgroups.tree import Parts
from containeragent.errors import Refused
from containeragent.events.event import RECLAIM
from containeragent.limits.hands import Hands
from containeragent.limits.model import Limits

log = logging.getLogger(__name__)

Say = Callable[..., None]


class _Job(NamedTuple):
    cgroup_id: int
    parts: Parts
    limits: Limits
    pages: int


class Reclaimer:
    """One container at a time, each waits once."""

    def __init__(self, hands: Hands, say: Say) -> None:
        self._hands = hands
        self._say = say
        self._waiting: set[int] = set()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="reclaim", daemon=True)
        self._thread.start()

    def ask(self, cgroup_id: int, parts: Parts, limits: Limits, pages: int) -> None:
        """`pages` are in use now."""
        if cgroup_id not in self._waiting:
            self._waiting.add(cgroup_id)
            self._jobs.put(_Job(cgroup_id, parts, limits, pages))

    def close(self) -> None:
        """Not longer than a moment: what is being reclaimed is nobody's loss."""
        self._jobs.put(None)
        self._thread.join(timeout=2)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._reclaim(job)
            except Refused:  # it goes at this moment
                pass
            except Exception:
                log.exception("memory of the cgroup %d cannot be reclaimed", job.cgroup_id)
            self._waiting.discard(job.cgroup_id)

    def _reclaim(self, job: _Job) -> None:
        after: int | None = job.pages
        if not job.limits.dry_run:
            self._hands.reclaim(job.parts, job.pages - (job.limits.page_limit or 0))
            after = self._hands.usage(job.parts, job.cgroup_id, job.limits)
        self._say(RECLAIM, job.parts, job.limits.dry_run, pages_before=job.pages, pages_after=after)
