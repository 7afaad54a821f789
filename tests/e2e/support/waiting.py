# SPDX-License-Identifier: Apache-2.0
"""Waiting, with a deadline far beyond what it takes, for what happens in its own time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE_SECONDS = 600.0  # an emulated guest on a busy machine takes a hundred times what a machine takes
# What is quick on a machine is not in a guest that emulates one.
SLOWER = 20 if "CONTAINERAGENT_GUEST" in os.environ else 1


def until(read: Callable[[], T], good: Callable[[T], bool], what: str, seconds: float = PATIENCE_SECONDS) -> T:
    """Read until it is good; an AssertionError that says `what` was waited for when the time is up."""
    end = time.monotonic() + seconds
    while True:
        value = read()
        if good(value):
            return value
        assert time.monotonic() < end, f"{what}: still {value!r} after {seconds:g} s"
        time.sleep(0.05)
