# SPDX-License-Identifier: Apache-2.0
"""What one cgroup's own files say (Documentation/admin-guide/cgroup-v2.rst).

In: the cgroup's folder, as bytes because any byte may be in a name. Out: numbers; None for what this kernel or this
cgroup has no file for, and for a cgroup that is gone.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping

Pages = dict[str, int]  # bytes by the names of COUNTERS
_GONE = (errno.ENOENT, errno.ENODEV, errno.ENOTDIR, errno.EOPNOTSUPP)
_PARTS: Mapping[str, tuple[bytes, ...]] = {
    "anon": (b"anon",),
    "file": (b"file",),
    "shmem": (b"shmem",),
    "mapped": (b"file_mapped",),
    "active": (b"active_anon", b"active_file"),
}
_LINE = re.compile(rb"^(%s) (\d+)$" % b"|".join(part for parts in _PARTS.values() for part in parts), re.MULTILINE)


def _text(path: bytes) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            text = b""
            while more := os.read(descriptor, 1 << 16):
                text += more
            return text
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise


def tasks(folder: bytes) -> list[int] | None:
    """Thread ids directly in the cgroup."""
    text = _text(folder + b"/cgroup.threads")
    return None if text is None else list(map(int, text.split()))


def parse_memory_stat(text: bytes) -> Pages | None:
    """Bytes by the names of COUNTERS; None unless every line that is needed is there."""
    lines = {key: int(value) for key, value in _LINE.findall(text)}
    try:
        return {name: sum(lines[part] for part in parts) for name, parts in _PARTS.items()}
    except KeyError:
        return None


def memory(folder: bytes) -> Pages | None:
    """memory.stat, of the cgroup and everything below it."""
    text = _text(folder + b"/memory.stat")
    return None if text is None else parse_memory_stat(text)


def number(folder: bytes, name: bytes) -> int | None:
    """A file that holds one number, such as pids.peak and memory.peak."""
    text = (_text(folder + b"/" + name) or b"").strip()
    return int(text) if text.isdigit() else None
