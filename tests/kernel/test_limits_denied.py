# SPDX-License-Identifier: Apache-2.0
"""Forks beyond a task limit are denied in the kernel, exactly, also when many fork at the same time."""

from __future__ import annotations

import threading
import time

import pytest

from containeragent.counters.hits import Cause, Limit
from containeragent.loader.load import load
from tests.kernel.conftest import MakeContainer
from tests.kernel.support.containers import Container
from tests.kernel.support.counting import Counting, no_say
from tests.kernel.support.hearing import Heard
from tests.kernel.support.running import Running

LIMIT, FORKERS, SECONDS = 12, 8, 10


def _starting(counting: Counting) -> list[int]:
    """Slots with tasks that may start and did not."""
    return [int(number) for number in counting.maps.groups["starting"].nonzero()[0]]


@pytest.mark.every_engine
def test_parallel_forkers(counting: Counting, heard: Heard, container: Container) -> None:
    """Never more than the limit at any sample; each denial is an EAGAIN in the program and a hit; one is told."""
    assert heard.source.denies_forks
    heard.source.set_limits(container.id, LIMIT, None)
    samples, ended = [0], threading.Event()

    def sample() -> None:
        while not ended.is_set():
            reading = heard.source.snapshot().reading(container.id)
            samples.append(reading.total["tasks"] if reading else -1)
            time.sleep(0.001)

    sampling = threading.Thread(target=sample)
    sampling.start()
    try:
        with Running(container, "limits", "forkers", FORKERS, SECONDS) as running:
            *_, last = running.rests()
    finally:
        ended.set()
        sampling.join()
    assert min(samples) >= 0 and max(samples) <= LIMIT
    assert len(samples) > 100
    reading = counting.reading(container)
    assert reading.peak_tasks == LIMIT
    assert last.facts["denied"] > 23 and last.facts["forked"] > 23
    assert heard.counted(container) == (last.facts["denied"], 0)
    assert reading.forks == last.facts["forked"] + FORKERS
    (hit,) = heard.all(1)
    assert (hit.cgroup_id, hit.limit, hit.cause, hit.value) == (container.id, Limit.TASKS, Cause.DENIED, LIMIT)
    assert hit.usage <= LIMIT and hit.task is not None
    assert _starting(counting) == []


def test_tightest_ancestor(counting: Counting, heard: Heard, make_container: MakeContainer) -> None:
    """The limit over a subtree denies below it; whose limit has room has no hit."""
    top = make_container("top")
    below = top.child("below")
    heard.source.set_limits(top.id, LIMIT, None)
    heard.source.set_limits(below.id, 4 * LIMIT, None)
    with Running(below, "limits", "forkers", FORKERS, 2) as running:
        *_, last = running.rests()
    assert heard.counted(top) == (last.facts["denied"], 0) and last.facts["denied"]
    assert heard.counted(below) == (0, 0)
    assert _starting(counting) == []


def test_replacement_while_forking(own: Counting, make_container: MakeContainer) -> None:
    """While two versions of the programs are asked, each fork is reserved and each denial counted once."""
    container = make_container("replaced")
    heard = Heard(own)
    try:
        heard.source.set_limits(container.id, LIMIT, None)
        with Running(container, "limits", "forkers", FORKERS, 6 * SECONDS) as running:
            for rest in running.rests():
                if rest.label == "forking":
                    load(own.options, True, no_say)
        assert heard.counted(container) == (rest.facts["denied"], 0) and rest.facts["denied"]
        own.map_again()
        assert own.reading(container).peak_tasks == LIMIT
        assert _starting(own) == []
    finally:
        heard.source.close()


def test_forks_that_fail_late(counting: Counting, heard: Heard, container: Container) -> None:
    """What was reserved for them is given back: they leave no hole in the limit."""
    heard.source.set_limits(container.id, 2, None)
    with Running(container, "limits", "failing_forks", 23) as running:
        for _ in running.rests():
            assert _starting(counting) == []
    assert counting.reading(container).forks == 23
    assert heard.counted(container) == (0, 0)


def test_child_that_begins_elsewhere(heard: Heard, counting: Counting, make_container: MakeContainer) -> None:
    """CLONE_INTO_CGROUP: it is not denied, and told as beyond the limit of where it begins."""
    parent, other = make_container("parent"), make_container("other")
    heard.source.set_limits(other.id, 5, None)
    heard.source.set_limits(parent.id, 1, None)
    with Running(parent, "tasks", "into_cgroup", other.path) as running:
        for _ in running.rests():
            pass
    assert heard.counted(parent) == (0, 0)
    assert heard.counted(other) == (23 - 5, 0)  # of those that are there at the same time
    (hit,) = heard.all(1)
    assert (hit.cgroup_id, hit.cause, hit.usage) == (other.id, Cause.CROSSED, 6)
    assert _starting(counting) == []
