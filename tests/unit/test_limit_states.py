# SPDX-License-Identifier: Apache-2.0
"""Hits by the kernel, by the programs and by the agent, summed over what is below."""

from __future__ import annotations

from typing import cast

import numpy as np
from hypothesis import given, strategies as st

from containeragent.counters.snapshot import UNKNOWN, Snapshot
from containeragent.limits import states
from containeragent.limits.entry import Entry
from containeragent.limits.holders import Modes
from containeragent.limits.keeper import Keeper
from containeragent.limits.kernel import Counts
from containeragent.limits.model import Hits, Kept
from tests.unit.snapshots import snapshot

MODES = Modes("agent", "kernel")


class FakeKeeper:
    """/ is cgroup 1, /shop 2, /shop/web 3."""

    def __init__(self, *counted: Counts) -> None:
        parts: list[tuple[str, ...]] = [(), ("shop",), ("shop", "web")]
        kept = Kept(hits=Hits(1, 1))
        self._entries = {at + 1: Entry(name, MODES, kept, counted[at]) for at, name in enumerate(parts)}

    def entries(self) -> dict[int, Entry]:
        return self._entries

    def entry(self, cgroup_id: int) -> Entry | None:
        return self._entries.get(cgroup_id)


def seen(*task_hits: int) -> Snapshot:
    """Hits of tasks that the programs counted, of each limit by itself."""
    made = snapshot(*((at + 1, 1) for at in range(len(task_hits))))
    made.task_limit_hits[:] = np.array(task_hits)
    return made


def test_a_hit_counts_in_all_that_it_is_in() -> None:
    """Those that only the agent saw and those that the kernel counted are carried up already."""
    kernel = Counts(Hits(0, 5), Hits(0, 2))
    found = states.all_of(cast(Keeper, FakeKeeper(kernel, kernel, kernel)), seen(0, 3, 4))
    assert [found[number].hits for number in (1, 2, 3)] == [Hits(8, 6), Hits(8, 6), Hits(5, 6)]
    assert [found[number].local_hits for number in (1, 2, 3)] == [Hits(0, 2), Hits(3, 2), Hits(4, 2)]


def test_what_the_kernel_does_not_tell_is_unknown() -> None:
    """Before Linux 6.11 whose task limit it was. Programs that count none have none."""
    kernel = Counts(Hits(5, 0), Hits(None, 0))
    found = states.all_of(cast(Keeper, FakeKeeper(kernel, kernel, kernel)), seen(UNKNOWN, UNKNOWN))
    assert found[3].hits == Hits(6, 1) and found[3].local_hits == Hits(None, 0)


@given(st.lists(st.sampled_from((0, 1, 7, UNKNOWN)), min_size=5, max_size=5))
def test_one_is_as_it_is_among_all(task_hits: list[int]) -> None:
    """Also of those without limits (4, 5), and of one that is not there (9)."""
    kernel, now = Counts(Hits(0, 5), Hits(0, 2)), seen(*task_hits)
    keeper = cast(Keeper, FakeKeeper(kernel, kernel, kernel))
    every = states.all_of(keeper, now)
    assert [states.of(keeper, now, number) for number in (1, 2, 3, 4, 9)] == [*map(every.get, (1, 2, 3)), None, None]
