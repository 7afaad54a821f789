# SPDX-License-Identifier: Apache-2.0
"""CPUs that this host can ever have."""

from __future__ import annotations

import re
from pathlib import Path

_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)
_MOST = 1 << 16


def count_of_list(text: str) -> int:
    """One more than the highest number of a CPU list such as "0-3,8"."""
    return max(int(part.split("-")[-1]) for part in text.strip().split(",")) + 1


def numbers_of_list(text: str) -> frozenset[int] | None:
    """Those of a list such as "0-3,8"; None of what is none, or names more than any host has."""
    found: set[int] = set()
    for part in text.split(",") if text else ():
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            return None
        first, last = int(match[1]), int(match[2] or match[1])
        found |= set(range(first, min(last, _MOST) + 1))
    return frozenset(found)


def possible() -> int:
    """Possible CPUs; the kernel numbers them from 0."""
    return count_of_list(Path("/sys/devices/system/cpu/possible").read_text())
