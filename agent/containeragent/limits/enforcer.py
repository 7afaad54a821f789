# SPDX-License-Identifier: Apache-2.0
"""Takes the steps of the ladder: a thread that sleeps while no container is above its page limit.

In: cgroup ids of containers that hit their page limit, or whose limits changed. Out: reclaim, stop, go on, kill, each
with an event and counted; of a dry run only the events and the numbers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from containeragent.cgroups.tree import Parts
from containeragent.errors import Refused
from containeragent.events.event import KILL, THROTTLE_BEGIN, THROTTLE_END
from containeragent.limits import ladder
from containeragent.limits.hands import Hands
from containeragent.limits.keeper import Keeper
from containeragent.limits.ladder import Standing, Step
from containeragent.limits.model import Limits
from containeragent.limits.reclaimer import Reclaimer

log = logging.getLogger(__name__)

Because = Callable[[int, str], None]


@dataclass
class _Climber:
    """Above its limit. `stopped_at` is when it was stopped; None: it runs, or is only said to be stopped."""

    standing: Standing
    look_at: float
    stopped_at: float | None = None


class _Seen(NamedTuple):
    cgroup_id: int
    parts: Parts
    limits: Limits
    pages: int


class Enforcer:
    """Runs until it is closed; then everything that it stopped goes on."""

    def __init__(self, keeper: Keeper, hands: Hands, because: Because, most_seconds: float) -> None:
        """A container is stopped for at most `most_seconds` at a time. `because` is told why one will end."""
        self._keeper = keeper
        self._hands = hands
        self._because = because
        self._most_seconds = most_seconds
        self._climbers: dict[int, _Climber] = {}
        self._woken: set[int] = set()
        self._closed = False
        self._change = threading.Condition()
        self.steps: Counter[tuple[str, bool]] = Counter()  # by kind of event, and whether it was a dry run
        self._reclaimer = Reclaimer(hands, self._say)
        self._thread = threading.Thread(target=self._run, name="limits", daemon=True)
        self._thread.start()

    def wake(self, cgroup_id: int) -> None:
        """Look at a container now. From any thread; never waits."""
        with self._change:
            self._woken.add(cgroup_id)
            self._change.notify()

    def close(self) -> None:
        """Let everything go on."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()
        self._reclaimer.close()
        for cgroup_id in list(self._climbers):
            self._let_go(cgroup_id)

    def _run(self) -> None:
        while (due := self._wait()) is not None:
            for cgroup_id in due:
                try:
                    self._look(cgroup_id)
                except Refused as error:  # it goes at this moment
                    log.info("the page limit of the cgroup %d is left alone: %s", cgroup_id, error.message)
                    self._let_go(cgroup_id)
                except Exception:
                    log.exception("the page limit of the cgroup %d cannot be looked after", cgroup_id)
                    self._let_go(cgroup_id)

    def _wait(self) -> set[int] | None:
        """Until somebody is to be looked at; None at the end."""
        with self._change:
            while not self._closed:
                now = time.monotonic()
                due = self._woken | {number for number, one in self._climbers.items() if one.look_at <= now}
                self._woken = set()
                if due:
                    return due
                next_look = min((one.look_at for one in self._climbers.values()), default=None)
                self._change.wait(None if next_look is None else next_look - now)
        return None

    def _look(self, cgroup_id: int) -> None:
        entry = self._keeper.entry(cgroup_id)
        if entry is None:
            self._climbers.pop(cgroup_id, None)
            return
        limits, climber = entry.kept.limits, self._climbers.get(cgroup_id)
        if climber and climber.stopped_at is not None and limits.dry_run:
            self._let_go(cgroup_id)
            climber = None
        pages, now = self._hands.look(entry.parts, cgroup_id, limits) or 0, time.monotonic()
        standing, slack_pages = climber.standing if climber else None, self._hands.slack_pages(limits)
        decision = ladder.decide(pages, limits, standing, now, self._most_seconds, slack_pages=slack_pages)
        if decision.standing is not None:
            climber = climber or self._climbers.setdefault(cgroup_id, _Climber(decision.standing, now))
            climber.standing, climber.look_at = decision.standing, now + (decision.look_in_seconds or 0)
        for step in decision.steps:
            self._take(step, _Seen(cgroup_id, entry.parts, limits, pages), climber)
        if decision.standing is None:
            self._climbers.pop(cgroup_id, None)

    def _take(self, step: Step, seen: _Seen, climber: _Climber | None) -> None:
        parts, limits = seen.parts, seen.limits
        use = {"usage_pages": seen.pages, "limit_pages": limits.page_limit}
        if step is Step.RECLAIM:
            self._reclaimer.ask(*seen)
        elif step is Step.STOP and climber:
            if not limits.dry_run and self._hands.freezer.stop(parts, self):
                climber.stopped_at = time.monotonic()
            seconds = min(climber.standing.wait_seconds, self._most_seconds)
            self._say(THROTTLE_BEGIN, parts, limits.dry_run, **use, seconds=seconds)
        elif step is Step.GO_ON:
            self._say(THROTTLE_END, parts, limits.dry_run, **use, seconds=self._go_on(seen.cgroup_id, parts, climber))
        elif step is Step.KILL:
            self._kill(seen, climber)

    def _kill(self, seen: _Seen, climber: _Climber | None) -> None:
        limits = seen.limits
        reason = f"above its page limit of {limits.page_limit} pages for {limits.kill_after_seconds:g} s"
        if not limits.dry_run:
            self._because(seen.cgroup_id, f"killed: {reason}")
            self._hands.kill(seen.parts)
            self._go_on(seen.cgroup_id, seen.parts, climber)
        self._say(KILL, seen.parts, limits.dry_run, reason=reason)

    def _go_on(self, cgroup_id: int, parts: Parts, climber: _Climber | None) -> float:
        """How long it was stopped."""
        if climber is None or climber.stopped_at is None:
            return 0.0
        self._hands.freezer.go_on(parts, self)
        seconds = time.monotonic() - climber.stopped_at
        climber.stopped_at = None
        self._keeper.add_throttled(cgroup_id, seconds)
        return round(seconds, 3)

    def _let_go(self, cgroup_id: int) -> None:
        climber, entry = self._climbers.pop(cgroup_id, None), self._keeper.entry(cgroup_id)
        if climber and entry:
            try:
                self._go_on(cgroup_id, entry.parts, climber)
            except Refused as error:
                log.info("the cgroup %d is not stopped any more: %s", cgroup_id, error.message)

    def _say(self, kind: str, parts: Parts, dry_run: bool, **details: Any) -> None:
        self.steps[kind, dry_run] += 1
        self._keeper.publish(kind, parts, **details, **({"dry_run": True} if dry_run else {}))
