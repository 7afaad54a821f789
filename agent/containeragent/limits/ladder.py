# SPDX-License-Identifier: Apache-2.0
"""What to do about a container above its page limit, step by step: reclaim, stop it for longer and longer, end it.

In: its use now, its limits, what was done so far. Out: what to do, and when to look again. Nothing is done here, so a
dry run takes the same steps. They are those of the over-limit handler of 2006: above 112.5 % of the limit a task
sleeps, first a second, then twice as long each time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

from containeragent.limits.model import Limits

FIRST_WAIT_SECONDS = 1.0
GAP_SECONDS = 0.1  # between two waits, so that the container can free memory itself
RECLAIM_SECONDS = 1.0  # doubled each time, for what could be had was had at first
LOOK_SECONDS = 0.25
LOOK_NEAR_SECONDS = 0.01
LOOK_STOPPED_SECONDS = 0.05  # so that it goes on soon after it is below


class Step(Enum):
    """One thing to do."""

    RECLAIM = auto()
    STOP = auto()
    GO_ON = auto()
    KILL = auto()


@dataclass(frozen=True)
class Standing:
    """How far a container is up the ladder; times are of one monotonic clock, in seconds."""

    above_since: float
    wait_seconds: float = FIRST_WAIT_SECONDS
    stopped_until: float | None = None  # None: it runs
    runs_until: float = 0.0
    reclaim_at: float = 0.0
    reclaim_seconds: float = RECLAIM_SECONDS


@dataclass(frozen=True)
class Decision:
    """`standing` is None once the container is at its limit or below, or ended: then it need not be looked at again."""

    steps: tuple[Step, ...]
    standing: Standing | None
    look_in_seconds: float | None


def decide(
    pages: int, limits: Limits, standing: Standing | None, now: float, most_seconds: float, *, slack_pages: int = 0
) -> Decision:
    """What to do about a container that uses `pages`; a wait is never longer than `most_seconds`.

    `slack_pages`: so much above `pages` may be what the notice of a crossing was about, and no other comes.
    """
    if limits.page_limit is None or pages <= limits.page_limit:
        return Decision(_go_on(standing), None, None)
    standing = standing or Standing(above_since=now)
    if limits.kill_after_seconds is not None and now - standing.above_since >= limits.kill_after_seconds:
        return Decision((Step.KILL,), None, None)
    steps, standing = _reclaim(standing, now, most_seconds)
    if pages > (limits.hard_page_limit or 0):
        more, standing = _throttle(standing, now, most_seconds)
    else:
        more, standing = _go_on(standing), replace(standing, stopped_until=None, wait_seconds=FIRST_WAIT_SECONDS)
    near = pages <= (limits.hard_page_limit or 0) < pages + slack_pages
    return Decision(steps + more, standing, min(_look_in(limits, standing, now), LOOK_NEAR_SECONDS if near else 1.0))


def _go_on(standing: Standing | None) -> tuple[Step, ...]:
    return (Step.GO_ON,) if standing and standing.stopped_until is not None else ()


def _reclaim(standing: Standing, now: float, most_seconds: float) -> tuple[tuple[Step, ...], Standing]:
    if now < standing.reclaim_at:
        return (), standing
    seconds = min(standing.reclaim_seconds, most_seconds)
    return (Step.RECLAIM,), replace(standing, reclaim_at=now + seconds, reclaim_seconds=seconds * 2)


def _throttle(standing: Standing, now: float, most_seconds: float) -> tuple[tuple[Step, ...], Standing]:
    """Stop it for a while, let it run for a moment, stop it for twice as long."""
    if standing.stopped_until is None:
        if now < standing.runs_until:
            return (), standing
        return (Step.STOP,), replace(standing, stopped_until=now + min(standing.wait_seconds, most_seconds))
    if now < standing.stopped_until:
        return (), standing
    longer = min(standing.wait_seconds * 2, most_seconds)
    return (Step.GO_ON,), replace(standing, stopped_until=None, runs_until=now + GAP_SECONDS, wait_seconds=longer)


def _look_in(limits: Limits, standing: Standing, now: float) -> float:
    seconds = LOOK_SECONDS if standing.stopped_until is None else LOOK_STOPPED_SECONDS
    if standing.stopped_until is None and standing.runs_until > now:
        seconds = min(seconds, standing.runs_until - now)
    if limits.kill_after_seconds is not None:
        seconds = min(seconds, max(0.0, standing.above_since + limits.kill_after_seconds - now))
    return seconds
