# SPDX-License-Identifier: Apache-2.0
"""Who is told of is looked at until nothing is left to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from containeragent.counters.hits import Cause, Limit, LimitHit, Task
from containeragent.counters.source import Source
from containeragent.limits import agent_hits
from containeragent.limits.agent_hits import AGAIN_SECONDS, AgentHits
from containeragent.limits.entry import Entry
from containeragent.limits.excess import Excess
from containeragent.limits.holders import Modes
from containeragent.limits.keeper import Keeper

WEB = 23


class Host:
    """Source, keeper and excess in one; `answers` are what comes of looks at its tasks, then all is settled."""

    def __init__(self) -> None:
        self.answers: list[bool | Exception] = []
        self.done: list[tuple[str, float]] = []
        self.told: list[tuple[Any, ...]] = []
        self.hear: Callable[[list[LimitHit]], None] = lambda _: None
        self.looked = threading.Semaphore(0)
        self.hits = AgentHits(cast(Source, self), cast(Keeper, self), cast(Excess, self))
        self.hits.start()

    def listen_limits(self, hear: Callable[[list[LimitHit]], None]) -> None:
        self.hear = hear

    def rearm(self, cgroup_id: int) -> None:
        self.done.append(("rearm", time.monotonic()))

    def above(self, cgroup_id: int) -> None:
        self.done.append(("above", time.monotonic()))

    def entry(self, cgroup_id: int) -> Entry | None:
        return Entry(("web",), Modes("agent", "agent")) if cgroup_id == WEB else None

    def hit(self, *told: Any) -> None:
        self.told.append(told)
        self.done.append(("hit", time.monotonic()))

    def end(self, cgroup_id: int) -> bool:
        self.done.append(("end", time.monotonic()))
        answer = self.answers.pop(0) if self.answers else True
        self.looked.release()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def times(self, kind: str) -> list[float]:
        return [at for what, at in self.done if what == kind]


@pytest.fixture
def host() -> Iterator[Host]:
    """Listening."""
    made = Host()
    yield made
    made.hits.close()


def hit(limit: Limit, cause: Cause) -> LimitHit:
    return LimitHit(WEB, limit, cause, 6, 5, Task(7, "bomb"))


def wait_for(host: Host, looks: int) -> None:
    """And no more of them come in the time after which the next would be."""
    for _ in range(looks):
        assert host.looked.acquire(timeout=10)
    assert not host.looked.acquire(timeout=2 * AGAIN_SECONDS)


def test_a_crossing_is_looked_at_now_and_again(host: Host) -> None:
    """It is armed before each look. So what comes during a look, and is told no more, is seen by the next."""
    host.hear([hit(Limit.TASKS, Cause.CROSSED)])
    wait_for(host, 2)
    first, second = host.times("end")
    assert second - first > AGAIN_SECONDS * 0.9
    assert [what for what, _ in host.done if what != "hit"] == ["rearm", "end"] * 2
    assert len(host.times("hit")) == 1


def test_whoever_is_not_back_is_looked_at_again(host: Host) -> None:
    """As long as it takes, without being told."""
    host.answers = [False] * 4
    host.hear([hit(Limit.TASKS, Cause.CROSSED)])
    wait_for(host, 5)


@pytest.mark.parametrize("cause", [Cause.DENIED, Cause.SET])
def test_other_causes_are_looked_at_later(host: Host, cause: Cause) -> None:
    """One notice may tell of several hits: with its own cause."""
    host.hear([hit(Limit.TASKS, cause)])
    wait_for(host, 1)
    assert len(host.told) == (cause is Cause.DENIED)  # of what is set below present use, who sets it tells


def test_a_page_limit_ends_no_tasks(host: Host) -> None:
    """Who looks after pages is woken at once, and when it may be told again."""
    host.hear([hit(Limit.STOP, Cause.CROSSED)])
    wait_for(host, 0)
    assert [what for what, _ in host.done] == ["above", "rearm", "above"]


def test_a_failure_is_tried_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """But not at once."""
    monkeypatch.setattr(agent_hits, "_FAILED_SECONDS", 0.1)
    host.answers = [OSError("no"), OSError("no")]
    host.hits.look(WEB)
    wait_for(host, 3)
    assert all(later - before > 0.09 for before, later in zip(host.times("end"), host.times("end")[1:], strict=False))


def test_the_thread(host: Host) -> None:
    """It keeps nobody from ending, and is gone when that is asked for."""
    assert host.hits._thread.daemon and host.hits._thread.name == "limit-hits-again"
    host.hits.close()
    assert not host.hits._thread.is_alive()


def test_one_that_is_gone_has_nothing_told(host: Host) -> None:
    """Of whoever has its number next, everything is told."""
    host.hear([hit(Limit.TASKS, Cause.DENIED), hit(Limit.PAGES, Cause.CROSSED)])
    host.hear([hit(Limit.TASKS, Cause.DENIED), hit(Limit.PAGES, Cause.CROSSED)])
    assert len(host.times("hit")) == 2
    host.hits.forget(WEB)
    assert host.hits._told == {}
    host.hear([hit(Limit.TASKS, Cause.DENIED), hit(Limit.PAGES, Cause.CROSSED)])
    assert len(host.times("hit")) == 4


def test_what_is_told(host: Host) -> None:
    """With the task that was at work, where it is known; of who never had limits, nothing."""
    host.hear([hit(Limit.TASKS, Cause.CROSSED), LimitHit(WEB, Limit.PAGES, Cause.CROSSED, 9, 8, None)])
    host.hear([LimitHit(WEB + 1, Limit.PAGES, Cause.CROSSED, 9, 8, None)])
    assert host.told == [
        (("web",), "tasks", 6, 5, {"pid": 7, "comm": "bomb"}),
        (("web",), "pages", 9, 8, None),
    ]  # fmt: skip


def test_a_storm_is_told_now_and_then(host: Host) -> None:
    """Once in AGAIN_SECONDS."""
    for _ in range(9):
        host.hear([hit(Limit.TASKS, Cause.CROSSED)])
    assert len(host.told) == 1
    time.sleep(AGAIN_SECONDS)
    host.hear([hit(Limit.TASKS, Cause.CROSSED)])
    assert len(host.told) == 2


def test_nothing_is_done_while_nothing_happens(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits, also when everything is settled."""
    waits: list[Any] = []
    wait = host.hits._wait

    def noted() -> Any:
        waits.append(wait)
        return wait()

    monkeypatch.setattr(host.hits, "_wait", noted)
    host.hear([hit(Limit.TASKS, Cause.CROSSED)])
    wait_for(host, 2)
    assert len(waits) == 2
