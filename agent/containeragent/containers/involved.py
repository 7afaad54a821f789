# SPDX-License-Identifier: Apache-2.0
"""Which subsystems are involved when something happens to containers of a tree.

In: containers by their parts. Out: calls of the registry with what subsystems know a container by. Nothing is looked up
for hooks that nobody has.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from containeragent.cgroups import names
from containeragent.cgroups.naming import Names
from containeragent.cgroups.tree import Parts, Tree
from containeragent.containers.view import Document
from containeragent.errors import Refused
from containeragent.events.bus import Bus
from containeragent.subsystems.api import Container, Task
from containeragent.subsystems.attributes import Attributes
from containeragent.subsystems.registry import Moved, Registry


def container(tree: Tree, name_rules: Names, parts: Parts) -> Container:
    """As subsystems see it; ENOENT when there is none."""
    path = str(tree.root.joinpath(*tree.directories(parts)))
    return Container(names.join(parts), name_rules.cgroup(parts), tree.identity(parts), path)


class Involved:
    """Subsystems of one tree. What changes something is called under the lock of changes."""

    def __init__(self, registry: Registry, tree: Tree, name_rules: Names, bus: Bus) -> None:
        self._registry = registry
        self._tree = tree
        self._names = name_rules
        self._attributes = Attributes(registry, bus)

    def _seen(self, parts: Parts) -> Container:
        return container(self._tree, self._names, parts)

    def created(self, parts: Parts) -> None:
        """One was made; refused if it cannot stay."""
        if parts[:-1]:
            self.taken_up(parts[:-1])
        self._registry.create(self._seen(parts))

    def removed(self, cgroup_id: int) -> None:
        """One is gone."""
        self._registry.destroy(cgroup_id)

    def renamed(self, old: Parts, new: Parts) -> None:
        """One has another name, and so has everything below it."""
        for known in self._registry.known():
            parts = names.parse(known.name)
            if parts[: len(old)] == old:
                self._registry.renamed(known.id, names.join((*new, *parts[len(old) :])))

    def taken_up(self, parts: Parts) -> Container:
        """Known to all from here on, if it was made without us; refused while a subsystem does not want it."""
        seen = self._seen(parts)
        if not self._registry.knows(seen):
            for length in range(len(parts)):
                self._registry.take_up(self._seen(parts[:length]))
            self._registry.take_up(seen)
        return seen

    def take_up_all(self, found: Sequence[str]) -> None:
        """Names of containers from before, parents first. Who refuses is asked again when something is to be done."""
        if all(member.built_in for member in self._registry.having("create")):
            return
        for name in found:
            with contextlib.suppress(Refused):
                self.taken_up(names.parse(name))

    def forget(self, living: Mapping[int, int]) -> None:
        """Tell of those that somebody else removed; `living` are ids of cgroups that are certainly there."""
        for known in self._registry.known():
            if known.id not in living and not self._is_there(known):
                self._registry.destroy(known.id)

    def _is_there(self, known: Container) -> bool:
        try:
            return self._tree.identity(names.parse(known.name)) == known.id
        except Refused:
            return False

    @contextlib.contextmanager
    def attaching(self, parts: Parts, inside: str | None, task: Task, moved: list[Moved]) -> Iterator[None]:
        """Around a move out of the container `inside`; `moved` gets it for post_attach."""
        target, origin = self.taken_up(parts), self._origin(inside)
        with self._registry.attaching(target, origin, task):
            yield
        moved.append((target, origin, task))

    def _origin(self, inside: str | None) -> Container | None:
        if inside is None or not (self._registry.having("attach") or self._registry.having("post_attach")):
            return None
        try:
            return self._seen(names.parse(inside))
        except Refused:  # others may give names that we do not take
            return None

    def attached(self, moved: Sequence[Moved]) -> None:
        """After the lock."""
        self._registry.post_attach(moved)

    def knows(self, parts: Parts) -> bool:
        """Whether nobody has to be told of a container any more."""
        return self._registry.knows(self._seen(parts))

    def attributes(self, parts: Parts) -> Document:
        """For `show`."""
        try:
            return self._attributes.shown(self._seen(parts))
        except Refused:
            return {}

    def settable(self, parts: Parts) -> Document:
        """Attributes with values that `set` would take."""
        return self._attributes.settable(self.taken_up(parts))

    def set(self, parts: Parts, values: Mapping[str, str]) -> None:
        """All of them or none."""
        self._attributes.set(self.taken_up(parts), values)

    def subsystems(self) -> list[Document]:
        """What is registered, with the attributes of the root; and what is installed but was not taken."""
        refused = [
            {"name": name, "built_in": False, "state": "refused", "reason": reason, "hooks": [], "attributes": []}
            | {"failures": self._registry.failures.get(name, 0)}
            for name, reason in self._registry.refused.items()
        ]
        return self._attributes.described(self._seen(())) + refused
