# SPDX-License-Identifier: Apache-2.0
"""A cgroup's path from its id.

The id is the cgroup's kernfs node, and a file handle of that type opens it (open_by_handle_at(2)), so nothing walks the
tree. Paths never change while a cgroup lives: cgroup v2 cannot rename.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

_FILEID_KERNFS = 0xFE  # include/linux/exportfs.h


class _Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint32), ("type", ctypes.c_int32), ("id", ctypes.c_uint64)]


class PathResolver:
    """Paths under the cgroup2 mount ("/" is its root), kept once they are known."""

    def __init__(self, mount: Path) -> None:
        self._mount = str(mount)
        self._descriptor = os.open(mount, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._known: dict[int, str] = {}

    def path(self, cgroup_id: int) -> str | None:
        """None when the cgroup is gone, or its path is longer than PATH_MAX."""
        known = self._known.get(cgroup_id)
        if known is None:
            known = self._look_up(cgroup_id)
            if known is not None:
                self._known[cgroup_id] = known
        return known

    def known(self, cgroup_id: int) -> str | None:
        """The path as it was last looked up, also of a cgroup that is gone."""
        return self._known.get(cgroup_id)

    def identity(self, path: str) -> int | None:
        """Id of the cgroup at a path under the mount, None when there is none."""
        parts = [part for part in path.split("/") if part]
        if "\0" in path or ".." in parts:
            return None
        try:
            found = os.stat("/".join(parts) or ".", dir_fd=self._descriptor, follow_symlinks=False)
        except OSError:
            return None
        return found.st_ino if stat.S_ISDIR(found.st_mode) else None

    def paths(self, cgroup_ids: Sequence[int]) -> list[str | None]:
        """Paths of many; what is not among them is forgotten now and then."""
        found = [self.path(number) for number in cgroup_ids]
        if len(self._known) > 2 * len(cgroup_ids) + 1000:
            self._known = {number: path for number, path in zip(cgroup_ids, found, strict=True) if path is not None}
        return found

    def _inode(self, target: str) -> int | None:
        try:
            return os.stat(target, follow_symlinks=False).st_ino
        except OSError:
            return None

    def _searched(self, cgroup_id: int) -> str | None:
        """Without CAP_DAC_READ_SEARCH no handle can be opened: walk the tree, and learn all paths at once."""
        for folder, _, _ in os.walk(self._mount):
            number = self._inode(folder)
            if number is not None:
                self._known[number] = self._shown(folder)
        return self._known.get(cgroup_id)

    def _look_up(self, cgroup_id: int) -> str | None:
        handle = _Handle(8, _FILEID_KERNFS, cgroup_id)
        flags = os.O_PATH | os.O_CLOEXEC
        descriptor = self._libc.open_by_handle_at(self._descriptor, ctypes.byref(handle), flags)
        if descriptor < 0:
            return self._searched(cgroup_id) if ctypes.get_errno() == errno.EPERM else None
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:  # ENAMETOOLONG: nested deeper than the kernel can say
            return None
        finally:
            os.close(descriptor)
        if not target.startswith(self._mount):
            return None
        if target.endswith(" (deleted)") and self._inode(target) != cgroup_id:  # a name may end like this too
            return None
        return self._shown(target)

    def _shown(self, target: str) -> str:
        path = target[len(self._mount.rstrip("/")) :] or "/"
        return os.fsencode(path).decode("utf-8", "backslashreplace")  # any byte is allowed in a cgroup's name
