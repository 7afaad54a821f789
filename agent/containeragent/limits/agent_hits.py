# SPDX-License-Identifier: Apache-2.0
"""Hears of limits that the programs hold.

In: notices of the kernel side, which tells of one hit of each limit until it is asked to tell again. Out: events, a
wake for who takes the steps above a page limit, tasks beyond a task limit ended where forks cannot be denied.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import asdict

from containeragent.counters.hits import Cause, Limit, LimitHit
from containeragent.counters.source import Source
from containeragent.errors import Refused
from containeragent.limits.excess import Excess
from containeragent.limits.keeper import Keeper

log = logging.getLogger(__name__)

AGAIN_SECONDS = 0.25  # of a storm of hits of one container, one is told in that time; all are counted
_FAILED_SECONDS = 30.0


class AgentHits:
    """Listens from `start` on.

    Who was told of is looked at again until nothing is to be done: a notice says when to look, not what there is.
    """

    def __init__(self, source: Source, keeper: Keeper, excess: Excess) -> None:
        self._source = source
        self._keeper = keeper
        self._excess = excess
        # When to look at whose tasks, or pages; at a time that is over, it may be told again.
        self._looks: dict[tuple[int, Limit], float] = {}
        self._crowded: set[int] = set()  # to be looked at now, however long it will be told no more
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

    def look(self, cgroup_id: int) -> None:
        """It has another task limit. From any thread; never waits."""
        with self._change:
            self._crowded.add(cgroup_id)
            self._change.notify()

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
                tasks = hit.limit is Limit.TASKS
                self._looks.setdefault((hit.cgroup_id, Limit.TASKS if tasks else Limit.PAGES), again)
                if tasks and hit.cause is Cause.CROSSED:
                    self._crowded.add(hit.cgroup_id)
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
        while (due := self._wait()) is not None:
            for cgroup_id, limit in due:
                seconds = self._look(cgroup_id, limit)
                if seconds is not None:
                    with self._change:
                        self._looks.setdefault((cgroup_id, limit), time.monotonic() + seconds)

    def _wait(self) -> list[tuple[int, Limit]] | None:
        """Until somebody is to be looked at; None at the end."""
        with self._change:
            while not self._closed:
                now = time.monotonic()
                due = [one for one, at in self._looks.items() if at <= now]
                for one in due:
                    del self._looks[one]
                due += [(number, Limit.TASKS) for number in self._crowded if (number, Limit.TASKS) not in due]
                self._crowded.clear()
                if due:
                    return due
                self._change.wait(min(self._looks.values()) - now if self._looks else None)
        return None

    def _look(self, cgroup_id: int, limit: Limit) -> float | None:
        """Have the next hit told, then look at what is there. In how many seconds to look again; None: when told."""
        try:
            self._source.rearm(cgroup_id)
            if limit is not Limit.TASKS:
                self._keeper.above(cgroup_id)
            elif not self._excess.end(cgroup_id):
                return AGAIN_SECONDS
        except Refused as error:  # it goes at this moment
            log.info("the limits of the cgroup %d are left alone: %s", cgroup_id, error.message)
        except Exception:
            log.exception("the limits of the cgroup %d cannot be looked after", cgroup_id)
            return _FAILED_SECONDS
        return None
