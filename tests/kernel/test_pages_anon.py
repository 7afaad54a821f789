# SPDX-License-Identifier: Apache-2.0
"""Anonymous pages at rest are the kernel's, to the page."""

from __future__ import annotations

import pytest

from tests.kernel.support.comparing import compare_pages
from tests.kernel.support.containers import Container
from tests.kernel.support.counting import Counting


@pytest.mark.parametrize(
    "name",
    [
        "touch_and_drop", "populate", "locked", "remapped", "zero_page", "huge", "huge_parts", "huge_protected",
        "collapsed", "forked", "huge_forked", "hugetlb",
    ],
)
def test_at_rest(counting: Counting, container: Container, name: str) -> None:
    """Each of workloads/anon.py."""
    compare_pages(counting, container, "anon", name)
