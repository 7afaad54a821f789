# SPDX-License-Identifier: Apache-2.0
"""CPUs that this host can ever have."""

from __future__ import annotations

from pathlib import Path


def count_of_list(text: str) -> int:
    """One more than the highest number of a CPU list such as "0-3,8"."""
    return max(int(part.split("-")[-1]) for part in text.strip().split(",")) + 1


def possible() -> int:
    """Possible CPUs; the kernel numbers them from 0."""
    return count_of_list(Path("/sys/devices/system/cpu/possible").read_text())
