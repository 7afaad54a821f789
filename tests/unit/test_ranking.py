# SPDX-License-Identifier: Apache-2.0
"""What a live view shows: snapshots and paths come in, the few containers that it asks for go out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from containeragent.cgroups.naming import Names
from containeragent.containers.ranking import Ranking, Wanted
from containeragent.counters.snapshot import UNKNOWN, Snapshot
from containeragent.limits.model import NO_LIMITS, Hits, LimitState
from containeragent.workloads.patterns import Workload
from tests.unit.snapshots import snapshot

PATHS = {
    1: "/",
    2: "/containers",
    3: "/containers/web",
    4: "/containers/web/db",
    5: "/containers/web/-tasks",
    6: "/containers/Other",
    7: "/system.slice/docker-1.scope",
    8: None,
}
NOW = snapshot((1, 90), (2, 40), (3, 20), (4, 5), (5, 15), (6, 20), (7, 50), (8, 99))
SHOP = Workload(runtime="docker", id="1", name="shop")


class Fixture:
    """A ranking that counts how often paths are asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self.ranking = Ranking(self.paths, Names("/containers"), lambda path: SHOP if "docker" in path else None)

    def paths(self, ids: Sequence[int]) -> list[str | None]:
        self.asked += 1
        return [PATHS[number] for number in ids]

    def names(self, now: Snapshot = NOW, **wanted: object) -> list[str]:
        """Of the containers that are picked."""
        return [one.name for one in self.ranking.pick(now, replace(Wanted(), **wanted)).containers]  # type: ignore[arg-type]


@pytest.fixture
def fixture() -> Fixture:
    return Fixture()


def test_the_most_first_and_names_where_they_are_equal(fixture: Fixture) -> None:
    """Leaves and what is gone are nobody's container."""
    assert fixture.names() == ["/", "/Other", "/web", "/web/db"]
    assert fixture.names(sort="name") == ["/", "/Other", "/web", "/web/db"]
    assert fixture.names(all_cgroups=True, sort="tasks", limit=3) == ["/", "/system.slice/docker-1.scope", "/"]


def test_counts_say_what_is_left_out(fixture: Fixture) -> None:
    """Before the limit; the filter looks at names of workloads too, in any case."""
    picked = fixture.ranking.pick(NOW, Wanted(limit=1, text="WEB"))
    assert [one.name for one in picked.containers] == ["/web"] and (picked.matched, picked.total) == (2, 4)
    assert fixture.names(text="other") == ["/Other"] and fixture.names(text="shop") == []
    assert fixture.names(text="shop", all_cgroups=True) == ["/system.slice/docker-1.scope"]


def test_a_tree_has_those_above(fixture: Fixture) -> None:
    """Once each; not those that are not asked for."""
    assert fixture.names(text="db", tree=True) == ["/web/db", "/web", "/"]
    assert [one for one in fixture.names(text="db", tree=True, all_cgroups=True)] == ["/web/db", "/web", "/", "/"]


def test_a_container_has_its_leafs_own(fixture: Fixture) -> None:
    """As `show` has it."""
    (web,) = fixture.ranking.pick(NOW, Wanted(limit=1, text="/web")).containers
    assert web.reading.local["tasks"] == 20 + 15 and web.reading.total["tasks"] == 20


def test_unknown_is_last(fixture: Fixture) -> None:
    """Whatever is asked for."""
    unknown = np.array([UNKNOWN if number == 3 else 1 for number in NOW.cgroup_ids])
    now = replace(NOW, total={**NOW.total, "tasks": unknown, "anon": unknown})
    for sort in ("tasks", "anon", "memory"):
        assert fixture.names(now, sort=sort)[-1] == "/web"


def test_forks_are_ranked_by_what_was_started_lately(fixture: Fixture) -> None:
    """Not by totals; who came meanwhile began at 0."""
    forks = np.array([1000, 900, 5, 5, 5, 5, 5, 5])
    assert fixture.names(replace(NOW, taken_at=10.0, forks=forks), sort="forks")[0] == "/"
    later = replace(NOW, taken_at=11.5, forks=forks + np.array([3, 3, 0, 1, 0, 2, 0, 0]))
    assert fixture.names(later, sort="forks") == ["/", "/Other", "/web/db", "/web"]
    come = snapshot((2, 1), (6, 1), (3, 1))
    come = replace(come, taken_at=13.0, forks=np.array([903, 9, 5]))
    assert fixture.names(come, sort="forks") == ["/Other", "/", "/web"]
    assert fixture.names(replace(later, taken_at=900.0), sort="forks") == ["/", "/Other", "/web", "/web/db"]


def test_paths_are_looked_up_when_cgroups_come_or_go(fixture: Fixture) -> None:
    """Not for every reading of the same ones; also while one of them is going."""
    whole = snapshot((1, 1), (2, 1), (3, 1))
    for _ in range(3):
        fixture.names(whole)
        fixture.names(replace(whole, taken_at=5.0))
    assert fixture.asked == 1
    fixture.names(NOW), fixture.names(NOW)
    assert fixture.asked == 3


def test_upwards(fixture: Fixture) -> None:
    """The least first, unknown last all the same; names from z to a."""
    assert fixture.names(sort="tasks", upwards=True) == ["/web/db", "/Other", "/web", "/"]
    assert fixture.names(sort="name", upwards=True) == ["/web/db", "/web", "/Other", "/"]
    tasks = np.array([UNKNOWN if number == 3 else 1 for number in NOW.cgroup_ids])
    assert fixture.names(replace(NOW, total={**NOW.total, "tasks": tasks}), sort="tasks", upwards=True)[-1] == "/web"


def test_by_limits() -> None:
    """Hits of both kinds, and the time that it was stopped."""
    states = {
        number: LimitState(NO_LIMITS, None, None, hits, hits, stopped)
        for number, hits, stopped in ((3, Hits(None, 2), 1.0), (4, Hits(3, 1), 0.5), (99, Hits(9, 9), 9.0))
    }
    ranking = Ranking(lambda ids: [PATHS[one] for one in ids], Names("/containers"), states_of=lambda _: states)
    for sort, first in (("hits", ["/web/db", "/web"]), ("throttled", ["/web", "/web/db"])):
        assert [one.name for one in ranking.pick(NOW, Wanted(sort=sort, limit=2)).containers] == first


def test_one_and_the_one_above_all(fixture: Fixture) -> None:
    """Leaves and what is gone are none."""
    ranking = fixture.ranking
    found = [ranking.find(NOW, number) for number in (3, 5, 8, 99)]
    assert [one and one.name for one in found] == ["/web", None, None, None]
    whole = [ranking.whole(NOW, everything) for everything in (False, True)]
    assert [one and one.cgroup for one in whole] == ["/containers", "/"]
    assert ranking.whole(snapshot((7, 1)), False) is None


def test_names_by_their_beginning(fixture: Fixture) -> None:
    """In order, at most so many; with all also the paths of others."""
    ranking = fixture.ranking
    assert ranking.matching(NOW, "/w", False, 9) == ["/web", "/web/db"]
    assert ranking.matching(NOW, "", False, 2) == ["/", "/Other"]
    assert ranking.matching(NOW, "/s", True, 9) == ["/system.slice/docker-1.scope"]
