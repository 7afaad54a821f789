# SPDX-License-Identifier: Apache-2.0
"""Limits in the kernel side: hits are counted exactly, and told once until they are to be told again."""

from __future__ import annotations

import contextlib
import threading

import pytest

from containeragent.counters.hits import Cause, Limit, LimitHit
from containeragent.errors import Refused
from containeragent.loader.load import load
from tests.kernel.conftest import MakeContainer
from tests.kernel.support.containers import Container
from tests.kernel.support.counting import Counting, no_say
from tests.kernel.support.hearing import Heard
from tests.kernel.support.running import Running
from tests.kernel.support.waiting import until

TASKS, PAGES = 10, 4096


def _kinds(hits: list[LimitHit]) -> list[tuple[Limit, Cause]]:
    return [(hit.limit, hit.cause) for hit in hits]


def _of(hits: list[LimitHit], container: Container) -> list[LimitHit]:
    return [hit for hit in hits if hit.cgroup_id == container.id]


@pytest.mark.every_engine
def test_page_limit(counting: Counting, heard: Heard, container: Container) -> None:
    """Each way up over the limit is a hit; 112.5 % of it is told too. Only the first is told, until it is armed."""
    heard.source.set_limits(container.id, None, PAGES)
    with Running(container, "limits", "waves", PAGES * 2, 3) as running:
        for at, rest in enumerate(running.rests()):
            if rest.label == "given back" and at == 4:
                assert heard.counted(container) == (0, 2)
                heard.source.rearm(container.id)
    first, second, third, fourth = heard.all(4)
    assert _kinds([first, second, third, fourth]) == [(Limit.PAGES, Cause.CROSSED), (Limit.STOP, Cause.CROSSED)] * 2
    assert heard.counted(container) == (0, 3)
    assert first.value == second.value == PAGES
    assert PAGES < first.usage <= PAGES + 512 and PAGES * 9 // 8 < second.usage <= PAGES * 9 // 8 + 512
    assert first.cgroup_id == container.id and first.task and first.task.pid == running.process.pid


def test_each_with_its_own_usage(heard: Heard, container: Container, make_container: MakeContainer) -> None:
    """Also where both were passed before anybody looked."""
    first, go_on = make_container("first"), threading.Event()
    told: list[LimitHit] = []

    def hear(hits: list[LimitHit]) -> None:
        told.extend(hits)
        go_on.wait(60)

    heard.source.listen_limits(hear)
    try:
        heard.source.set_limits(first.id, None, 1)
        heard.source.set_limits(container.id, None, PAGES)
        with Running(first, "limits", "waves", PAGES, 1) as one:
            for _ in one.rests():
                pass
        assert until(lambda: bool(told), bool, 5)
        with Running(container, "limits", "waves", PAGES * 2, 1) as other:
            for _ in other.rests():
                pass
    finally:
        go_on.set()
    usages = [hit.usage for hit in until(lambda: _of(told, container), lambda hits: len(hits) == 2, 5)]
    assert PAGES < usages[0] <= PAGES + 512 and PAGES * 9 // 8 < usages[1] <= PAGES * 9 // 8 + 512


def test_limit_of_an_ancestor(heard: Heard, make_container: MakeContainer) -> None:
    """It holds for the sum of what is below, and is told by its own name; each limit by itself."""
    top = make_container("top")
    middle = top.child("middle")
    first, second = middle.child("first"), middle.child("second")
    heard.source.set_limits(top.id, None, 64)
    heard.source.set_limits(middle.id, None, 2 * PAGES)
    with Running(first, "limits", "waves", PAGES, 1) as one, Running(second, "limits", "waves", PAGES, 1) as other:
        for _ in zip(one.rests(), other.rests(), strict=True):
            pass
    hits = [hit for _, hit in heard.hits]
    assert [(hit.cgroup_id, hit.limit, hit.value) for hit in hits if hit.limit is Limit.PAGES] == [
        (top.id, Limit.PAGES, 64),
        (middle.id, Limit.PAGES, 2 * PAGES),
    ]
    assert heard.counted(first) == heard.counted(second) == (0, 0)


def test_set_below_what_is_used(heard: Heard, container: Container) -> None:
    """Accepted: it is a hit. The same again is none, and is told all the same. Lifted, it is none any more."""
    with Running(container, "limits", "waiting", 23) as running:
        for rest in running.rests():
            if rest.label != "all there":
                continue
            for limit, told in ((24, 0), (5, 1), (5, 2), (7, 3), (4, 4), (None, 4), (4, 5)):
                heard.source.set_limits(container.id, limit, None)
                hits = heard.all(told)
            assert {hit.cause for hit in hits} == {Cause.SET}
            assert [(hit.usage, hit.value) for hit in hits] == [(24, 5), (24, 5), (24, 7), (24, 4), (24, 4)]
            assert heard.counted(container) == (3, 0)


def test_hits_stay_with_the_record(heard: Heard, counting: Counting, make_container: MakeContainer) -> None:
    """Of a container that is gone; one that takes its slot begins without limits and hits."""
    container = make_container("gone")
    heard.source.set_limits(container.id, None, 64)
    with Running(container, "limits", "waves", PAGES, 1) as running:
        for _ in running.rests():
            pass
    container.remove()
    end = next(end for end in heard.source.ends() if end.cgroup_id == container.id)
    assert end.page_limit_hits >= 1
    assert heard.hits
    with pytest.raises(Refused, match="is not counted by itself"):
        heard.source.set_limits(container.id, 5, None)
    assert not counting.maps.groups["limited"][counting.slot(make_container("heir"))]


def test_limits_outlive_a_replacement(own: Counting, make_container: MakeContainer) -> None:
    """Of the programs: the maps go on. An agent that follows it hears as before."""
    container = make_container("limited")
    heard = Heard(own)
    try:
        heard.source.set_limits(container.id, None, PAGES)
        load(own.options, True, no_say)
        heard.source.upkeep()
        with Running(container, "limits", "waves", PAGES * 2, 1) as running:
            for _ in running.rests():
                pass
        heard.all(2)
        assert heard.counted(container) == (0, 1)
    finally:
        heard.source.close()


def test_armed_again_while_it_is_hit(heard: Heard, container: Container) -> None:
    """A hit that is noted and whose notice is on its way is told, however often the limit is armed meanwhile."""
    heard.source.set_limits(container.id, None, PAGES)
    ended = threading.Event()

    def arm() -> None:
        while not ended.is_set():
            heard.source.rearm(container.id)

    def told() -> int:
        return [hit.limit for _, hit in heard.hits].count(Limit.PAGES)

    with Running(container, "limits", "waves", PAGES * 2, 23) as running, contextlib.ExitStack() as stack:
        for thread in [threading.Thread(target=arm) for _ in range(2)]:
            thread.start()
            stack.callback(thread.join)
        stack.callback(ended.set)
        touched = 0
        for rest in running.rests():
            touched += rest.label == "touched"
            assert until(told, touched.__le__, 5) == touched
    assert touched == 23 == heard.counted(container)[1]


def test_storm(heard: Heard, container: Container) -> None:
    """Thousands of hits in a second are counted and wake nobody after the first."""
    heard.source.set_limits(container.id, None, 4096)
    with Running(container, "limits", "waves", 8192, 23) as running:
        for _ in running.rests():
            pass
    assert heard.counted(container) == (0, 23)
    heard.all(2)
