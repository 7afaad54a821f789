# SPDX-License-Identifier: Apache-2.0
"""The ladder above a page limit: which steps, in which order, and when."""

from __future__ import annotations

from hypothesis import given, strategies as st

from containeragent.limits.ladder import Standing, Step, decide
from containeragent.limits.model import Limits

LIMITS = Limits(page_limit=800)  # hard limit 900
MOST = 8.0


def walk(uses: list[tuple[float, int]], limits: Limits = LIMITS) -> list[tuple[float, Step]]:
    """Steps with their times, of a container whose use is looked at when the ladder wants it.

    `uses` are times from which on a use holds.
    """
    now, standing, steps = 0.0, None, []
    while now < 60:
        pages = [use for since, use in uses if since <= now][-1]
        decision = decide(pages, limits, standing, now, MOST)
        steps += [(round(now, 2), step) for step in decision.steps]
        standing = decision.standing
        if standing is None:
            return steps
        assert decision.look_in_seconds is not None and decision.look_in_seconds >= 0
        now += max(decision.look_in_seconds, 0.001)
    return steps


def test_nothing_at_or_below_the_limit() -> None:
    """Nor without one."""
    assert walk([(0, 800)]) == [] and walk([(0, 10**9)], Limits()) == []


def test_above_the_limit_memory_is_reclaimed() -> None:
    """At once, and again ever more seldom; nothing else below 112.5 %."""
    steps = walk([(0, 900), (24, 800)])
    assert [step for _, step in steps] == [Step.RECLAIM] * 6
    assert [round(at) for at, _ in steps] == [0, 1, 3, 7, 15, 23]


def test_near_the_hard_limit_it_is_looked_at_often() -> None:
    """The notice of the crossing may have come already."""
    limits = Limits(page_limit=800)
    near, far = (decide(pages, limits, None, 0, MOST, slack_pages=20).look_in_seconds for pages in (890, 870))
    assert near is not None and far is not None and near < 0.02 < far


def test_waits_double_up_to_the_most() -> None:
    """1, 2, 4, 8, 8 seconds, with a moment between them."""
    steps = [(at, step) for at, step in walk([(0, 1000)]) if step is not Step.RECLAIM]
    assert [step for _, step in steps[:8]] == [Step.STOP, Step.GO_ON] * 4
    waits = [round(end - begin) for (begin, _), (end, _) in zip(steps[0::2], steps[1::2], strict=False)]
    assert waits[:5] == [1, 2, 4, 8, 8]


def test_it_goes_on_as_soon_as_it_is_below() -> None:
    """Not at the end of its wait; and begins with a second again."""
    steps = [
        (at, step) for at, step in walk([(0, 1000), (1.5, 850), (5, 1000), (5.3, 700)]) if step is not Step.RECLAIM
    ]
    assert [step for _, step in steps] == [Step.STOP, Step.GO_ON, Step.STOP, Step.GO_ON, Step.STOP, Step.GO_ON]
    assert steps[3][0] <= 1.6 and steps[5][0] <= 5.4


def test_it_is_ended_when_asked_for() -> None:
    """After its time above the limit; never without."""
    steps = walk([(0, 850)], Limits(page_limit=800, kill_after_seconds=2.5))
    assert steps[-1] == (2.5, Step.KILL)
    assert walk([(0, 850)], Limits(page_limit=800, kill_after_seconds=0)) == [(0.0, Step.KILL)]


@given(st.lists(st.integers(700, 1000), min_size=1, max_size=60), st.none() | st.floats(0, 5))
def test_never_left_stopped(uses: list[int], kill_after: float | None) -> None:
    """Stops and goes alternate, and whoever is let go of the ladder alive is running."""
    limits, standing, stopped = Limits(page_limit=800, kill_after_seconds=kill_after), None, False
    for number, pages in enumerate([*uses, 0]):
        decision = decide(pages, limits, standing, number * 0.3, MOST)
        for step in decision.steps:
            assert step is not Step.STOP or not stopped
            assert step is not Step.GO_ON or stopped
            stopped = {Step.STOP: True, Step.GO_ON: False, Step.KILL: False}.get(step, stopped)
        standing = decision.standing
        assert stopped == (standing is not None and standing.stopped_until is not None)
    assert not stopped and isinstance(standing, Standing | None)
