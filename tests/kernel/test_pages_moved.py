# SPDX-License-Identifier: Apache-2.0
"""Pages that the kernel moves to other frames stay with their container."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kernel.support.comparing import compare_pages
from tests.kernel.support.containers import Container
from tests.kernel.support.counting import Counting

pytestmark = pytest.mark.every_engine

# Of some 50 000 pages: none may be off.
SLACK_PAGES = 0
LEAST_MIGRATED = 23
ATTEMPTS = 12


def _compare(counting: Counting, container: Container, name: str, *arguments: object) -> None:
    """How much the kernel finds worth moving differs, so until it moved some; pages are compared each time."""
    moved: list[int] = []
    while not moved or (max(moved) < LEAST_MIGRATED and len(moved) < ATTEMPTS):
        rests = compare_pages(counting, container, "moving", name, *arguments, slack=SLACK_PAGES)
        moved.append(max(rest.facts.get("migrated", 0) for rest in rests))
    assert max(moved) >= LEAST_MIGRATED, f"the kernel only moved {moved} pages"


@pytest.mark.parametrize("name", ["anon", "anon_of_several", "shmem"])
def test_compaction_of_memory(counting: Counting, container: Container, name: str) -> None:
    """Anonymous and shared memory."""
    _compare(counting, container, name)


@pytest.mark.parametrize("name", ["file", "file_mapped", "everything"])
def test_compaction_of_page_cache(counting: Counting, container: Container, disk_folder: Path, name: str) -> None:
    """Page cache, mapped and not."""
    _compare(counting, container, name, disk_folder)
    assert counting.take().health.pages_lost == 0
