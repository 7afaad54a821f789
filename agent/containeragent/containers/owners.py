# SPDX-License-Identifier: Apache-2.0
"""Which user a container belongs to, with everything below it.

Kept on its cgroup (cgroups/attributes.py): it outlives the agent and dies with the container. The cgroup's directory
stays root's: what an owner does, the agent does.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from dataclasses import dataclass
from typing import Any

from containeragent.cgroups import attributes
from containeragent.cgroups.naming import Names
from containeragent.cgroups.tree import Parts, Tree
from containeragent.errors import Refused
from containeragent.host import users

log = logging.getLogger(__name__)

OWNER = "owner"  # attribute: a user's number


@dataclass(frozen=True)
class Owned:
    """Whose a container is."""

    cgroup_id: int
    uid: int


class Owners:
    """Of one tree. From any thread; changes, and what is decided by them, under the lock of changes."""

    def __init__(self, tree: Tree, name_rules: Names) -> None:
        self._tree = tree
        self._names = name_rules
        self._owned: dict[Parts, Owned] = {}  # by directories, which stay when a container is renamed
        self._lock = threading.Lock()

    def take_up(self) -> None:
        """What is kept on the cgroups."""
        for directories, directory in self._tree.walk():
            with contextlib.suppress(OSError):  # it is gone
                kept = attributes.get(directory, OWNER)
                if kept is not None:
                    self._take(directories, os.fstat(directory).st_ino, kept)

    def _take(self, directories: Parts, cgroup_id: int, kept: bytes) -> None:
        try:
            self._owned[directories] = Owned(cgroup_id, users.uid_of(int(kept)))
        except (ValueError, Refused):
            name = attributes.PREFIX + OWNER
            log.error("the attribute %s of cgroup /%s is no user: %r", name, "/".join(directories), kept)

    def set(self, parts: Parts, uid: int | None) -> None:
        """None: it is nobody's; what is above it may have an owner still."""
        directories, identity = self._tree.directories(parts), self._tree.identity(parts)
        with self._tree.opened(parts) as directory:
            attributes.put(directory, OWNER, None if uid is None else str(uid))
            with self._lock:
                self._owned.pop(directories, None)
                if uid is not None:
                    self._owned[directories] = Owned(identity, uid)

    def forget_gone(self, cgroup: str | None = None) -> None:
        """Containers that are no longer there; with a path only that one and those that it is in."""
        for directories, owned in list(self._owned.items()) if cgroup is None else self._on_the_way(cgroup):
            if self._identity(directories) != owned.cgroup_id:
                with self._lock:
                    if self._owned.get(directories) == owned:
                        del self._owned[directories]

    def _on_the_way(self, cgroup: str) -> list[tuple[Parts, Owned]]:
        directories = self._names.place(cgroup) if self._owned else ()
        above = (directories[:length] for length in range(len(directories) + 1))
        return [(one, owned) for one in above if (owned := self._owned.get(one)) is not None]

    def _identity(self, directories: Parts) -> int | None:
        try:
            return self._tree.directory_identity(directories)
        except Refused:
            return None

    def over(self, parts: Parts) -> list[int]:
        """Users whose a container is, or one above it, outermost first; it need not be there."""
        found = []
        for length in range(len(parts) + 1) if self._owned else ():
            try:
                directories = self._tree.directories(parts[:length])
            except Refused:
                break
            owned = self._owned.get(directories)
            if owned is not None and self._identity(directories) == owned.cgroup_id:
                found.append(owned.uid)
        return found

    def of(self, parts: Parts) -> int | None:
        """The one that a container has itself."""
        directories = self._tree.directories(parts)
        owned = self._owned.get(directories)
        return owned.uid if owned is not None and self._identity(directories) == owned.cgroup_id else None

    def document(self, cgroup: str) -> dict[str, Any] | None:
        """Whose a container is, by its path: the nearest owner upwards, with the container that is the owner's."""
        directories = self._names.place(cgroup) if self._owned else ()
        for length in range(len(directories), -1, -1) if self._owned else ():
            owned = self._owned.get(directories[:length])
            if owned is not None:
                container = self._names.name(directories[:length])
                return {"user": users.name_of(owned.uid), "uid": owned.uid, "container": container}
        return None
