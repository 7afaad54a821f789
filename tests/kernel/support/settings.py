# SPDX-License-Identifier: Apache-2.0
"""Kernel settings that a test changes for a while."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage")
HUGETLB_POOL = Path("/proc/sys/vm/nr_hugepages")
KHUGEPAGED = HUGE_PAGES / "khugepaged"


def _chosen(text: str) -> str:
    """The value in brackets, as sysfs shows a choice, or all of it."""
    found = re.search(r"\[(\S+)\]", text)
    return found[1] if found else text.strip()


@contextlib.contextmanager
def setting(path: Path, value: str) -> Iterator[None]:
    """The setting has this value inside, and what it had before afterwards."""
    before = _chosen(path.read_text())
    path.write_text(value)
    try:
        yield
    finally:
        path.write_text(before)
