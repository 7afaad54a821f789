# SPDX-License-Identifier: Apache-2.0
"""Anonymous pages at rest are the kernel's, to the page."""

from __future__ import annotations

import pytest

from tests.kernel.support.comparing import compare_pages
from tests.kernel.support.containers import Container
from tests.kernel.support.counting import Counting
from tests.kernel.support.settings import HUGETLB_POOL, KHUGEPAGED, setting

pytestmark = pytest.mark.every_engine


@pytest.mark.parametrize(
    "name",
    [
        "touch_and_drop",
        "populate",
        "locked",
        "remapped",
        "zero_page",
        "huge",
        "huge_parts",
        "huge_protected",
        "collapsed",
        "forked",
        "huge_forked",
    ],
)
def test_at_rest(counting: Counting, container: Container, name: str) -> None:
    """Each of workloads/anon.py."""
    compare_pages(counting, container, "anon", name)


def test_collapse_by_khugepaged(counting: Counting, container: Container) -> None:
    """Pages that khugepaged puts together into huge ones are still the container's."""
    with setting(KHUGEPAGED / "scan_sleep_millisecs", "50"), setting(KHUGEPAGED / "alloc_sleep_millisecs", "50"):
        rests = compare_pages(counting, container, "anon", "collapsed_by_kernel", 180)
    assert max(rest.facts.get("huge", 0) for rest in rests) > 0, "khugepaged did nothing"


def test_hugetlb_is_nobodys(counting: Counting, container: Container) -> None:
    """The pool of huge pages is not anonymous memory of whoever made it grow."""
    with setting(HUGETLB_POOL, HUGETLB_POOL.read_text().strip()):
        compare_pages(counting, container, "anon", "hugetlb")
