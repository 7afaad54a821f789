# SPDX-License-Identifier: Apache-2.0
"""Limits in the maps: set by the program that knows the slots, and each hit told once until it is armed again."""

from __future__ import annotations

from typing import Any, cast

import pytest

from containeragent.counters.hits import Cause, Limit, LimitHit, LimitNotice, Task
from containeragent.counters.limits import Limits
from containeragent.counters.maps import CounterMaps
from containeragent.counters.records import LIMIT_ARMED, LIMIT_HIT, LIMIT_TOLD, NO_LIMIT, SLOT_FREE
from containeragent.errors import Refused
from containeragent.runnable import Runnable
from tests.unit.test_snapshot import CHILD, PARENT, FakeMaps

TASK = Task(23, "sh")
FLAGS = {Limit.TASKS: "tasks_flag", Limit.PAGES: "pages_flag", Limit.STOP: "stop_flag"}
USAGES = {Limit.TASKS: "tasks_at_hit", Limit.PAGES: "pages_at_hit", Limit.STOP: "stop_at_hit"}


class Made:
    """Limits over maps with /parent and /parent/child, and a program that finds slots as the kernel's does."""

    def __init__(self, maps: FakeMaps) -> None:
        self.maps = maps
        self.asked: list[tuple[int, ...]] = []
        self.limits = Limits(cast(CounterMaps, maps), cast(Runnable, self))

    def __call__(self, cgroup_id: int, task_limit: int, page_limit: int) -> int:
        """bpf/limits.c: the slot, or 0 of who has none."""
        self.asked.append((cgroup_id, task_limit, page_limit))
        slots = self.maps.slots
        found = [at for at in range(len(slots)) if slots[at]["cgroup_id"] == cgroup_id and slots[at]["state"]]
        return found[0] if found else 0

    def hit(self, slot: int, limit: Limit, usage: int = 9, value: int = 7) -> None:
        """Noted by the programs."""
        limits = self.maps.limits[slot]
        limits[FLAGS[limit]] = LIMIT_HIT
        limits[USAGES[limit]] = usage
        limits["task_limit" if limit is Limit.TASKS else "page_limit"] = value

    def flags(self, slot: int) -> list[int]:
        """Of tasks, pages, the stop."""
        return [int(self.maps.limits[slot][flag]) for flag in FLAGS.values()]

    def told(self, slot: int, cause: Cause = Cause.CROSSED) -> list[LimitHit]:
        """After a notice of this slot."""
        return self.limits.hits(LimitNotice(slot, cause, TASK))


@pytest.fixture
def made() -> Made:
    """Nothing limited yet."""
    return Made(FakeMaps())


def test_what_the_program_is_told(made: Made) -> None:
    """No limit is the largest number; one that is nearly as large is no overflow."""
    made.limits.set(100 + CHILD, 5, None)
    made.limits.set(100 + CHILD, None, 1 << 62)
    made.limits.set(100 + CHILD, 0, 23)
    assert made.asked == [
        (100 + CHILD, 5, NO_LIMIT),
        (100 + CHILD, NO_LIMIT, 1 << 60),
        (100 + CHILD, 0, 23),
    ]  # fmt: skip


def test_who_has_no_slot_has_no_limit(made: Made) -> None:
    """Nor is one taken away where there is none to take."""
    for limits in ((5, 7), (None, None)):
        with pytest.raises(Refused, match="cgroup 999 is not counted by itself") as refused:
            made.limits.set(999, *limits)
        assert refused.value.code == "ENOENT"


@pytest.mark.parametrize("limit", Limit)
def test_a_hit_is_told_once(made: Made, limit: Limit) -> None:
    """With what was noted at that moment; again when it is armed."""
    made.limits.set(100 + CHILD, 7, 7)
    made.hit(CHILD, limit)
    wanted = [LimitHit(100 + CHILD, limit, Cause.DENIED, 9, 7, TASK)]
    assert made.told(CHILD, Cause.DENIED) == wanted
    assert made.told(CHILD) == [] and made.flags(CHILD).count(LIMIT_TOLD) == 1
    made.limits.rearm(100 + CHILD)
    assert made.flags(CHILD) == [LIMIT_ARMED] * 3
    made.hit(CHILD, limit)
    assert made.told(CHILD, Cause.DENIED) == wanted


def test_all_limits_of_one(made: Made) -> None:
    """Hit at the same time."""
    made.limits.set(100 + CHILD, 7, 7)
    for limit in Limit:
        made.hit(CHILD, limit)
    assert [hit.limit for hit in made.told(CHILD)] == list(Limit)


def test_each_limit_has_its_own_usage(made: Made) -> None:
    """Pages go past the limit and past the stop before the agent has looked."""
    made.limits.set(100 + CHILD, 7, 7)
    for usage, limit in enumerate(Limit, 7):
        made.hit(CHILD, limit, usage)
    assert [hit.usage for hit in made.told(CHILD)] == [7, 8, 9]


def test_one_that_is_not_told_yet_will_be(made: Made) -> None:
    """Though it is armed meanwhile."""
    made.limits.set(100 + CHILD, 7, 7)
    made.hit(CHILD, Limit.PAGES)
    made.limits.rearm(100 + CHILD)
    assert [hit.limit for hit in made.told(CHILD)] == [Limit.PAGES]


def test_from_the_slot_up(made: Made) -> None:
    """The notice names the one where it began; ancestors have limits too, and others are not looked at."""
    made.maps.enter(9, 1, 1)
    for slot in (CHILD, PARENT, 1, 9):
        made.limits.set(100 + slot, 7, 7)
        made.hit(slot, Limit.TASKS)
    assert [hit.cgroup_id for hit in made.told(CHILD)] == [100 + CHILD, 100 + PARENT, 101]
    assert made.flags(9)[0] == LIMIT_HIT


def test_a_notice_of_a_slot_that_is_anothers_by_now(made: Made) -> None:
    """All that are noted are taken then, so that none is left behind."""
    for slot in (CHILD, PARENT):
        made.limits.set(100 + slot, 7, 7)
    made.hit(CHILD, Limit.STOP)
    made.hit(PARENT, Limit.TASKS)
    found = made.told(12, Cause.SET)
    assert [(hit.cgroup_id, hit.limit, hit.cause, hit.task) for hit in found] == [
        (100 + PARENT, Limit.TASKS, Cause.SET, TASK),
        (100 + CHILD, Limit.STOP, Cause.SET, TASK),
    ]


def test_what_no_notice_told_of(made: Made) -> None:
    """Nobody knows whose task it was."""
    made.limits.set(100 + CHILD, 7, 7)
    assert made.limits.untold() == []
    made.hit(CHILD, Limit.PAGES)
    assert made.limits.untold() == [LimitHit(100 + CHILD, Limit.PAGES, Cause.CROSSED, 9, 7, None)]
    assert made.limits.untold() == []


def test_all_of_one_that_no_notice_told_of(made: Made) -> None:
    """Every flag is looked at."""
    made.limits.set(100 + CHILD, 7, 7)
    for limit in Limit:
        made.hit(CHILD, limit)
    assert [hit.limit for hit in made.limits.untold()] == list(Limit)


def test_a_slot_without_limits(made: Made) -> None:
    """Whatever is left in it, also of the root of all cgroups, whose id is 1."""
    made.maps.enter(13, 0, 0)
    made.maps.slots[13]["cgroup_id"] = 1
    for slot in (12, 13):
        made.hit(slot, Limit.TASKS)
        assert made.told(slot) == []


def test_a_slot_that_another_has_by_now(made: Made) -> None:
    """Its hits are nobody's whose limits are known, and it is not armed for who had it."""
    made.limits.set(100 + CHILD, 7, 7)
    made.maps.slots[CHILD]["cgroup_id"] = 555
    made.hit(CHILD, Limit.TASKS)
    assert made.told(CHILD) == [] and made.limits.untold() == []
    made.maps.limits[CHILD]["tasks_flag"] = LIMIT_TOLD
    made.limits.rearm(100 + CHILD)
    assert made.flags(CHILD)[0] == LIMIT_TOLD


def test_without_limits_nothing_is_told(made: Made) -> None:
    """Also when they were taken away; one of two is a limit."""
    made.hit(CHILD, Limit.TASKS)
    made.limits.rearm(100 + CHILD)
    assert made.told(CHILD) == []
    for pair in ((5, None), (None, 5)):
        made.limits.set(100 + CHILD, *pair)
        made.hit(CHILD, Limit.TASKS)
        assert len(made.told(CHILD)) == 1
    made.limits.set(100 + CHILD, None, None)
    made.limits.rearm(100 + CHILD)
    assert made.flags(CHILD)[0] == LIMIT_TOLD
    made.hit(CHILD, Limit.TASKS)
    assert made.told(CHILD) == []


def test_one_that_is_gone_leaves_nothing(made: Made) -> None:
    """Whoever gets its slot has no limits of that."""
    made.limits.set(100 + CHILD, 7, 7)
    made.maps.slots[CHILD]["state"] = SLOT_FREE
    with pytest.raises(Refused):
        made.limits.set(100 + CHILD, 7, 7)
    made.hit(CHILD, Limit.TASKS)
    assert made.told(CHILD) == []


def test_other_maps(made: Made) -> None:
    """What was set is set there, but of who is gone; hits come from there."""
    made.limits.set(100 + CHILD, 5, None)
    made.limits.set(100 + PARENT, None, 23)
    made.limits.set(100 + PARENT, None, 24)
    after = Made(FakeMaps())
    after.maps.slots[CHILD]["cgroup_id"] = 555
    after.maps.enter(11, PARENT, 2)
    made.limits.move(cast(Any, after.maps), cast(Any, after))
    assert after.asked == [(100 + CHILD, 5, NO_LIMIT), (100 + PARENT, NO_LIMIT, 24)]
    made.hit(PARENT, Limit.PAGES)
    assert made.told(PARENT) == []
    after.hit(PARENT, Limit.PAGES)
    assert [hit.cgroup_id for hit in made.limits.untold()] == [100 + PARENT]
    after.hit(CHILD, Limit.TASKS)
    assert made.limits.untold() == []
