# SPDX-License-Identifier: Apache-2.0
"""What a look at every page frame finds is memory.stat, to the page: mapped and active pages too."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.kernel.support.containers import PAGE_BYTES, Container
from tests.kernel.support.counting import Counting
from tests.kernel.support.running import Running
from tests.kernel.support.settings import setting
from tests.kernel.support.waiting import until

Seen = dict[str, int]
GENERATIONS = Path("/sys/kernel/mm/lru_gen/enabled")
FEW = 1000  # what the interpreter itself may have


def lists() -> contextlib.AbstractContextManager[None]:
    """Active and inactive lists, also where the kernel keeps generations, which flags do not tell."""
    return setting(GENERATIONS, "0") if GENERATIONS.exists() else contextlib.nullcontext()


def compare_seen(counting: Counting, container: Container, subject: str, name: str, *arguments: object) -> list[Seen]:
    """At each rest of a workload, and after its end; what the kernel said, from rest to rest."""
    figures: list[Seen] = []
    with counting.looking() as look:

        def off() -> tuple[Seen, Seen]:
            found, kernel = look(container), container.kernel_seen()
            return {
                kind: pages - kernel[kind] for kind, pages in found.items() if pages != kernel.get(kind, pages)
            }, kernel

        def compare(label: str) -> None:
            different, kernel = until(off, lambda pair: not pair[0], pause_seconds=0.3)
            assert not different, f"at rest {label!r}: off by {different} from {kernel}"
            figures.append(kernel)

        with Running(container, subject, name, *arguments) as running:
            for rest in running.rests():
                compare(rest.label)
        compare("ended")
    return figures


@pytest.mark.parametrize("name", ["touch_and_drop", "locked", "huge", "huge_parts", "forked", "collapsed"])
def test_anon(counting: Counting, container: Container, name: str) -> None:
    """Active pages of anonymous memory; of a huge page that is unmapped in part, anon is what is mapped."""
    compare_seen(counting, container, "anon", name)


@pytest.mark.parametrize("name", ["disk", "mapped", "parts"])
def test_disk(counting: Counting, container: Container, disk_folder: Path, name: str) -> None:
    """Files on a disk."""
    compare_seen(counting, container, "files", name, disk_folder)


@pytest.mark.parametrize("name", ["shared_anon", "memfd"])
def test_shared_memory(counting: Counting, container: Container, name: str) -> None:
    """Shared memory."""
    compare_seen(counting, container, "files", name)


def test_tmpfs(counting: Counting, container: Container, tmpfs_folder: Path) -> None:
    """Files on tmpfs."""
    compare_seen(counting, container, "files", "tmpfs", tmpfs_folder)


def test_reclaim(counting: Counting, container: Container, disk_folder: Path) -> None:
    """Pages that reclaim takes off the active lists."""
    container.limit_memory(8192 * PAGE_BYTES)
    with lists():
        compare_seen(counting, container, "files", "reclaimed", disk_folder, 8192)


def test_compaction(counting: Counting, container: Container, disk_folder: Path) -> None:
    """Mapped page cache in other frames than before."""
    figures = compare_seen(counting, container, "moving", "file_mapped", disk_folder)
    assert max(seen["mapped"] for seen in figures) > FEW


def test_active_by_reading_again(counting: Counting, container: Container, disk_folder: Path) -> None:
    """Page cache that is read again gets onto the active list."""
    with lists():
        written, read, again, *_ = compare_seen(counting, container, "lists", "read_again", disk_folder)[1:]
    assert written["active"] < read["active"] + FEW < again["active"] - FEW


def test_mapped_in_part(counting: Counting, container: Container, disk_folder: Path) -> None:
    """Of a large folio of page cache, the pages that someone maps are mapped, not all of them."""
    _, mapped, less, unmapped, *_ = compare_seen(counting, container, "lists", "mapped_in_part", disk_folder)[1:]
    assert FEW < less["mapped"] - unmapped["mapped"] < mapped["mapped"] - unmapped["mapped"]
