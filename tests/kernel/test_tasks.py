# SPDX-License-Identifier: Apache-2.0
"""Tasks are the lines of cgroup.threads at rest; forks, exits and peaks are exact."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kernel.conftest import MakeContainer
from tests.kernel.support.comparing import compare_tasks
from tests.kernel.support.containers import Container
from tests.kernel.support.counting import Counting
from tests.kernel.support.mountpoints import unified
from tests.kernel.support.running import Running
from tests.kernel.support.waiting import until


@pytest.mark.parametrize(
    "name", ["forks", "nested_forks", "zombie", "leader_gone", "exec_in_thread", "spawned", "io_workers"]
)
def test_at_rest(counting: Counting, container: Container, name: str) -> None:
    """Each of workloads/tasks.py that needs nothing else."""
    compare_tasks(counting, container, name)


@pytest.mark.parametrize("count", [1, 23, 509])
def test_peak_of_threads(counting: Counting, container: Container, count: int) -> None:
    """Threads that are all there at once: the peak is the workload's one task more."""
    compare_tasks(counting, container, "threads", count)
    assert counting.reading(container).peak_tasks == count + 1


def test_peak_over_two_children(counting: Counting, make_container: MakeContainer) -> None:
    """The parent's peak is of the sum, at one time, not the sum of the peaks."""
    parent = make_container("parent")
    first, second = parent.child("first"), parent.child("second")
    compare_tasks(counting, first, "threads", 101)
    compare_tasks(counting, second, "threads", 211)
    reading = counting.reading(parent)
    assert (reading.peak_tasks, counting.reading(first).peak_tasks) == (212, 102)
    assert reading.forks == counting.reading(first).forks + counting.reading(second).forks


def test_started_in_another_container(counting: Counting, make_container: MakeContainer) -> None:
    """CLONE_INTO_CGROUP: there is no move, the child's own container counts."""
    parent, other = make_container("parent"), make_container("other")
    with Running(parent, "tasks", "into_cgroup", other.path) as running:
        for rest in running.rests():
            counting.assert_tasks_at_rest(parent)
            counting.assert_tasks_at_rest(other)
            reading = counting.reading(other)
            assert (reading.forks, reading.exits) == (rest.facts.get("forks", 0), rest.facts.get("exits", 0))
    assert counting.reading(other).peak_tasks == 23


def _threads_of_host() -> int:
    """Without those that have ended and only wait for their parent: any process of the host may leave some."""
    return sum(_is_alive(task) for task in Path("/proc").glob("[0-9]*/task/[0-9]*"))


def _is_alive(task: Path) -> bool:
    try:
        state = (task / "stat").read_bytes().rpartition(b") ")[2][:1]
    except OSError:
        return False
    return state not in (b"Z", b"X")


def test_tasks_from_before_the_load(counting: Counting) -> None:
    """The root has every thread of the host, kernel threads among them."""
    root = unified().stat().st_ino

    def read() -> tuple[int, int, int]:
        before, snapshot = _threads_of_host(), counting.take().reading(root)
        assert snapshot is not None
        return before, snapshot.total["tasks"], _threads_of_host()

    before, counted, after = until(read, lambda numbers: len(set(numbers)) == 1)
    assert before == counted == after
