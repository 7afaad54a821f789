# SPDX-License-Identifier: Apache-2.0
"""Tasks that move between cgroups, alone and with their threads, at rest and while they fork."""

from __future__ import annotations

import time

import pytest

from tests.kernel.conftest import MakeContainer
from tests.kernel.support.containers import Container
from tests.kernel.support.counting import Counting
from tests.kernel.support.running import Running


def _assert_at_rest(counting: Counting, *containers: Container) -> None:
    for container in containers:
        counting.assert_tasks_at_rest(container)


@pytest.mark.parametrize("threads", [1, 62, 63, 64, 65, 127, 128, 600, 1500])
def test_process_with_threads(counting: Counting, make_container: MakeContainer, threads: int) -> None:
    """All threads of a process move with it; the numbers are around the parts that the walk is made of."""
    first, second, lost = make_container("first"), make_container("second"), counting.tasks_lost()
    with Running(first, "tasks", "threads", threads) as running:
        for rest in running.rests():
            if rest.label != "all there":
                continue
            for target in (second, first, second):
                target.enter(running.process.pid)
                assert counting.reading(target).total["tasks"] == threads + 1
            _assert_at_rest(counting, first, second)
    _assert_at_rest(counting, first, second)
    moved, stayed = counting.reading(second), counting.reading(first)
    assert (moved.forks, moved.exits, stayed.exits) == (0, threads + 1, 0)
    assert stayed.peak_tasks == moved.peak_tasks == threads + 1
    assert counting.tasks_lost() == lost


def test_more_threads_than_are_walked(counting: Counting, make_container: MakeContainer) -> None:
    """A move of more threads than the kernel side can walk says so, and the agent's scan puts it right."""
    threads, first, second = 2203, make_container("first"), make_container("second")
    lost = counting.tasks_lost()
    with Running(first, "tasks", "threads", threads) as running:
        for rest in running.rests():
            if rest.label == "all there":
                second.enter(running.process.pid)
                assert counting.tasks_lost() > lost
                counting.scan_tasks()
                assert counting.reading(second).total["tasks"] == threads + 1
                assert counting.reading(first).total["tasks"] == 0
    _assert_at_rest(counting, first, second)
    assert counting.reading(second).exits == threads + 1


def test_moved_to_where_it_is(counting: Counting, make_container: MakeContainer) -> None:
    """Moving to the same container, to a child and back to its parent changes nothing but where."""
    parent = make_container("parent")
    child = parent.child("child")
    with Running(parent, "tasks", "threads", 23) as running:
        for rest in running.rests():
            if rest.label != "all there":
                continue
            for target in (parent, child, child, parent):
                target.enter(running.process.pid)
                assert counting.reading(parent).total["tasks"] == 24
                assert counting.reading(target).local["tasks"] == 24
            _assert_at_rest(counting, parent, child)
    _assert_at_rest(counting, parent, child)
    assert counting.reading(parent).peak_tasks <= 25  # a moving task is in both for an instant


@pytest.mark.parametrize("threads", [23, 46, 307])
def test_single_threads(counting: Counting, make_container: MakeContainer, threads: int) -> None:
    """
    In threaded cgroups each thread moves alone; then the process comes together from three at once. Each part of that
    walk ends where another origin begins, so it covers fewer threads than usual; the agent's scan gets the rest.
    """
    parent, lost = make_container("parent"), counting.tasks_lost()
    first, second = parent.child("first", twin=False), parent.child("second", twin=False)
    for threaded in (first, second):
        (threaded.path / "cgroup.type").write_text("threaded")
    with Running(parent, "tasks", "threads", threads) as running:
        for rest in running.rests():
            if rest.label == "all there":
                _scatter(counting, parent, first, second)
                (second.path / "cgroup.procs").write_text(str(running.process.pid))
                _assert_together(counting, parent, second, lost, threads + 1)
    _assert_at_rest(counting, parent, first, second)
    assert counting.reading(parent).exits == threads + 1


def _scatter(counting: Counting, parent: Container, first: Container, second: Container) -> None:
    threads = (parent.path / "cgroup.threads").read_text().split()
    for at, thread in enumerate(threads):
        target = (first, second, parent)[at % 3]
        (target.path / "cgroup.threads").write_text(thread)
    _assert_at_rest(counting, parent, first, second)
    assert counting.reading(first).total["tasks"] == len(threads[0::3])


def _assert_together(counting: Counting, parent: Container, second: Container, lost: int, threads: int) -> None:
    if counting.tasks_lost() != lost:
        assert threads > 64, "so few threads are walked in full"
        counting.scan_tasks()
    assert counting.reading(second).total["tasks"] == threads
    parent_reading = counting.reading(parent)
    assert (parent_reading.total["tasks"], parent_reading.local["tasks"]) == (threads, 0)


def test_moved_while_forking(counting: Counting, make_container: MakeContainer) -> None:
    """Processes are moved to and fro by their ids while they fork and start threads."""
    parent = make_container("parent")
    first, second = parent.child("first"), parent.child("second")
    moves, lost = 0, counting.tasks_lost()
    with Running(first, "tasks", "storm", 4, 3) as running:
        for rest in running.rests():
            if rest.label == "forking":
                moves = _move_about(first, second, 2.5)
            elif rest.label == "calm":
                _assert_at_rest(counting, parent, first, second)
    assert moves > 23  # 55 in an emulated guest on a machine with ten times too much to do
    assert counting.tasks_lost() == lost
    _assert_at_rest(counting, parent, first, second)
    reading = counting.reading(parent)
    assert (reading.total["tasks"], reading.local["tasks"]) == (0, 0)
    assert reading.exits == reading.forks + 1  # the workload itself was started elsewhere
    assert [counting.reading(child).local["tasks"] for child in (first, second)] == [0, 0]


def _move_about(first: Container, second: Container, seconds: float) -> int:
    moves, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        for source, target in ((first, second), (second, first)):
            for pid in (source.path / "cgroup.procs").read_text().split():
                try:
                    (target.path / "cgroup.procs").write_text(pid)
                except ProcessLookupError:
                    continue
                moves += 1
    return moves
