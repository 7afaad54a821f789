# SPDX-License-Identifier: Apache-2.0
"""Tasks beyond a limit, with real processes: the newest are ended while all stand still, and it is told."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from containeragent.host import process
from containeragent.limits import excess
from containeragent.limits.entry import Entry
from containeragent.limits.excess import Excess
from containeragent.limits.holders import Modes
from containeragent.limits.model import Kept, Limits, Spared

WEB = 23


@contextlib.contextmanager
def _opened(_parts: Any) -> Iterator[int]:
    """A folder of nobody's."""
    with tempfile.TemporaryDirectory() as folder:
        descriptor = os.open(folder, os.O_RDONLY)
        yield descriptor
        os.close(descriptor)


class Made:
    """Four processes, oldest first, in a container whose entry a test sets."""

    def __init__(self) -> None:
        self.sleepers: list[subprocess.Popen[bytes]] = []
        for _ in range(4):
            self.sleepers.append(subprocess.Popen(["sleep", "1000"]))
            time.sleep(0.02)  # so that they start in different ticks
        self.entry: Entry | None = None
        self.done: list[tuple[Any, ...]] = []
        note = self.done.append
        self.excess = Excess(
            cast(Any, SimpleNamespace(tasks=lambda _: self.alive(), opened=_opened)),
            cast(Any, SimpleNamespace(rearm=lambda one: note(("rearm", one)))),
            cast(Any, SimpleNamespace(entry=lambda _: self.entry, publish=lambda *told, **why: note((*told, why)))),
            cast(Any, SimpleNamespace(stop=lambda *_: note(("stop",)) or True, go_on=lambda *_: note(("go on",)))),
        )

    def limit(self, most: int | None, spared: Spared | None = None, mode: str = "agent") -> None:
        """Its task limit."""
        self.entry = Entry(("web",), Modes(mode, "agent"), Kept(Limits(task_limit=most), spared=spared))

    def alive(self) -> list[int]:
        """In the order of their beginning."""
        return [one.pid for one in self.sleepers if one.poll() is None]

    def told(self) -> list[str]:
        """Reasons of the events."""
        return [one[-1]["reason"] for one in self.done if one[0] == "kill"]


@pytest.fixture
def made() -> Iterator[Made]:
    """Nothing of it is left."""
    made = Made()
    yield made
    for one in made.sleepers:
        one.kill()
        one.wait()


def test_the_newest_are_ended(made: Made) -> None:
    """As many as are beyond, while everything is stopped; then it goes on, and is told."""
    before = made.alive()
    made.limit(2)
    assert made.excess.end(WEB) is True
    assert made.alive() == before[:2]
    assert [one[0] for one in made.done] == ["rearm", "stop", "go on", "kill"]
    assert made.told() == ["2 processes, the newest, above the limit of 2 tasks"]


@pytest.mark.parametrize(("most", "mode"), [(4, "agent"), (5, "agent"), (None, "agent"), (1, "kernel")])
def test_nobody_is_ended(made: Made, most: int | None, mode: str) -> None:
    """At the limit, without one, or where the kernel holds it."""
    made.limit(most, mode=mode)
    assert made.excess.end(WEB) is True and len(made.alive()) == 4
    assert made.done == ([("rearm", WEB)] if most in (4, 5) else [])
    made.entry = None
    assert made.excess.end(WEB) is True


def test_what_they_leave_is_cleaned_up(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, when somebody was ended."""
    cleaned: list[Any] = []
    monkeypatch.setattr(excess, "clean_up", lambda _, parts: cleaned.append(parts))
    made.limit(4)
    made.excess.end(WEB)
    assert not cleaned
    made.limit(2)
    made.excess.end(WEB)
    assert cleaned == [("web",)]


def test_one_alone_needs_no_standstill(made: Made) -> None:
    """It is ended at once."""
    made.limit(3)
    assert made.excess.end(WEB) is True
    assert len(made.alive()) == 3 and [one[0] for one in made.done] == ["rearm", "kill"]


def test_those_that_were_there_are_spared(made: Made) -> None:
    """When the limit was set below them; who came later is not."""
    third = process.age(made.alive()[2])
    assert third is not None
    made.limit(1, Spared(tasks=3, until_ticks=third.started_ticks))
    before = made.alive()
    assert made.excess.end(WEB) is True
    assert made.alive() == before[:3]


def test_a_storm_is_told_once_a_second(made: Made) -> None:
    """With all that were ended since."""
    for most in (3, 2, 1):
        made.limit(most)
        made.excess.end(WEB)
    assert made.told() == ["1 processes, the newest, above the limit of 3 tasks"]
    made.excess._unsaid[WEB] = (time.monotonic() - 1, made.excess._unsaid[WEB][1])
    made.limit(0)
    made.excess.end(WEB)
    assert made.told()[1:] == ["3 processes, the newest, above the limit of 0 tasks"]
    made.excess.forget(WEB)
    assert made.excess._unsaid == {}


@pytest.mark.parametrize(
    "threads, leader, found", [(1, None, (5, 7)), (2, 3, (5, 3)), (3, 3, (5, 3)), (2, None, None), (None, 3, None)]
)
def test_whose_task_it_is(
    monkeypatch: pytest.MonkeyPatch, threads: int | None, leader: int | None, found: tuple[int, int] | None
) -> None:
    """One alone in its process is the process; of others it is looked up; what has ended meanwhile is nobody's."""
    age = None if threads is None else SimpleNamespace(started_ticks=5, threads=threads)
    monkeypatch.setattr(process, "age", lambda _: age)
    monkeypatch.setattr(process, "leader", lambda _: leader)
    assert excess._age_and_process(7) == found


def test_some_that_do_not_end(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait for a device, say: it is not settled, and all go on."""
    monkeypatch.setattr(excess, "end_processes", lambda *_: None)
    monkeypatch.setattr(excess, "_ROUNDS", 3)
    made.limit(1)
    assert made.excess.end(WEB) is False
    assert [one[0] for one in made.done][:3] == ["rearm", "stop", "go on"]
