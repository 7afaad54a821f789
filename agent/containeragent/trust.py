# SPDX-License-Identifier: Apache-2.0
"""Whether nobody but root can say what a file says: what the agent obeys must be root's."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from containeragent.errors import reason

_ROOT = 0
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 40  # path_resolution(7)


def distrust(file: Path, found: os.stat_result, *, or_own: bool = False) -> str | None:
    """Why a file, of which `found` is the state when it was opened, is not to be trusted; None if it is.

    All folders and links on the way to it count. `or_own`: what is of our own user is trusted too.
    """
    users = {_ROOT, os.geteuid()} if or_own else {_ROOT}
    if found.st_uid not in users or found.st_mode & _OTHERS_WRITE:
        return f"others than root may write it; chown root {file} && chmod go-w {file}"
    try:
        return next((f"others than root may {why}" for why in _ways_in(way_to(file), users)), None)
    except OSError as error:
        return f"the way to it changes at this moment: {reason(error)}"


def _ways_in(places: Iterable[Path], users: set[int]) -> Iterator[str]:
    for place in places:
        found = place.lstat()
        if stat.S_ISLNK(found.st_mode):
            if found.st_uid not in users:
                yield f"change the link {place}, which leads to it"
        elif found.st_uid not in users or (found.st_mode & _OTHERS_WRITE and not _is_kept(place, found)):
            yield f"write {place}, which it is in"


def _is_kept(folder: Path, found: os.stat_result) -> bool:
    """Whether others cannot take the place of what is root's in a folder that they may write.

    So it is in a sticky one, and in a read-only mount, which Kubernetes makes of a ConfigMap.
    """
    return bool(found.st_mode & stat.S_ISVTX or os.statvfs(folder).f_flag & os.ST_RDONLY)


def way_to(file: Path) -> Iterator[Path]:
    """Folders and links that lead to a file, from / on."""
    at, left, links = Path("/"), list(file.absolute().parts[:0:-1]), 0
    yield at
    while left:
        name = left.pop()
        here = at.parent if name == ".." else at / name
        if here.is_symlink():
            yield here
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            target = here.readlink()
            at = Path("/") if target.is_absolute() else at
            left += [part for part in reversed(target.parts) if part != target.anchor]
        else:
            at = here
            if left:
                yield at
