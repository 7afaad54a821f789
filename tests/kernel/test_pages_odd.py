# SPDX-License-Identifier: Apache-2.0
"""Pages that come and go in less usual ways are the kernel's, to the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kernel.support.comparing import compare_pages
from tests.kernel.support.containers import Container
from tests.kernel.support.counting import Counting
from tests.kernel.support.settings import HUGE_PAGES, setting

pytestmark = pytest.mark.every_engine

KSM = HUGE_PAGES.parent / "ksm"


@pytest.mark.parametrize("name", ["freed_lazily", "by_userfaultfd", "system_v", "remote", "killed_at_once", "programs"])
def test_memory(counting: Counting, container: Container, name: str) -> None:
    """Memory of processes."""
    compare_pages(counting, container, "odd", name)


@pytest.mark.parametrize("name", ["private_file", "pipes", "asynchronous", "direct"])
def test_files(counting: Counting, container: Container, disk_folder: Path, name: str) -> None:
    """Files on a disk."""
    compare_pages(counting, container, "odd", name, disk_folder)


def test_tmpfs(counting: Counting, container: Container, tmpfs_folder: Path) -> None:
    """Files on tmpfs."""
    compare_pages(counting, container, "odd", "allocated_ahead", tmpfs_folder)


def test_merged_by_ksm(counting: Counting, container: Container) -> None:
    """Equal pages become one, which stays with its container."""
    with setting(KSM / "sleep_millisecs", "1"), setting(KSM / "pages_to_scan", "2000"), setting(KSM / "run", "1"):
        rests = compare_pages(counting, container, "odd", "merged")
    assert max(rest.facts.get("sharing", 0) for rest in rests) > 0, "KSM did nothing"
