# SPDX-License-Identifier: Apache-2.0
"""Controllers that come or go are seen in their turn, and what that changes is in force, kept and told."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from containeragent.cgroups.tree import Parts
from containeragent.errors import Refused
from containeragent.limits.entry import Entry
from containeragent.limits.holders import Modes
from containeragent.limits.kernel import Counts
from containeragent.limits.mode_checks import ModeChecks
from containeragent.limits.model import Hits, Kept, Limits

KERNEL, AGENT = Modes("kernel", "kernel"), Modes("agent", "agent")
FIVE = Limits(5)


class Made:
    """It is the tree, the holders and the keeper. Every container is held by the kernel until a test says otherwise."""

    def __init__(self) -> None:
        self.all: dict[int, Entry] = {}
        self.numbers: dict[Parts, int] = {}
        self.now: dict[Parts, Modes | None] = {}
        self.after: dict[Parts, Modes] = {}  # when limits were set anew
        self.refused: set[Parts] = set()
        self.looked: list[Parts] = []
        self.rounds = 0
        self.applied: list[tuple[Parts, Limits, Limits]] = []
        self.kept: list[tuple[Parts, Kept]] = []
        self.told: list[tuple[Any, ...]] = []
        self.tree = SimpleNamespace(identity=self.identity, title=lambda parts: "/" + "/".join(parts))
        self.checks = ModeChecks(
            cast(Any, self.tree), cast(Any, self), lambda: dict(self.all), self.update, self.publish
        )

    def add(self, *parts: str, limits: Limits = FIVE, counts: int = 0) -> None:
        """A container."""
        entry = Entry(parts, KERNEL, Kept(limits), Counts(Hits(counts, counts), Hits(counts, counts)))
        self.numbers[parts] = len(self.numbers) + 1
        self.all[self.numbers[parts]], self.now[parts] = entry, KERNEL

    def identity(self, parts: Parts) -> int:
        if self.now[parts] is None:
            raise Refused("ENOENT", "gone")
        return self.numbers[parts]

    def look(self) -> None:
        self.rounds += 1

    def modes(self, parts: Parts) -> Modes:
        self.looked.append(parts)
        found = self.now[parts]
        if found is None:
            raise Refused("ENOENT", "gone")
        return found

    def apply(self, parts: Parts, before: Limits, wanted: Limits) -> Modes:
        self.applied.append((parts, before, wanted))
        if parts in self.refused:
            raise Refused("ENOTSUP", f"nobody holds limits of {'/'.join(parts)}")
        self.now[parts] = self.after.get(parts, self.now[parts])
        return cast(Modes, self.now[parts])

    def update(self, parts: Parts, change: Any) -> None:
        number = self.identity(parts)
        kept = change(self.all[number].kept)
        self.kept.append((parts, kept))
        self.all[number] = Entry(parts, cast(Modes, self.now[parts]), kept, self.all[number].counts)

    def publish(self, kind: str, parts: Parts, **details: Any) -> None:
        self.told.append((kind, parts, details))

    def second(self) -> list[Parts]:
        """Which containers were looked at in it."""
        self.looked.clear()
        self.checks.upkeep()
        return list(self.looked)


def test_who_is_looked_at_when() -> None:
    """Every container with limits within half a minute, a few at a time; what the root offers every time."""
    made = Made()
    for number in range(70):
        made.add(f"c{number}", "below")
    made.add("unlimited", limits=Limits())
    looked = [made.second() for _ in range(30)]
    assert made.rounds == 30
    assert sorted(parts for one in looked for parts in one) == sorted((f"c{number}", "below") for number in range(70))
    assert max(map(len, looked)) == 3 and min(map(len, looked)) == 2
    assert [made.second() for _ in range(30)] == looked


def test_few_are_looked_at_every_second() -> None:
    """Whatever second it is."""
    made = Made()
    for number in range(3):
        made.add(f"c{number}", "below")
    assert [len(made.second()) for _ in range(31)] == [1] * 31
    looked = {parts for _ in range(3) for parts in made.second()}
    assert len(looked) == 3


def test_one_that_is_new_is_found_in_the_next_round() -> None:
    """Without limits at first nobody is looked at."""
    made = Made()
    assert [made.second() for _ in range(25)] == [[]] * 25
    made.add("web")
    assert [made.second() for _ in range(6)] == [[]] * 5 + [[("web",)]]


def test_who_stands_for_whom() -> None:
    """Siblings with the same holders; the root is nobody's sibling."""
    made = Made()
    for parts in ((), ("a",), ("b",), ("a", "x"), ("a", "y")):
        made.add(*parts)
    made.all[5] = Entry(("a", "y"), AGENT, Kept(Limits(5)))
    made.now["a", "y"] = AGENT
    looked = {parts for _ in range(4) for parts in made.second()}
    assert looked == {(), ("a",), ("a", "x"), ("a", "y")}


def test_one_that_is_gone_stands_for_nobody() -> None:
    """The next does."""
    made = Made()
    for name in ("a", "b", "c"):
        made.add(name)
    made.now["a",] = None
    assert made.second() == [("a",), ("b",)]
    made.now["b",] = AGENT
    made.second()
    assert [parts for parts, _, _ in made.applied] == [("b",)]
    made.now = dict.fromkeys(made.now)
    assert made.second()[:1] == [("a",)] and len(made.applied) == 1


def test_a_controller_goes(caplog: pytest.LogCaptureFixture) -> None:
    """Limits are in force anew, hits that went are kept, both limits are told; at once for all siblings."""
    made = Made()
    made.add("a", counts=7)
    made.add("b")
    made.now = {("a",): AGENT, ("b",): AGENT}
    made.second()
    assert made.applied == [(("a",), Limits(5), Limits(5)), (("b",), Limits(5), Limits(5))]
    assert [(parts, kept.hits) for parts, kept in made.kept] == [(("a",), Hits(7, 7)), (("b",), Hits())]
    assert made.told == [
        ("mode", (name,), {"limit": limit, "mode": "agent"}) for name in ("a", "b") for limit in ("tasks", "pages")
    ]
    assert caplog.messages[0] == "the limit of tasks of container /a was held by: kernel; now: agent"
    assert made.second() == [("a",)] and len(made.applied) == 2


@pytest.mark.parametrize("limit, modes", [("tasks", Modes("agent", "kernel")), ("pages", Modes("kernel", None))])
def test_one_of_two_goes(limit: str, modes: Modes) -> None:
    """The other is not told of."""
    made = Made()
    made.add("a", counts=7)
    made.now["a",] = modes
    made.second()
    assert made.told == [("mode", ("a",), {"limit": limit, "mode": getattr(modes, limit)})]
    ((_, kept),) = made.kept
    assert kept.hits == (Hits(7, 0) if limit == "tasks" else Hits(0, 7))


def test_it_comes_back_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    """Setting limits enables it again: nobody else holds them, but what it had counted is gone."""
    made = Made()
    made.add("a", counts=7)
    made.now["a",], made.after["a",] = AGENT, KERNEL
    made.second()
    assert not made.told and [kept.hits for _, kept in made.kept] == [Hits(7, 7)]
    assert caplog.messages == ["controllers of container /a had vanished, its limits were set anew"]


def test_nobody_can_hold_them(caplog: pytest.LogCaptureFixture) -> None:
    """It is said, and what holds by now is told."""
    made = Made()
    made.add("a")
    made.now["a",], made.refused = Modes(None, "kernel"), {("a",)}
    made.second()
    assert made.told == [("mode", ("a",), {"limit": "tasks", "mode": None})]
    assert [(one.levelno, one.message) for one in caplog.records] == [
        (logging.ERROR, "nobody holds limits of a"),
        (logging.WARNING, "the limit of tasks of container /a was held by: kernel; now: None"),
    ]


def test_siblings_that_have_not_changed() -> None:
    """Or are gone, or have no entry any more, are left alone."""
    made = Made()
    for name in ("a", "b", "c"):
        made.add(name)
    made.checks.upkeep()
    made.now["a",], made.applied = AGENT, []
    made.now["b",] = None
    del made.all[3]
    made.second()
    assert [parts for parts, _, _ in made.applied] == [("a",)]
