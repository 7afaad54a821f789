# SPDX-License-Identifier: Apache-2.0
"""Who is ended when there are more tasks than a limit allows."""

from __future__ import annotations

import os

import pytest

from containeragent.limits import excess
from containeragent.limits.excess import _Known
from containeragent.limits.model import Spared

# By task: when it started, its process. 14 has ended.
TASKS = {10: (100, 10), 11: (105, 10), 12: (103, 12), 13: (105, 13), 14: None, os.getpid(): (999, os.getpid())}


@pytest.fixture(autouse=True)
def proc(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tasks that were looked up."""
    seen: list[int] = []

    def look_up(task: int) -> tuple[int, int] | None:
        seen.append(task)
        return TASKS[task]

    monkeypatch.setattr(excess, "_age_and_process", look_up)
    return seen


@pytest.mark.parametrize("most, processes", [(4, set()), (3, {13}), (2, {10, 13}), (1, {10, 13}), (0, {10, 12, 13})])
def test_the_newest_as_whole_processes(most: int, processes: set[int]) -> None:
    """A process is as new as its newest task; of the same tick the higher id is newer."""
    assert _Known(None).newest([10, 11, 12, 13, 14], most) == processes


def test_never_the_agent(proc: list[int]) -> None:
    """Its tasks count. And nobody is looked up twice."""
    known = _Known(None)
    assert known.newest([10, 12, os.getpid()], 2) == {12}
    assert known.newest([10, 12, 13, os.getpid()], 1) == {10, 12, 13}
    assert sorted(proc) == sorted([10, 12, 13, os.getpid()])


@pytest.mark.parametrize(
    "spared, most",
    [(None, 1), (Spared(3, 99), 1), (Spared(3, 100), 1), (Spared(3, 103), 2), (Spared(3, 105), 3), (Spared(9, 105), 4)],
)
def test_who_was_there_before_the_limit_is_spared(spared: Spared | None, most: int) -> None:
    """As many as there were, of those that started before it; those that have ended make no room."""
    assert _Known(spared).most([10, 11, 12, 13, 14], 1) == most
