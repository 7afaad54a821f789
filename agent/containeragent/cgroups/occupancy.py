# SPDX-License-Identifier: Apache-2.0
"""Whether anything is in a container: tasks in it or below it, or containers below it.

In: a descriptor of its directory. Out: one look, from cgroup.events (Documentation/admin-guide/cgroup-v2.rst) and the
directory itself.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from containeragent.cgroups.names import OWN

EVENTS = "cgroup.events"


@dataclass(frozen=True)
class Occupancy:
    """`populated`: it or what is below it has tasks that have not ended."""

    populated: bool
    has_children: bool

    @property
    def empty(self) -> bool:
        """Nothing is in it."""
        return not self.populated and not self.has_children


def look(directory: int) -> Occupancy:
    """Now. OSError with ENODEV when the cgroup is gone."""
    descriptor = os.open(EVENTS, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        populated = b"populated 1" in os.read(descriptor, 4096)
    finally:
        os.close(descriptor)
    with os.scandir(directory) as entries:
        return Occupancy(populated, any(_is_child(entry) for entry in entries))


def _is_child(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and entry.name not in OWN
