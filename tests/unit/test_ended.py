# SPDX-License-Identifier: Apache-2.0
"""Containers that are gone: how long, how many, why."""

from __future__ import annotations

import time

import pytest

from containeragent.cgroups.naming import Names
from containeragent.containers.ended import BY_SOMEBODY, WHILE_AWAY, Ended
from containeragent.containers.view import dead_document
from containeragent.counters.source import Engine
from containeragent.events.bus import Bus
from tests.unit.snapshots import PAGE_BYTES, FakeSource, end, snapshot

NAMES = Names("/c")


class Fixture:
    """A source, a bus and what is tested."""

    def __init__(self, grace_seconds: float = 300, most: int = 1024) -> None:
        self.source, self.bus = FakeSource(snapshot()), Bus()
        self.paths: dict[int, str] = {}
        source = self.source.as_source()
        self.causes: dict[int, str] = {}
        known, cause = self.paths.get, self.causes.get
        self.ended = Ended(source, NAMES, self.bus, grace_seconds, known_path=known, cause_of=cause, most=most)

    def reasons(self) -> list[tuple[str, str]]:
        """Name and reason of the dead."""
        return [(dead.name, dead.reason) for dead in self.ended.dead(True)]

    def told(self) -> list[tuple[str, str]]:
        """Container and reason of the events."""
        return [(event.container, event.details["reason"]) for event in self.bus.recent(lambda _: True)]


def test_removed_by_somebody_else() -> None:
    """There is an event with the last numbers, and the reason goes to the record."""
    made = Fixture()
    made.source.ended = [end(7, "/c/web", forks=23, exits=24, peak_tasks=2, peak_pages=99)]
    assert made.reasons() == [("/web", BY_SOMEBODY)]
    (event,) = made.bus.recent(lambda _: True)
    assert (event.kind, event.container, event.cgroup) == ("removed", "/web", "/c/web")
    lived = event.details.pop("lived_seconds")
    assert lived == pytest.approx(2, abs=0.1)
    assert event.details == {"reason": BY_SOMEBODY, "forks": 23, "exits": 24, "peak_tasks": 2, "peak_pages": 99}
    assert made.source.explained == [(7, BY_SOMEBODY)]


def test_removed_by_us() -> None:
    """One event, whoever reads the record first."""
    made = Fixture()
    with made.ended.removing(7, "/c/web", "removed"):
        made.source.ended = [end(7, "/c/web")]
        made.ended.refresh()
    assert made.told() == made.reasons() == [("/web", "removed")]
    with made.ended.removing(8, "/c/web", "undone", tell=False):
        made.source.ended = [end(8, "/c/web")]
    assert made.told() == [("/web", "removed")] and made.reasons()[-1] == ("/web", "undone")


def test_a_removal_that_failed_is_forgotten() -> None:
    """Who removes it later is somebody else."""
    made = Fixture()
    with pytest.raises(OSError), made.ended.removing(7, "/c/web", "removed"):
        raise OSError
    made.source.ended = [end(7, "/c/web")]
    assert made.reasons() == made.told() == [("/web", BY_SOMEBODY)]


def test_without_a_record_there_still_is_an_event() -> None:
    """A cgroup that shared its parent's slot."""
    made = Fixture()
    with made.ended.removing(7, "/c/web", "removed"):
        pass
    assert made.told() == [("/web", "removed")] and made.reasons() == []


def test_a_cause_stands_above_the_removal() -> None:
    """A container that was killed and then removed ended because it was killed."""
    made = Fixture()
    made.causes[7] = "killed: above its page limit for 5 s"
    with made.ended.removing(7, "/c/web", "removed"):
        made.source.ended = [end(7, "/c/web")]
    assert made.reasons() == [("/web", "killed: above its page limit for 5 s")]


def test_ends_of_before_the_agent() -> None:
    """Those that its predecessor told of are not told again."""
    made = Fixture()
    made.source.ended = [
        end(7, "/c/told", died_at=time.time() - 2, reason="removed"),
        end(8, "/c/away", died_at=time.time() - 1),
        end(9, "/c/long-ago", died_at=time.time() - 301),
    ]
    assert made.reasons() == [("/away", WHILE_AWAY), ("/told", "removed")]
    assert made.told() == [("/away", WHILE_AWAY)]


def test_grace_seconds_are_over() -> None:
    """Also for those that were taken in before."""
    made = Fixture(grace_seconds=0.2)
    made.ended._started_ns = 0
    made.source.ended = [end(7, "/c/web"), end(8, "/c/old", died_at=time.time() - 1)]
    assert made.reasons() == [("/web", BY_SOMEBODY)]
    assert len(made.told()) == 2
    time.sleep(0.25)
    assert made.reasons() == []


def test_grace_seconds_are_not_those_of_the_time_of_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which may be set to anything meanwhile."""
    made = Fixture(grace_seconds=300)
    made.source.ended = [end(7, "/c/web")]
    now = time.time()
    for moment in (now, now + 86400, now - 86400):
        monkeypatch.setattr(time, "time", lambda moment=moment: moment)
        assert made.reasons() == [("/web", BY_SOMEBODY)]
    made.source.ended = [end(8, "/c/db", died_at=time.time() - 300)]
    assert made.reasons() == [("/web", BY_SOMEBODY)]


def test_the_oldest_go_first_and_are_counted() -> None:
    """Others are bounded apart, and a record is never there twice."""
    made = Fixture(most=2)
    mine = [end(number, f"/c/{number}", died_at=time.time() + number / 1000) for number in range(5)]
    others = [end(10 + number, f"/o{number}", managed=False) for number in range(5)]
    made.source.ended = mine + others
    made.ended.refresh()
    assert (made.ended.dropped, made.ended.missed) == (3, 0)
    assert [dead.name for dead in made.ended.dead(False)] == ["/3", "/4"]
    assert [dead.name for dead in made.ended.dead(True)] == ["/3", "/4", "/o3", "/o4"]
    made.source.ended = mine[3:]
    assert [dead.name for dead in made.ended.dead(False)] == ["/3", "/4"]


def test_others_have_no_events() -> None:
    """A host's sessions come and go."""
    made = Fixture()
    made.source.ended = [end(7, "/user.slice/session-3.scope", managed=False)]
    assert made.reasons() == [("/user.slice/session-3.scope", BY_SOMEBODY)] and made.told() == []
    assert made.ended.dead(False) == []


def test_missed_records_are_counted() -> None:
    """From the gap in their sequence; not when the layout was replaced and they begin again."""
    made = Fixture()
    for sequence in (40, 41, 65, 1, 2):
        made.source.ended = [end(sequence, "/c/web", sequence=sequence)]
        made.ended.refresh()
    assert made.ended.missed == 23


def test_a_path_that_was_cut() -> None:
    """Whole if somebody looked it up before; else it says so."""
    made = Fixture()
    made.paths[7] = "/c/" + "x" * 400
    made.source.ended = [end(7, "/c/xxx", path_cut=True), end(8, "/c/yyy", path_cut=True)]
    assert [dead.name for dead in made.ended.dead(True)] == ["/" + "x" * 400, "/yyy..."]


def test_a_leaf_of_ours_is_no_container() -> None:
    """Its numbers are in its container's."""
    made = Fixture()
    made.source.ended = [end(7, "/c/web/-tasks")]
    assert made.reasons() == [] and made.told() == []


def test_the_newest_of_a_name() -> None:
    """A managed one before another cgroup with that path."""
    made = Fixture()
    now = time.time()
    made.source.ended = [
        end(7, "/c/web", died_at=now - 5),
        end(8, "/c/web", died_at=now - 3),
        end(9, "/web", died_at=now - 1, managed=False),
    ]
    newest = made.ended.newest("/web")
    assert newest is not None and newest.end.cgroup_id == 8
    assert made.ended.newest("/nothing") is None


def test_a_document() -> None:
    """The keys of a living one, and four more."""
    made = Fixture()
    made.source.ended = [
        end(7, "/c/web", has_children=True, pages=9, died_at=1_700_000_000.5, died_ns=time.monotonic_ns(), born_at=None)
    ]
    made.ended._grace = 1e10
    (dead,) = made.ended.dead(False)
    document = dead_document(dead, PAGE_BYTES, Engine("tracepoint", "tracepoint"))
    assert document["state"] == "dead" and document["num_tasks"] == 0 and document["num_left_pages"] == 9
    assert document["num_anon_pages"] is None and document["local"]["num_anon_pages"] == 1
    assert document["died_at"] == "2023-11-14T22:13:20.500000+00:00" and document["born_at"] is None
    assert document["task_limit_hits"] is None and document["reason"] == BY_SOMEBODY
