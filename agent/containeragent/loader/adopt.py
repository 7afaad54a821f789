# SPDX-License-Identifier: Apache-2.0
"""Cgroups that exist when the programs are loaded get their slots here.

The programs on cgroup_mkdir and cgroup_rmdir are attached already, and a parent is entered before its children are
listed: whoever is made after that is entered by the program, whoever was made before is listed. A cgroup that goes
while it is looked at is taken out again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from containeragent.runnable import Runnable


def _children(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            yield from [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return


def _inode(folder: Path) -> int | None:
    """The cgroup's id, which is its inode number; None when it is gone."""
    try:
        return folder.stat().st_ino
    except FileNotFoundError:
        return None


def adopt_tree(mount: Path, adopt: Runnable, forget: Runnable) -> int:
    """Enter every cgroup below the cgroup2 mount; says how many there were."""
    root = mount.stat().st_ino
    adopt(root, 0, 0)
    waiting = [(mount, root, 0)]
    count = 1
    while waiting:
        folder, parent, level = waiting.pop()
        for child in _children(folder):
            number = _inode(child)
            if number is None:
                continue
            adopt(number, parent, level + 1)
            if _inode(child) != number:
                forget(number)
                continue
            waiting.append((child, number, level + 1))
            count += 1
    return count
