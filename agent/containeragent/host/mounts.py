# SPDX-License-Identifier: Apache-2.0
"""Where the kernel's file systems are mounted, and mounting those that the loader needs.

In: /proc/self/mountinfo (proc(5)). Out: paths.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from containeragent.errors import HostRefused

MOUNTINFO = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo: `root` is the part of the file system that is visible at `point`."""

    root: str
    point: str
    kind: str


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def parse(text: str) -> Iterator[Mount]:
    """Mounts in the order of the text of mountinfo."""
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")[0]
        if len(fields) >= 5 and kind:
            yield Mount(_unescape(fields[3]), _unescape(fields[4]), kind)


def find(kind: str) -> Mount | None:
    """The first whole mount of a file-system type, else the first of a part of it."""
    mounts = [mount for mount in parse(MOUNTINFO.read_text()) if mount.kind == kind]
    return min(mounts, key=lambda mount: mount.root != "/", default=None)


def is_inside(path: Path, kind: str) -> bool:
    """Whether a path, or the nearest folder of it that exists, is on a file system of that type."""
    path = Path(os.path.abspath(path))
    points = [mount for mount in parse(MOUNTINFO.read_text()) if path.is_relative_to(mount.point)]
    if not points:
        return False
    longest = max(len(mount.point) for mount in points)
    return [mount for mount in points if len(mount.point) == longest][-1].kind == kind


def mount(kind: str, point: Path) -> None:
    """Mount a kernel file system without devices or programs on it, as systemd does."""
    nosuid_nodev_noexec = 2 | 4 | 8
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        point.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostRefused.of_errno(error.errno or 5, f"{point} cannot be made to mount {kind} on it") from None
    if libc.mount(kind.encode(), str(point).encode(), kind.encode(), ctypes.c_ulong(nosuid_nodev_noexec), None):
        number = ctypes.get_errno()
        raise HostRefused.of_errno(number, f"{kind} cannot be mounted on {point}", "mount it, or run as root")
