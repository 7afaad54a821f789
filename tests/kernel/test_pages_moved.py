# SPDX-License-Identifier: Apache-2.0
"""Pages that the kernel moves to other frames stay with their container."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kernel.support.comparing import compare_pages
from tests.kernel.support.containers import Container
from tests.kernel.support.counting import Counting
from tests.kernel.support.running import Rest

LEAST_MIGRATED = 1000


def _assert_migrated(rests: list[Rest]) -> None:
    migrated = max(rest.facts.get("migrated", 0) for rest in rests)
    assert migrated >= LEAST_MIGRATED, f"the kernel only moved {migrated} pages"


@pytest.mark.parametrize("name", ["anon", "anon_of_several", "shmem"])
def test_compaction_of_memory(counting: Counting, container: Container, name: str) -> None:
    """Anonymous and shared memory."""
    _assert_migrated(compare_pages(counting, container, "moving", name))


@pytest.mark.parametrize("name", ["file", "file_mapped", "everything"])
def test_compaction_of_page_cache(counting: Counting, container: Container, disk_folder: Path, name: str) -> None:
    """Page cache, mapped and not."""
    _assert_migrated(compare_pages(counting, container, "moving", name, disk_folder))
    assert counting.take().health.pages_lost == 0
