# SPDX-License-Identifier: Apache-2.0
"""Limits as an attribute of the cgroup itself (cgroups/attributes.py): its owner cannot lift them."""

from __future__ import annotations

import logging

from containeragent.cgroups import attributes
from containeragent.limits.model import Kept

log = logging.getLogger(__name__)

LIMITS = "limits"


def read(directory: int) -> Kept:
    """No limits when there is no attribute, or one that nobody can read."""
    value = attributes.get(directory, LIMITS)
    if value is None:
        return Kept()
    try:
        return Kept.decode(value)
    except (ValueError, TypeError, KeyError):
        name = attributes.PREFIX + LIMITS
        log.error("the attribute %s of a cgroup is not ours to read: %r; its limits are not known", name, value)
        return Kept()


def write(directory: int, kept: Kept) -> None:
    """Keep it; nothing is kept of no limits and no hits."""
    attributes.put(directory, LIMITS, kept.encode() if kept != Kept() else None)
