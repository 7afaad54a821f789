# SPDX-License-Identifier: Apache-2.0
"""Final records: read once each, in order, and what happens when they are overwritten."""

from __future__ import annotations

import time

import numpy as np

from containeragent.counters.ends import Ends, last_snapshot
from containeragent.counters.records import END, ENDS, STATE
from containeragent.counters.snapshot import UNKNOWN
from tests.unit.snapshots import end, health


class Kernel:
    """Writes records as bpf/cgroups.c does."""

    def __init__(self) -> None:
        self.records = np.zeros(2 * ENDS, dtype=END)
        self.state = np.zeros(1, dtype=STATE)

    def ended(self, path: bytes = b"/c/web", managed: bool = True, **values: int) -> None:
        """One more end."""
        kind = "ends" if managed else "other_ends"
        sequence = int(self.state[kind][0]) + 1
        record = self.records[(0 if managed else ENDS) + (sequence - 1) % ENDS]
        record["path"] = np.frombuffer(path.ljust(320, b"\0"), dtype=np.uint8)
        record["path_bytes"], record["cgroup_id"], record["sequence"] = len(path) + 1, 1000 + sequence, sequence
        record["died_ns"], record["reason"] = time.monotonic_ns(), 0
        for name, value in values.items():
            record[name] = value
        self.state[kind] = sequence

    def ends(self) -> Ends:
        """A reader."""
        return Ends(self.records, self.state)


def test_each_record_once() -> None:
    """Of both kinds; a new reader gets all again."""
    kernel = Kernel()
    ends = kernel.ends()
    assert ends.new() == []
    kernel.ended(forks=23, exits=24, tasks_peak=3, pages_peak=50, pages=9, anon=5, file=4, shmem=1, slot=7)
    kernel.ended(b"/other", managed=False)
    found, other = ends.new()
    assert (found.path, found.forks, found.exits, found.peak_tasks, found.peak_pages) == ("/c/web", 23, 24, 3, 50)
    assert (found.pages, found.local, found.slot) == (9, {"anon": 5, "file": 4, "shmem": 1}, 7)
    assert (found.managed, other.managed, other.path) == (True, False, "/other")
    assert ends.new() == [] and len(kernel.ends().new()) == 2


def test_times_are_of_the_epoch() -> None:
    """And the birth of what was there before the load is unknown."""
    kernel = Kernel()
    now = time.monotonic_ns()
    kernel.ended(born_ns=now - 5_000_000_000, died_ns=now - 2_000_000_000)
    kernel.ended(born_ns=0)
    first, second = kernel.ends().new()
    assert first.born_at is not None and abs(first.died_at - first.born_at - 3) < 1e-3
    assert abs(time.time() - 2 - first.died_at) < 1
    assert second.born_at is None


def test_one_that_is_being_written() -> None:
    """It is there when its sequence is told, and then once."""
    kernel = Kernel()
    ends = kernel.ends()
    kernel.ended()
    kernel.ended()
    kernel.state["ends"] = 1
    assert [one.sequence for one in ends.new()] == [1]
    kernel.state["ends"] = 2
    assert [one.sequence for one in ends.new()] == [2]


def test_the_newest_are_kept() -> None:
    """Who comes too late misses the oldest; the others never push ours out."""
    kernel = Kernel()
    ends = kernel.ends()
    for _ in range(ENDS + 23):
        kernel.ended()
    for _ in range(2 * ENDS):
        kernel.ended(managed=False)
    found = [one.sequence for one in ends.new() if one.managed]
    assert found == list(range(24, ENDS + 24))


def test_a_record_that_is_being_written_is_left() -> None:
    """It is another's by then."""
    kernel = Kernel()
    kernel.ended()
    kernel.ended()
    kernel.records["sequence"][0] = 0
    assert [one.sequence for one in kernel.ends().new()] == [2]


def test_a_reason_stays_with_the_record() -> None:
    """Cut at a letter, not within; not written onto the record of another."""
    kernel = Kernel()
    kernel.ended()
    ends = kernel.ends()
    (found,) = ends.new()
    ends.explain(found, "é" * 40)
    assert kernel.ends().new()[0].reason == "é" * 31
    ends.explain(found, "x" * 80)
    assert kernel.ends().new()[0].reason == "x" * 63
    for _ in range(ENDS):
        kernel.ended()
    ends.explain(found, "late")
    assert {one.reason for one in kernel.ends().new()} == {""}


def test_why_each_ended() -> None:
    """Every record has its own reason, in the place of its sequence."""
    kernel = Kernel()
    for _ in range(3):
        kernel.ended()
    kernel.ended(managed=False)
    ends = kernel.ends()
    for one in ends.new():
        ends.explain(one, f"{one.managed} {one.sequence}")
    assert [one.reason for one in kernel.ends().new()] == ["True 1", "True 2", "True 3", "False 1"]


def test_odd_paths() -> None:
    """Bytes that are not UTF-8, one that is too long, and one that could not be read."""
    kernel = Kernel()
    kernel.ended(b"/c/\xff\n")
    kernel.ended(b"/" + b"x" * 318, path_cut=1)
    kernel.ended(path_bytes=0)
    odd, long, unread = kernel.ends().new()
    assert (odd.path, odd.path_cut) == ("/c/\\xff\n", False)
    assert long.path is not None and (len(long.path), long.path_cut) == (319, True)
    assert unread.path is None


def test_as_columns() -> None:
    """Kinds of pages are unknown where those below are not told apart; so is what is never recorded."""
    ends = [end(7, "/a", forks=23), end(8, "/b", has_children=True, peak_pages=50)]
    last = last_snapshot(ends, health())
    assert last.cgroup_ids == (7, 8) and last.forks.tolist() == [23, 0] and last.peak_pages.tolist() == [0, 50]
    assert last.total["anon"].tolist() == [1, UNKNOWN] and last.local["anon"].tolist() == [1, 1]
    assert (
        last.total["tasks"].tolist() == last.local["tasks"].tolist() == [0, 0]
        and last.total["active"].tolist() == [UNKNOWN] * 2
    )
    assert len(last_snapshot([], health())) == 0


def test_nobody_has_ended() -> None:
    """Columns are of their kinds all the same."""
    none = last_snapshot([], health())
    assert none.peak_tasks.dtype == none.total["anon"].dtype == np.int64 and none.partial.dtype == np.bool_
    assert len(none) == 0
