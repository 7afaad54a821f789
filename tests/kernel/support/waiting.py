# SPDX-License-Identifier: Apache-2.0
"""Waiting for what the kernel does in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(read: Callable[[], T], good: Callable[[T], bool], seconds: float = 10.0, pause_seconds: float = 0.05) -> T:
    """Read until it is good or the time is up; the last value either way."""
    end = time.monotonic() + seconds
    while True:
        value = read()
        if good(value) or time.monotonic() >= end:
            return value
        time.sleep(pause_seconds)
