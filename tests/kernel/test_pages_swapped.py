# SPDX-License-Identifier: Apache-2.0
"""Pages that go to swap and come back, by faults and by swapoff, are the kernel's to the page (engine fentry)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.support.comparing import compare_pages
from tests.kernel.support.containers import Container
from tests.kernel.support.counting import Counting
from tests.kernel.support.running import Rest
from tests.kernel.support.settings import HUGE_PAGES, setting
from tests.kernel.support.swap import Swap, reclaim, swapping


def _do(container: Container, swap: Swap) -> Callable[[Rest], None]:
    """What a rest's label asks for."""

    def at_rest(rest: Rest) -> None:
        if rest.label == "reclaim":
            before = _swapped(container)
            reclaim(container)
            assert _swapped(container) > before, "nothing went to swap"
        elif rest.label == "swapoff":
            swap.off()

    return at_rest


def _swapped(container: Container) -> int:
    return int((container.path / "memory.swap.current").read_text())


@pytest.mark.parametrize("kind", ["zram", "file"])
@pytest.mark.parametrize("name", ["anon", "huge", "shared", "forked"])
def test_at_rest(counting: Counting, container: Container, disk_folder: Path, name: str, kind: str) -> None:
    """Each of workloads/swapping.py."""
    with swapping(kind, disk_folder) as swap, setting(HUGE_PAGES / "enabled", "madvise"):
        compare_pages(counting, container, "swapping", name, before_comparing=_do(container, swap))


def test_below_the_memory_controller(counting: Counting, container: Container, disk_folder: Path) -> None:
    """A cgroup without the controller has its own pages, also after they were in swap: only its ancestor is charged."""
    child = container.child("plain", twin=False)
    with swapping("file", disk_folder) as swap:
        compare_pages(
            counting, child, "swapping", "forked", before_comparing=_do(container, swap), kernel_counts=container
        )
    assert counting.reading(container).local["anon"] == 0
    assert counting.reading(child).peak_pages > 8192
