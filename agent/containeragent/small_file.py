# SPDX-License-Identifier: Apache-2.0
"""Files that an administrator writes, read whole. Nothing is waited for: no pipe, no device, no huge file.

In: a path. Out: its content, and the state of what was read, so that what is trusted and what is read are the same.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from containeragent.errors import Refused
from containeragent.events.event import printable

MOST_BYTES = 1 << 20
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def read(path: Path, *, follow: bool) -> tuple[bytes, os.stat_result]:
    """OSError where it cannot be opened, or is a link and not to be followed; Refused where it is nothing to read."""
    try:
        descriptor = os.open(path, _FLAGS | (0 if follow else os.O_NOFOLLOW))
    except ValueError:  # a NUL, or what stands for no byte
        raise OSError(errno.EINVAL, "no file can have this name") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise refusal(path, "it is not a regular file")
        raw = os.read(descriptor, MOST_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(raw) > MOST_BYTES:
        raise refusal(path, f"it has more than {MOST_BYTES >> 20} MiB")
    return raw, found


def refusal(path: Path, why: str) -> Refused:
    """One line that begins with the path."""
    return Refused("EINVAL", printable(f"{path}: {why}"))
