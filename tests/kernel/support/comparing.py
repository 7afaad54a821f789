# SPDX-License-Identifier: Apache-2.0
"""Run a workload and compare the counters with the kernel's figures at each of its rests."""

from __future__ import annotations

from collections.abc import Callable

from containeragent.counters.snapshot import Reading
from tests.kernel.support.containers import Container, Pages
from tests.kernel.support.counting import Counting
from tests.kernel.support.running import Rest, Running
from tests.kernel.support.waiting import until

# What the interpreter itself may take or give back between two rests. Only says whether the workload did what it is
# meant to do; the comparison with the kernel is exact.
SLACK_PAGES = 1100


def compare_pages(
    counting: Counting,
    container: Container,
    subject: str,
    name: str,
    *arguments: object,
    slack: int = 0,
    before_comparing: Callable[[Rest], None] = lambda _rest: None,
    kernel_counts: Container | None = None,
) -> list[Rest]:
    """Pages are the kernel's at each rest; nothing anonymous is left at the end. The rests, for what they say.

    `kernel_counts` is the container whose figures the kernel has, where that is not the one that runs it.
    """
    rests: list[Rest] = []
    start: Pages | None = None
    with Running(container, subject, name, *arguments) as running:
        for rest in running.rests():
            before_comparing(rest)
            now = _compare(counting, container, rest, slack, kernel_counts)
            start = start or now
            _check_workload(rest, start, now)
            rests.append(rest)
    assert len(rests) > 1
    _compare(counting, container, Rest("ended"), slack, kernel_counts)
    left = until(lambda: counting.pages(container).anon, lambda anon: abs(anon) <= slack)
    assert abs(left) <= slack, f"{left} anonymous pages left of a workload that ended"
    return rests


def _compare(
    counting: Counting, container: Container, rest: Rest, slack: int, kernel_counts: Container | None
) -> Pages:
    try:
        return counting.assert_pages_at_rest(container, rest.too_high_anon, slack, kernel_counts)
    except AssertionError as error:
        raise AssertionError(f"at rest {rest.label!r}: {error}") from None


def _check_workload(rest: Rest, start: Pages, now: Pages) -> None:
    for kind, wanted in rest.pages.items():
        change = getattr(now, kind) - getattr(start, kind)
        assert abs(change - wanted) <= SLACK_PAGES, f"{rest.label!r}: {kind} changed by {change} pages, not {wanted}"


def _counter(reading: Reading, name: str) -> int:
    return int(reading.total["tasks"] if name == "num_tasks" else getattr(reading, name))


def _changes(counting: Counting, container: Container, start: Reading, wanted: dict[str, int]) -> dict[str, int]:
    """Since `start`. Whoever joins a thread hears of its end before the kernel counts it, so that is waited for."""

    def changes() -> dict[str, int]:
        now = counting.reading(container)
        return {name: _counter(now, name) - _counter(start, name) for name in wanted}

    return until(changes, wanted.__eq__, 5)


def compare_tasks(counting: Counting, container: Container, name: str, *arguments: object) -> list[Rest]:
    """Tasks are the lines of cgroup.threads at each rest (not while they fork), and have changed just as it says."""
    rests: list[Rest] = []
    start: Reading | None = None
    with Running(container, "tasks", name, *arguments) as running:
        for rest in running.rests():
            if rest.label == "forking":
                continue
            counting.assert_tasks_at_rest(container)
            start = start or counting.reading(container)
            assert _changes(counting, container, start, rest.tasks) == rest.tasks, f"at rest {rest.label!r}"
            rests.append(rest)
    assert len(rests) > 1
    assert counting.assert_tasks_at_rest(container) == 0
    return rests
