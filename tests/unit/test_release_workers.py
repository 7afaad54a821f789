# SPDX-License-Identifier: Apache-2.0
"""The threads that handle releases: how many, in which order, how much may wait."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from containeragent.release.workers import Workers

PATIENCE_SECONDS = 30


def test_so_many_at_once_and_no_more() -> None:
    """The rest waits; what finds no room is refused. Nothing is lost, and nobody who puts waits."""
    gate, started, done = threading.Event(), threading.Semaphore(0), []

    def work(cgroup_id: int) -> None:
        started.release()
        assert gate.wait(PATIENCE_SECONDS)
        done.append(cgroup_id)

    workers = Workers(work, at_once=2, most_waiting=3)
    for number in (1, 2):
        assert workers.put(number) and started.acquire(timeout=PATIENCE_SECONDS)
    assert [workers.put(number) for number in (3, 4, 5, 6)] == [True, True, True, False]
    assert workers.waiting == 3 and not started.acquire(blocking=False)
    gate.set()
    for _ in range(3):
        assert started.acquire(timeout=PATIENCE_SECONDS)
    workers.close()
    assert sorted(done) == [1, 2, 3, 4, 5]


def test_what_waits_at_the_end_is_left() -> None:
    """What runs may end."""
    gate, started, done = threading.Event(), threading.Event(), []

    def work(cgroup_id: int) -> None:
        started.set()
        gate.wait(PATIENCE_SECONDS)
        done.append(cgroup_id)

    workers = Workers(work, at_once=1)
    for number in (1, 2, 3):
        workers.put(number)
    assert started.wait(PATIENCE_SECONDS)
    threading.Timer(0.2, gate.set).start()
    workers.close()
    assert done == [1]


def test_a_failure_ends_no_worker(caplog: pytest.LogCaptureFixture) -> None:
    """It is in the log."""
    done = threading.Event()

    def work(cgroup_id: int) -> None:
        if cgroup_id == 1:
            raise RuntimeError("made to fail")
        done.set()

    workers = Workers(work, at_once=1)
    assert workers.put(1) and workers.put(2) and done.wait(PATIENCE_SECONDS)
    workers.close()
    assert "made to fail" in caplog.text


def test_rights_are_given_up_in_the_workers_alone() -> None:
    """Ours stay."""
    seen: list[str] = []
    done = threading.Event()

    def work(_: int) -> None:
        seen.append(_privileges(threading.get_native_id()))
        done.set()

    workers = Workers(work)
    before = _privileges(threading.get_native_id())
    assert workers.put(1) and done.wait(PATIENCE_SECONDS)
    workers.close()
    assert seen == ["CapAmb:\t0000000000000000 NoNewPrivs:\t1"]
    assert _privileges(threading.get_native_id()) == before


def _privileges(thread: int) -> str:
    lines = Path(f"/proc/self/task/{thread}/status").read_text().splitlines()
    return " ".join(line for line in lines if line.startswith(("NoNewPrivs:", "CapAmb:")))
