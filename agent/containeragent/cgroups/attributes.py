# SPDX-License-Identifier: Apache-2.0
"""What the agent keeps on a cgroup itself: it outlives the agent and dies with the cgroup.

In: a descriptor of the cgroup's directory. Out: short values by key. They are `user.` extended attributes (cgroup2 has
them since v5.7, and they need no capability) of a file that only root may write, so that who owns a container's
directory cannot change them.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

FILE = "cgroup.events"
PREFIX = "user.containeragent."
_ABSENT = (errno.ENODATA, errno.ENODEV, errno.ENOENT)


@contextlib.contextmanager
def _file(directory: int) -> Iterator[int]:
    descriptor = os.open(FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read(directory: int) -> dict[str, str]:
    """All of ours, by key without the prefix."""
    with _file(directory) as file:
        found = [name for name in os.listxattr(file) if name.startswith(PREFIX)]
        return {name.removeprefix(PREFIX): os.getxattr(file, name).decode("utf-8", "replace") for name in found}


def get(directory: int, key: str) -> bytes | None:
    """One; None when there is none, or the cgroup is gone."""
    try:
        with _file(directory) as file:
            return os.getxattr(file, PREFIX + key)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise


def put(directory: int, key: str, value: str | bytes | None) -> None:
    """Set one; with None take it away."""
    with _file(directory) as file:
        if value is not None:
            os.setxattr(file, PREFIX + key, value.encode() if isinstance(value, str) else value)
            return
        try:
            os.removexattr(file, PREFIX + key)
        except OSError as error:
            if error.errno != errno.ENODATA:
                raise
