# SPDX-License-Identifier: Apache-2.0
"""Names of containers and the directories that they are, both ways: the one place that knows them apart.

In: renamings, since cgroup v2 cannot rename a directory: a container's new name is kept on its cgroup, and here. Out:
directories by name, names by directory or path. A renamed container's name is its own: a directory of that name which
others make beside it is no container, and one whose directory's name was taken before has another directory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from containeragent.cgroups.names import OWN, join

Parts = tuple[str, ...]
Identify = Callable[[Parts], int | None]  # id of the cgroup in a place, by the names of its directories


@dataclass(frozen=True)
class _Renamed:
    cgroup_id: int
    name: str  # the last component


class Names:
    """Of one tree. `root` is the cgroup root as a path under the cgroup2 mount. From any thread."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._renamed: dict[Parts, _Renamed] = {}  # by directories
        self._directories: dict[tuple[Parts, str], str] = {}  # by the directories above, and the name
        self._lock = threading.Lock()
        self.renamings = 0  # changes with every name

    def rename(self, directories: Parts, cgroup_id: int, name: str) -> None:
        """From now on the container in that place has this name, which is free."""
        with self._lock:
            self._drop(directories)
            self.renamings += 1
            if name != directories[-1]:
                self._renamed[directories] = _Renamed(cgroup_id, name)
                self._directories[directories[:-1], name] = directories[-1]

    def has(self, parts: Parts) -> bool:
        """Whether a renamed container has that name; those above by their directories."""
        return (parts[:-1], parts[-1]) in self._directories

    def forget(self, cgroup_id: int) -> None:
        """It is gone."""
        if self._renamed:
            with self._lock:
                gone = [place for place, renamed in self._renamed.items() if renamed.cgroup_id == cgroup_id]
                for place in gone:
                    self._drop(place)

    def _drop(self, directories: Parts) -> None:
        known = self._renamed.pop(directories, None)
        if known is not None:
            self.renamings += 1
            del self._directories[directories[:-1], known.name]

    def forget_gone(self, identify: Identify) -> None:
        """Those whose cgroup is no longer in its place."""
        for place, renamed in list(self._renamed.items()):
            if identify(place) != renamed.cgroup_id:
                self.forget(renamed.cgroup_id)

    def directories(self, parts: Parts, identify: Identify | None = None) -> Parts | None:
        """The place of a container, whether it is there or not; None if another has that place.

        With `identify`, renamed ones that are gone are noticed.
        """
        if not self._renamed:
            return parts
        place: Parts = ()
        for part in parts:
            directory = self._directory(place, part, identify)
            if directory is None:
                return None
            place = (*place, directory)
        return place

    def _directory(self, above: Parts, name: str, identify: Identify | None) -> str | None:
        named = self._directories.get((above, name))
        if named is not None and self._is_there((*above, named), identify):
            return named
        return None if self._is_there((*above, name), identify) else name

    def _is_there(self, place: Parts, identify: Identify | None) -> bool:
        """Whether there is a renamed container in a place."""
        renamed = self._renamed.get(place)
        if renamed is None:
            return False
        if identify is None or identify(place) == renamed.cgroup_id:
            return True
        self.forget(renamed.cgroup_id)
        return False

    def parts(self, directories: Parts) -> Parts | None:
        """Name of the container in a place; None if a renamed one beside it, or above it, has that name."""
        if not self._renamed:
            return directories
        found: Parts = ()
        for length, directory in enumerate(directories):
            above = directories[:length]
            renamed = self._renamed.get((*above, directory))
            if renamed is None and (above, directory) in self._directories:
                return None
            found = (*found, directory if renamed is None else renamed.name)
        return found

    def name(self, directories: Parts) -> str:
        """The same, joined; of what has none that of its directories."""
        parts = self.parts(directories)
        return join(directories if parts is None else parts)

    def managed(self, cgroup: str, cgroup_id: int | None = None) -> str | None:
        """Name of a managed container by path; None for other cgroups. Tasks in its leaf are in the container.

        With the id of one that is gone, that of another in its place now is not taken for its own.
        """
        if cgroup != self.root and not cgroup.startswith(self.root + "/"):
            return None
        directories = self.place(cgroup)
        if not self._renamed:
            return join(directories)
        renamed = self._renamed.get(directories)
        if renamed is not None and cgroup_id not in (None, renamed.cgroup_id):
            above = self.parts(directories[:-1])
            return None if above is None else join((*above, directories[-1]))
        parts = self.parts(directories)
        return None if parts is None else join(parts)

    def place(self, cgroup: str) -> Parts:
        """The directories of a managed container by path; of its leaf too."""
        inside = tuple(part for part in cgroup[len(self.root) :].split("/") if part)
        return inside[:-1] if inside and inside[-1] in OWN else inside

    def path(self, directories: Parts) -> str:
        """Path under the cgroup2 mount of a place."""
        return "/".join((self.root, *directories))

    def cgroup(self, parts: Parts) -> str:
        """Path under the cgroup2 mount of a managed container."""
        directories = self.directories(parts)
        return self.path(parts if directories is None else directories)

    def is_leaf(self, cgroup: str) -> bool:
        """Whether a cgroup is one of our own making inside a container."""
        return self.managed(cgroup) is not None and cgroup.rpartition("/")[2] in OWN
