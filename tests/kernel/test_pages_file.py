# SPDX-License-Identifier: Apache-2.0
"""Page cache, tmpfs and shared memory at rest are the kernel's, to the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kernel.support.comparing import compare_pages
from tests.kernel.support.containers import PAGE_BYTES, Container
from tests.kernel.support.counting import Counting
from tests.kernel.support.settings import HUGE_PAGES, setting

pytestmark = pytest.mark.every_engine


@pytest.mark.parametrize("name", ["disk", "mapped", "sparse", "parts", "kept"])
def test_disk_at_rest(counting: Counting, container: Container, disk_folder: Path, name: str) -> None:
    """Files on a disk."""
    compare_pages(counting, container, "files", name, disk_folder)


def test_tmpfs_at_rest(counting: Counting, container: Container, tmpfs_folder: Path) -> None:
    """Files on tmpfs."""
    compare_pages(counting, container, "files", "tmpfs", tmpfs_folder)


@pytest.mark.parametrize("name", ["shared_anon", "shared_with_child", "memfd"])
def test_shared_memory_at_rest(counting: Counting, container: Container, name: str) -> None:
    """Shared memory."""
    compare_pages(counting, container, "files", name)


def test_collapse_of_shared_memory(counting: Counting, container: Container) -> None:
    """Huge pages of shared memory."""
    with setting(HUGE_PAGES / "shmem_enabled", "advise"):
        compare_pages(counting, container, "files", "shmem_collapsed")


def test_reclaim_under_a_limit(counting: Counting, container: Container, disk_folder: Path) -> None:
    """The kernel takes page cache away while the workload reads it again and again."""
    pages = 8192
    container.limit_memory(pages * PAGE_BYTES)
    compare_pages(counting, container, "files", "reclaimed", disk_folder, pages)
    assert counting.reading(container).peak_pages <= pages + 1024
