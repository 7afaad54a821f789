# SPDX-License-Identifier: Apache-2.0
"""Slots are taken and given back, however many containers come and go; nothing is lost while there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from containeragent.counters.records import SLOT_DEAD, SLOT_FREE, SLOT_LIVE
from tests.kernel.conftest import SMALL, WIDE, MakeContainer
from tests.kernel.support.comparing import compare_pages, compare_tasks
from tests.kernel.support.containers import PAGE_BYTES, Container
from tests.kernel.support.counting import Counting
from tests.kernel.support.running import Running
from tests.kernel.support.waiting import until

pytestmark = pytest.mark.every_engine

MAX_DEPTH = 64  # bpf/records.h: levels that peaks and totals are carried up


def test_thousands_of_containers(small_counting: Counting, make_container: MakeContainer) -> None:
    """Empty ones give their slots back at once."""
    parent, before = make_container("parent"), small_counting.take().health
    for turn in range(2003):
        child = parent.child(f"child-{turn}", twin=False)
        child.rmdir()
    for turn in range(SMALL * 3):
        outer = parent.child(f"outer-{turn}", twin=False)
        inner = outer.child("inner", twin=False)
        inner.rmdir()
        outer.rmdir()
    after = small_counting.take().health
    assert (after.slots_exhausted, after.slots_dead) == (before.slots_exhausted, before.slots_dead)


def test_slot_is_free_after_anonymous_memory(small_counting: Counting, make_container: MakeContainer) -> None:
    """Tasks and their memory are gone with the processes, so nothing keeps the slot; at the latest a sweep finds that.

    With engine fentry a word may outlive what the page counted as (bpf/stat.c), so only a sweep tells.
    """
    container = make_container("anon")
    slot = small_counting.slot(container)
    compare_pages(small_counting, container, "anon", "touch_and_drop")
    file_pages = small_counting.pages(container).file
    container.rmdir()
    kept = file_pages or small_counting.stamp.engine == "fentry"
    assert small_counting.state_of_slot(slot) == (SLOT_DEAD if kept else SLOT_FREE)
    with small_counting.sweeper() as sweeper:
        sweeper.sweep()
    assert small_counting.state_of_slot(slot) == SLOT_FREE


def _write_and_leave(counting: Counting, container: Container, folder: Path, pages: int) -> None:
    compare_pages(counting, container, "files", "kept", folder, container.path.name, pages)
    container.rmdir()


def test_page_cache_of_a_removed_container(
    small_counting: Counting, make_container: MakeContainer, disk_folder: Path
) -> None:
    """It counts with the parent, as the parent's own, until it is gone."""
    parent = make_container("parent")
    child = parent.child("child")
    slot = small_counting.slot(child)
    dead = small_counting.take().health.slots_dead
    _write_and_leave(small_counting, child, disk_folder, 313)
    small_counting.assert_pages_at_rest(parent)
    reading = small_counting.reading(parent)
    assert small_counting.state_of_slot(slot) == SLOT_DEAD
    assert small_counting.take().health.slots_dead == dead + 1
    assert 313 <= reading.total["file"] == reading.local["file"]
    other_pages = reading.total["file"] - 313  # what else the workload was the first to read
    (disk_folder / "child").unlink()
    assert until(lambda: small_counting.pages(parent).file, lambda file: file == other_pages) == other_pages


def test_page_cache_of_many(small_counting: Counting, make_container: MakeContainer, disk_folder: Path) -> None:
    """Nothing is lost: the parent's sum stays what the kernel says."""
    parent = make_container("parent")
    for number in range(23):
        outer = parent.child(f"outer-{number}")
        _write_and_leave(small_counting, outer.child(f"inner-{number}"), disk_folder, 31 + number)
        outer.rmdir()
    small_counting.assert_pages_at_rest(parent)
    reading = small_counting.reading(parent)
    assert reading.local["file"] == reading.total["file"] >= sum(31 + number for number in range(23))


@pytest.fixture
def sharing(small_counting: Counting, make_container: MakeContainer) -> tuple[Container, Container]:
    """A parent, and a child that got no slot any more."""
    parent = make_container("parent")
    for number in range(SMALL * 2):
        child = parent.child(f"child-{number}")
        if small_counting.take().reading(child.id) is None:
            return parent, child
    raise AssertionError("every container got a slot")


def test_exhausted_slots_are_counted(small_counting: Counting, sharing: tuple[Container, Container]) -> None:
    """Each container without a slot adds one."""
    parent, _ = sharing
    before = small_counting.take().health.slots_exhausted
    for number in range(7):
        parent.child(f"more-{number}", twin=False)
    assert small_counting.take().health.slots_exhausted == before + 7


def test_without_a_slot_the_parent_counts(
    small_counting: Counting, sharing: tuple[Container, Container], disk_folder: Path
) -> None:
    """Tasks and pages are the parent's own, also those of containers below, and stay it when they are removed."""
    parent, child = sharing
    below = child.child("below")
    _run_without_a_slot(small_counting, parent, child, "tasks", "forks")
    _run_without_a_slot(small_counting, parent, below, "files", "kept", disk_folder, "below", 127)
    for container in (below, child):
        container.rmdir()
        small_counting.assert_pages_at_rest(parent)
    reading = small_counting.reading(parent)
    assert (reading.forks, reading.exits) == (23 * 43 + 23, 23 * 43 + 23 + 2)
    assert reading.local["file"] == reading.total["file"] >= 127


def _run_without_a_slot(
    counting: Counting, parent: Container, container: Container, subject: str, *arguments: object
) -> None:
    with Running(container, subject, *arguments) as running:
        for _ in running.rests():
            assert counting.take().reading(container.id) is None
            counting.assert_pages_at_rest(parent)
            counting.assert_tasks_at_rest(parent)


def test_slots_come_back(small_counting: Counting, sharing: tuple[Container, Container]) -> None:
    """Once others are removed, a new container has its own slot and begins at zero."""
    parent, child = sharing
    child.remove()
    for folder in sorted(parent.path.glob("child-*"))[:5]:
        Container.remove(_existing(parent, folder.name))
    fresh = parent.child("fresh")
    reading = small_counting.reading(fresh)
    assert small_counting.state_of_slot(small_counting.slot(fresh)) == SLOT_LIVE
    assert (reading.total["tasks"], reading.forks, reading.exits, reading.peak_tasks, reading.peak_pages) == (
        0,
        0,
        0,
        0,
        0,
    )
    assert (reading.total["anon"], reading.total["file"], reading.total["shmem"]) == (0, 0, 0)


def _existing(parent: Container, name: str) -> Container:
    found = object.__new__(Container)
    found.path, found.twin = parent.path / name, parent.twin / name if parent.twin else None
    return found


def test_deep(counting: Counting, make_container: MakeContainer) -> None:
    """Tasks and pages of the deepest of 70 count with every one above; peaks and forks reach the nearest 64."""
    chain = [make_container("deep")]
    for level in range(69):
        chain.append(chain[-1].child(f"{level}"))
    compare_pages(counting, chain[-1], "anon", "populate")
    compare_tasks(counting, chain[-1], "threads", 23)
    for container in chain:
        counting.assert_pages_at_rest(container)
        counting.assert_tasks_at_rest(container)
    readings = [counting.reading(container) for container in chain]
    nearest = readings[-MAX_DEPTH:]
    assert {reading.forks for reading in nearest} == {readings[-1].forks} != {0}
    assert {reading.peak_tasks for reading in nearest} == {24}
    assert all(reading.peak_pages * PAGE_BYTES > 64 << 20 for reading in nearest)


def test_high_slot_numbers(
    wide_counting: Counting, make_container: MakeContainer, disk_folder: Path, tmpfs_folder: Path
) -> None:
    """Tasks and pages of containers whose slots need more than 16 bits are theirs and their parents', to the last."""
    parent = make_container("parent")
    child, sibling = parent.child("child"), parent.child("sibling")
    slots = [wide_counting.slot(container) for container in (parent, child, sibling)]
    assert min(slots) >= WIDE
    compare_tasks(wide_counting, child, "forks")
    compare_pages(wide_counting, child, "anon", "touch_and_drop")
    compare_pages(wide_counting, child, "anon", "huge")
    compare_pages(wide_counting, sibling, "files", "disk", disk_folder)
    compare_pages(wide_counting, child, "files", "kept", tmpfs_folder, "kept", 313)
    for container in (child, sibling, parent):
        wide_counting.assert_pages_at_rest(container)
        wide_counting.assert_tasks_at_rest(container)
    below = [wide_counting.reading(container) for container in (child, sibling)]
    assert wide_counting.reading(parent).forks == sum(reading.forks for reading in below) >= 23 * 43
    assert below[1].total["shmem"] == 0
    with wide_counting.looking() as look:
        seen = look(child)
    assert (seen["shmem"], seen["file"]) == (313, wide_counting.pages(child).file)


def test_high_slot_numbers_come_back(wide_counting: Counting, make_container: MakeContainer, disk_folder: Path) -> None:
    """Pages of a removed one are given to its parent."""
    parent = make_container("parent")
    child = parent.child("child")
    slot = wide_counting.slot(child)
    assert slot >= WIDE
    _write_and_leave(wide_counting, child, disk_folder, 313)
    assert wide_counting.state_of_slot(slot) == SLOT_DEAD
    with wide_counting.sweeper() as sweeper:
        sweeper.sweep()
    assert wide_counting.state_of_slot(slot) == SLOT_FREE
    wide_counting.assert_pages_at_rest(parent)
    assert wide_counting.reading(parent).local["file"] >= 313
