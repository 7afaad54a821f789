# SPDX-License-Identifier: Apache-2.0
"""The last minutes: snapshots come in, bounded rings of what each container used go out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from containeragent.counters.snapshot import UNKNOWN, Snapshot
from containeragent.page.history import FIELDS, INTERVAL_SECONDS, SAMPLES, History
from tests.unit.snapshots import snapshot


class Clock:
    """Seconds that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def made(most: int = 4) -> tuple[History, Clock]:
    """A history and its clock."""
    clock = Clock()
    return History(most, clock), clock


def fed(history: History, clock: Clock, *snapshots: Snapshot) -> None:
    """One every interval."""
    for one in snapshots:
        clock.now += INTERVAL_SECONDS
        history.add(one)


def forked(now: Snapshot, *forks: int) -> Snapshot:
    """With other totals of forks."""
    return replace(now, forks=np.array(forks, dtype=np.int64))


def test_oldest_first_with_its_age() -> None:
    """Every field; the rate of forks is unknown at first."""
    history, clock = made()
    fed(history, clock, forked(snapshot((1, 2)), 7), forked(snapshot((1, 3)), 17))
    assert history.of(1) == {
        "age_seconds": [10.0, 0.0],
        "tasks": [2.0, 3.0],
        "anon": [20.0, 30.0],
        "file": [20.0, 30.0],
        "forks": [None, 1.0],
    }
    assert history.last(1, "forks") == 1.0 and history.last(9, "forks") is None
    assert history.of(9) == {} and history.memory(9, 30) == []


def test_the_ring_goes_round() -> None:
    """As many as there is room for, the latest."""
    history, clock = made()
    fed(history, clock, *(snapshot((1, number)) for number in range(SAMPLES + 23)))
    found = history.of(1)
    assert found["tasks"] == [float(number) for number in range(23, SAMPLES + 23)]
    assert found["age_seconds"][0] == (SAMPLES - 1) * INTERVAL_SECONDS and found["age_seconds"][-1] == 0
    assert all(len(values) == SAMPLES for values in found.values())


def test_who_comes_later_has_no_past() -> None:
    """Not that of who had the row before it either."""
    history, clock = made(1)
    fed(history, clock, snapshot((1, 5)), snapshot((1, 6)), snapshot((2, 7)))
    assert history.of(1) == {}
    assert history.of(2)["tasks"] == [7.0] and history.of(2)["age_seconds"] == [0.0]
    assert history.of(2)["forks"] == [(7 + 23) / INTERVAL_SECONDS]  # all of its forks were meanwhile


def test_unknown_is_none() -> None:
    """And stays a gap."""
    history, clock = made()
    now = snapshot((1, 5))
    fed(history, clock, now, replace(now, total={**now.total, "anon": np.array([UNKNOWN])}), now)
    assert history.of(1)["anon"] == [50.0, None, 50.0]
    assert history.memory(1, SAMPLES)[-3:] == [100.0, None, 100.0]


def test_the_largest_have_the_rows() -> None:
    """When there are more; chosen anew after a minute, without a loss for those that stay."""
    history, clock = made(2)
    ids = snapshot((1, 5), (2, 9), (3, 7))
    fed(history, clock, ids)
    assert history.of(1) == {} and history.of(2) and history.of(3)
    tasks = np.array([50, 9, 1])
    grown = replace(ids, total={name: tasks for name in ids.total})
    fed(history, clock, grown)
    assert history.of(1) == {}
    clock.now += 60
    fed(history, clock, grown)
    assert history.of(3) == {} and history.of(1)["tasks"] == [50.0] and history.of(2)["tasks"] == [9.0, 9.0, 9.0]


def test_small_charts_have_the_highest_of_each_part() -> None:
    """At the right the newest; nothing before the first sample."""
    history, clock = made()
    fed(history, clock, *(snapshot((1, number)) for number in (1, 9, 2)))
    points = history.memory(1, 30)
    assert len(points) == 30 and points[-2:] == [20.0, 180.0] and points[:-2] == [None] * 28


def test_a_sample_every_interval() -> None:
    """However often it is asked for."""
    history, clock = made()
    taken = 0

    def take() -> Snapshot:
        nonlocal taken
        taken += 1
        return snapshot((1, 1))

    for _ in range(21):
        history.upkeep(take)
        clock.now += 1
    assert taken == 3


def test_memory_is_as_documented() -> None:
    """Bytes a container."""
    assert made(2048)[0].nbytes == 2048 * 960 and SAMPLES * len(FIELDS) * 4 == 960
