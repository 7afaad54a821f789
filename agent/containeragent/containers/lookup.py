# SPDX-License-Identifier: Apache-2.0
"""From a name or a path to a container with its counters."""

from __future__ import annotations

from collections.abc import Iterator

from containeragent.cgroups import names
from containeragent.cgroups.naming import Names
from containeragent.cgroups.paths import PathResolver
from containeragent.cgroups.tree import Parts, Tree
from containeragent.containers import view
from containeragent.containers.view import Container
from containeragent.counters.source import Source
from containeragent.errors import Refused


class Lookup:
    """Containers under one cgroup root, and all other cgroups to look at."""

    def __init__(self, source: Source, tree: Tree, resolver: PathResolver, name_rules: Names) -> None:
        self._source = source
        self._tree = tree
        self._resolver = resolver
        self._names = name_rules

    def all(self, all_cgroups: bool) -> Iterator[Container]:
        """Containers, sorted by path, as they are now; with `all_cgroups` also those that are not managed."""
        self._tree.forget_gone()  # engines without final records do not tell
        snapshot = self._source.settled()
        paths = self._resolver.paths(snapshot.cgroup_ids)
        return view.containers(snapshot, paths, self._names, all_cgroups)

    def find(self, name: str) -> Container:
        """A container, or by its path an unmanaged cgroup; refused as a container's name would be."""
        try:
            parts = names.parse(name)
            return self.managed(parts)
        except Refused as error:
            unmanaged = self._unmanaged(name) if name.startswith("/") else None
            if unmanaged is None:
                raise error from None
            return unmanaged

    def managed(self, parts: Parts) -> Container:
        """A container, with the tasks of its leaf."""
        identity, leaf = self._tree.identity(parts), self._tree.leaf_identity(parts)
        snapshot = self._source.settled()
        reading = snapshot.reading(identity)
        if reading is None:
            if self._tree.identity(parts) != identity:
                raise Refused("ENODEV", f"container {names.join(parts)} was removed meanwhile")
            raise Refused("ENODATA", f"container {names.join(parts)} has no slot of its own: it counts with its parent")
        inside = snapshot.reading(leaf) if leaf is not None else None
        if inside is not None:
            reading = view.with_leaf(reading, inside)
        return Container(names.join(parts), self._names.cgroup(parts), True, reading)

    def check_managed(self, parts: Parts, name: str, what: str = "limits") -> None:
        """Refused with EPERM where `name` is a cgroup and no container."""
        try:
            self._tree.identity(parts)
        except Refused:
            if self._unmanaged("/" + name.removeprefix("/")) is None:
                raise
            message = f"cgroup {name} is not managed, so it can have no {what}: it is not below the cgroup root"
            raise Refused("EPERM", message) from None

    def _unmanaged(self, path: str) -> Container | None:
        identity = self._resolver.identity(path)
        reading = self._source.settled().reading(identity) if identity is not None else None
        return None if reading is None else Container(path, path, False, reading)
