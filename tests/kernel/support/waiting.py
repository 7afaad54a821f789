# SPDX-License-Identifier: Apache-2.0
"""Waiting for what the kernel does in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE_SECONDS = 120.0  # an emulated guest on a busy machine takes a hundred times what a machine takes


def until(
    read: Callable[[], T], good: Callable[[T], bool], seconds: float = PATIENCE_SECONDS, pause_seconds: float = 0.05
) -> T:
    """Read until it is good or the time is up; the last value either way."""
    end = time.monotonic() + seconds
    while True:
        value = read()
        if good(value) or time.monotonic() >= end:
            return value
        time.sleep(pause_seconds)
