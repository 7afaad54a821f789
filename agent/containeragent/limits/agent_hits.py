# SPDX-License-Identifier: Apache-2.0
"""Hears of limits that the programs hold.

In: notices of the kernel side, which tells of one hit of each limit until it is asked to tell again. Out: events, a
wake for who takes the steps above a page limit, tasks beyond a task limit ended where forks cannot be denied.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict

from containeragent.counters.hits import Cause, Limit, LimitHit
from containeragent.counters.source import Source
from containeragent.errors import Refused
from containeragent.limits.excess import Excess
from containeragent.limits.keeper import Keeper

log = logging.getLogger(__name__)

AGAIN_SECONDS = 0.25  # of a storm of hits of one container, one is told in that time; all are counted


class AgentHits:
    """Listens from `start` on."""

    def __init__(self, source: Source, keeper: Keeper, excess: Excess) -> None:
        self._source = source
        self._keeper = keeper
        self._excess = excess
        self._crowded: dict[int, int] = {}  # cgroup id -> tasks with the first one that is too many
        self._again: dict[int, float] = {}  # cgroup id -> when it may be told again
        self._told: dict[tuple[int, Limit], float] = {}  # cgroup id and limit -> when there may be an event again
        self._change = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="limit-hits-again", daemon=True)

    def start(self) -> None:
        """Before limits are set, so that nothing is missed."""
        self._thread.start()
        self._source.listen_limits(self._hear)

    def close(self) -> None:
        """Stop telling."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()

    def forget(self, cgroup_id: int) -> None:
        """It is gone."""
        for limit in Limit:
            self._told.pop((cgroup_id, limit), None)

    def _hear(self, found: list[LimitHit]) -> None:
        for hit in found:
            if hit.limit is not Limit.TASKS:
                self._keeper.above(hit.cgroup_id)  # first: it may have to be stopped at once
        again = time.monotonic() + AGAIN_SECONDS
        with self._change:
            for hit in found:
                self._again.setdefault(hit.cgroup_id, again)
                if hit.limit is Limit.TASKS and hit.cause is Cause.CROSSED:
                    known = self._crowded.get(hit.cgroup_id, hit.usage)
                    self._crowded[hit.cgroup_id] = min(known, hit.usage)
            self._change.notify()
        for hit in found:
            self._tell(hit)

    def _tell(self, hit: LimitHit) -> None:
        """Of what is set below present use, who sets it tells. A storm of hits is no storm of events."""
        entry, now = self._keeper.entry(hit.cgroup_id), time.monotonic()
        due = now >= self._told.get((hit.cgroup_id, hit.limit), 0)
        if entry and due and hit.limit is not Limit.STOP and hit.cause is not Cause.SET:
            self._told[hit.cgroup_id, hit.limit] = now + AGAIN_SECONDS
            task = None if hit.task is None else asdict(hit.task)
            self._keeper.hit(entry.parts, hit.limit.value, hit.usage, hit.value, task)

    def _run(self) -> None:
        while True:
            with self._change:
                if self._closed:
                    return
                now = time.monotonic()
                crowded, self._crowded = self._crowded, {}
                due = [number for number, at in self._again.items() if at <= now]
                for number in due:
                    del self._again[number]
                if not due and not crowded:
                    self._change.wait(min(self._again.values()) - now if self._again else None)
            for number, usage in crowded.items():
                self._do(number, functools.partial(self._excess.end, before=usage - 1))
            for number in due:
                self._do(number, self._tell_again)

    def _tell_again(self, cgroup_id: int) -> None:
        """What came in between is looked at, for nobody was told of it."""
        self._source.rearm(cgroup_id)
        self._keeper.above(cgroup_id)
        if not self._source.denies_forks:
            self._excess.end(cgroup_id)

    def _do(self, cgroup_id: int, step: Callable[[int], None]) -> None:
        try:
            step(cgroup_id)
        except Refused as error:  # it goes at this moment
            log.info("the limits of the cgroup %d are left alone: %s", cgroup_id, error.message)
        except Exception:
            log.exception("the limits of the cgroup %d cannot be looked after", cgroup_id)
