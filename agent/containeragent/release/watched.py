# SPDX-License-Identifier: Apache-2.0
"""The containers whose release matters, and the watches that tell of them.

In: containers, by the names of their directories. Out: from changes of watches, the containers to look at. One file is
watched for each, and the directories of their parents, which tell when they are gone; its own directory from when it is
seen to have children. Not for two threads at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from containeragent.cgroups.tree import Parts, Tree
from containeragent.errors import Refused
from containeragent.release.flags import Flags, Mark
from containeragent.release.watch import Changes, Watch


@dataclass
class Watched:
    """`occupied`: something was in it when it was last looked at; `mark` is from when nothing was."""

    cgroup_id: int
    directories: Parts
    flags: Flags
    watch: int
    mark: Mark | None

    @property
    def occupied(self) -> bool:
        """There is a mark exactly while it is known to be empty."""
        return self.mark is None


class WatchedContainers:
    """By id, by directory, by watch."""

    def __init__(self, tree: Tree, watch: Watch) -> None:
        self._tree = tree
        self._watch = watch
        self._by_id: dict[int, Watched] = {}
        self._by_directory: dict[Parts, Watched] = {}
        self._by_watch: dict[int, Watched] = {}
        self._folders: dict[Parts, tuple[int, int]] = {}  # watched directories: cgroup id, watch
        self._folder_of: dict[int, Parts] = {}

    def get(self, cgroup_id: int) -> Watched | None:
        """None when its release does not matter, or it is gone."""
        return self._by_id.get(cgroup_id)

    def at(self, directories: Parts) -> Watched | None:
        """The one in that place."""
        return self._by_directory.get(directories)

    def all(self) -> list[Watched]:
        """In the order of their coming."""
        return list(self._by_id.values())

    def add(self, directories: Parts, cgroup_id: int, flags: Flags, mark: Mark | None) -> Watched:
        """Watch a container; refused, and nothing is different, when the kernel watches no more."""
        self.watch_directory(directories[:-1])
        old = self._by_directory.get(directories)
        if old is not None:
            self.drop(old)
        with self._tree.opened_directory(directories) as directory:
            watch = self._watch.file(directory)
        made = Watched(cgroup_id, directories, flags, watch, mark)
        self._by_id[cgroup_id] = self._by_directory[directories] = self._by_watch[watch] = made
        return made

    def watch_directory(self, directories: Parts) -> bool:
        """Watch what is right below; whether that is new."""
        with self._tree.opened_directory(directories) as directory:
            cgroup_id = os.fstat(directory).st_ino
            if self._folders.get(directories, (0, 0))[0] == cgroup_id:
                return False
            watch = self._watch.directory(directory)
        self._drop_folder(directories)
        self._folders[directories], self._folder_of[watch] = (cgroup_id, watch), directories
        return True

    def _drop_folder(self, directories: Parts) -> None:
        _, watch = self._folders.pop(directories, (0, 0))
        if watch:
            del self._folder_of[watch]
            self._watch.forget(watch)

    def drop(self, watched: Watched) -> None:
        """It is gone, or its release matters no more; others may be below it then."""
        del self._by_id[watched.cgroup_id], self._by_directory[watched.directories], self._by_watch[watched.watch]
        self._watch.forget(watched.watch)

    def changed(self, changes: Changes) -> list[Watched]:
        """What is to be looked at; what is gone is dropped."""
        if changes.missed:
            for directories in list(self._folders):
                self._drop_if_gone(directories)
            return self.all()
        found = [self._by_watch.get(watch) for watch in changes.files]
        for watch, name in changes.removed:
            parent = self._folder_of.get(watch)
            if parent is not None:
                self._drop_if_gone((*parent, name))
                found.append(self.at(parent))
        return list(_distinct(one for one in found if one is not None))

    def _drop_if_gone(self, directories: Parts) -> None:
        """Another cgroup may have come in its place; that is watched anew by who made it."""
        watched = self.at(directories)
        identity = self._identity(directories)
        if watched is not None and identity != watched.cgroup_id:
            self.drop(watched)
        if identity != self._folders.get(directories, (identity, 0))[0]:
            self._drop_folder(directories)

    def _identity(self, directories: Parts) -> int | None:
        try:
            return self._tree.directory_identity(directories)
        except Refused:
            return None


def _distinct(watched: Iterable[Watched]) -> Iterable[Watched]:
    return {one.cgroup_id: one for one in watched}.values()
