# SPDX-License-Identifier: Apache-2.0
"""Limits on the cgroup itself, as an extended attribute: they outlive the agent and die with the cgroup.

It is on a file that nobody who was given the container may write, so that its owner cannot lift its limits. `user.`
attributes need no capability; cgroup2 has them since v5.7.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Iterator

from containeragent.limits.model import Kept

log = logging.getLogger(__name__)

FILE = "cgroup.events"
LIMITS = "user.containeragent.limits"
_ABSENT = (errno.ENODATA, errno.ENODEV, errno.ENOENT)


@contextlib.contextmanager
def _file(directory: int) -> Iterator[int]:
    descriptor = os.open(FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def get(directory: int, attribute: str) -> bytes | None:
    """An attribute of the cgroup behind a descriptor; None when there is none."""
    try:
        with _file(directory) as file:
            return os.getxattr(file, attribute)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise


def put(directory: int, attribute: str, value: bytes | None) -> None:
    """Set an attribute, or with None take it away."""
    with _file(directory) as file:
        if value is not None:
            os.setxattr(file, attribute, value)
            return
        try:
            os.removexattr(file, attribute)
        except OSError as error:
            if error.errno != errno.ENODATA:
                raise


def read(directory: int) -> Kept:
    """No limits when there is no attribute, or one that nobody can read."""
    value = get(directory, LIMITS)
    if value is None:
        return Kept()
    try:
        return Kept.decode(value)
    except (ValueError, TypeError, KeyError):
        log.error("the attribute %s of a cgroup is not ours to read: %r; its limits are not known", LIMITS, value)
        return Kept()


def write(directory: int, kept: Kept) -> None:
    """Keep it; nothing is kept of no limits and no hits."""
    put(directory, LIMITS, kept.encode() if kept != Kept() else None)
