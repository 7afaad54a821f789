# SPDX-License-Identifier: Apache-2.0
"""A sweep gives the pages of removed containers to those above, and the slots back."""

from __future__ import annotations

from pathlib import Path

import pytest

from containeragent.counters.records import SLOT_DEAD, SLOT_FREE
from tests.kernel.conftest import SMALL, MakeContainer
from tests.kernel.support.comparing import compare_pages
from tests.kernel.support.containers import Container, Pages
from tests.kernel.support.counting import Counting
from tests.kernel.support.running import Running
from tests.kernel.support.waiting import until

pytestmark = pytest.mark.every_engine


@pytest.fixture
def dead(
    small_counting: Counting, make_container: MakeContainer, disk_folder: Path, tmpfs_folder: Path
) -> tuple[Container, list[int]]:
    """A living container with page cache that four removed ones below it left, and their slots."""
    with small_counting.sweeper() as sweeper:
        sweeper.sweep()  # earlier tests may have left few slots
    parent = make_container("parent")
    outer = parent.child("outer")
    inner, tmpfs, plain = outer.child("inner"), parent.child("tmpfs"), parent.child("plain")
    slots = [small_counting.slot(container) for container in (outer, inner, tmpfs, plain)]
    for container, folder in ((inner, disk_folder), (outer, disk_folder), (tmpfs, tmpfs_folder), (plain, disk_folder)):
        compare_pages(small_counting, container, "files", "kept", folder, container.path.name, 211)
    for container in (inner, outer, tmpfs, plain):
        container.rmdir()
    return parent, slots


def _local(counting: Counting, container: Container) -> Pages:
    reading = counting.reading(container)
    return Pages(*(reading.local[kind] for kind in ("anon", "file", "shmem", "mapped")))


def test_slots_are_free_and_pages_are_kept(small_counting: Counting, dead: tuple[Container, list[int]]) -> None:
    """The living one holds exactly what it held, and the kernel says so too."""
    parent, slots = dead
    assert [small_counting.state_of_slot(slot) for slot in slots] == [SLOT_DEAD] * 4
    before, peak = _local(small_counting, parent), small_counting.reading(parent).peak_pages
    with small_counting.sweeper() as sweeper:
        assert sweeper.sweep() >= 4
    assert [small_counting.state_of_slot(slot) for slot in slots] == [SLOT_FREE] * 4
    assert _local(small_counting, parent) == before
    assert (before.file >= 4 * 211, before.shmem) == (True, 211)
    assert small_counting.reading(parent).peak_pages == peak
    small_counting.assert_pages_at_rest(parent)


def test_pages_go_after_a_sweep(
    small_counting: Counting, dead: tuple[Container, list[int]], disk_folder: Path, tmpfs_folder: Path
) -> None:
    """What the heir got is taken from it when it is freed."""
    parent, _ = dead
    with small_counting.sweeper() as sweeper:
        sweeper.sweep()
    before = small_counting.pages(parent)
    for file in (*disk_folder.iterdir(), *tmpfs_folder.iterdir()):
        file.unlink()
    wanted = Pages(0, before.file - 4 * 211, 0, before.mapped)
    assert until(lambda: small_counting.pages(parent), lambda pages: pages == wanted) == wanted
    small_counting.assert_pages_at_rest(parent)


def test_next_container_begins_at_zero(small_counting: Counting, dead: tuple[Container, list[int]]) -> None:
    """Slots are taken again in turn, and have nothing of their last owner."""
    parent, slots = dead
    with small_counting.sweeper() as sweeper:
        sweeper.sweep()
    before, seen = small_counting.pages(parent), set()
    for turn in range(SMALL * 2):
        fresh = parent.child(f"fresh-{turn}", twin=False)
        seen.add(small_counting.slot(fresh))
        reading = small_counting.reading(fresh)
        assert (reading.total["file"], reading.total["shmem"], reading.peak_pages, reading.forks) == (0, 0, 0, 0)
        fresh.rmdir()
    assert set(slots) <= seen
    assert small_counting.pages(parent) == before


def test_while_pages_come_and_go(
    small_counting: Counting, dead: tuple[Container, list[int]], make_container: MakeContainer
) -> None:
    """Sweeps beside faults of small and huge pages, in a container that is swept away too."""
    parent, _ = dead
    busy = parent.child("busy")
    with small_counting.sweeper() as sweeper, Running(busy, "anon", "storm", 3, 2) as running:
        for rest in running.rests():
            if rest.label == "faulting":
                assert sum(sweeper.sweep() for _ in range(3)) >= 4
            small_counting.assert_pages_at_rest(parent) if rest.label == "calm" else None
    small_counting.assert_pages_at_rest(parent)
    busy.rmdir()
    with small_counting.sweeper() as sweeper:
        sweeper.sweep()
    small_counting.assert_pages_at_rest(parent)
    assert small_counting.reading(parent).local["anon"] == 0


def test_when_a_sweep_is_due(small_counting: Counting, dead: tuple[Container, list[int]]) -> None:
    """At once when an eighth of the slots is dead, else after some patience, and not when there is nothing to do."""
    parent, _ = dead
    with small_counting.sweeper(patience_seconds=60) as sweeper:
        assert not sweeper.due(now=100.0)
        assert not sweeper.due(now=159.0)
        assert sweeper.due(now=160.0)
        sweeper.sweep()
        assert not sweeper.due(now=161.0)
    small_counting.assert_pages_at_rest(parent)
