# SPDX-License-Identifier: Apache-2.0
"""Containers come, get another name and go.

In: requests, under the lock of changes. Out: the tree changed, subsystems and listeners told; what fails halfway is
undone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from containeragent.cgroups import names
from containeragent.cgroups.naming import Names
from containeragent.cgroups.tree import Parts, Tree
from containeragent.containers.caller import Caller
from containeragent.containers.changes import Changes
from containeragent.containers.documents import Documents
from containeragent.containers.ended import Ended
from containeragent.containers.involved import Involved
from containeragent.containers.lookup import Lookup
from containeragent.containers.owners import Owners
from containeragent.containers.permissions import Permissions
from containeragent.containers.view import Document
from containeragent.errors import Refused
from containeragent.events.bus import Bus
from containeragent.events.event import CREATED, RENAMED
from containeragent.host import users
from containeragent.host.users import User
from containeragent.limits.limiting import Limiting
from containeragent.release.releases import Releases


@dataclass(frozen=True)
class New:
    """What a container to be made is like; with `parents` those above it that are missing are made too.

    `notify` is whether its release is told; None is as its parent has it.
    """

    parents: bool = False
    limits: Mapping[str, Any] = field(default_factory=dict)
    notify: bool | None = None
    remove_on_release: bool = False
    owner: User | None = None


class Lifecycle:
    """Of the containers of one tree."""

    def __init__(
        self,
        tree: Tree,
        name_rules: Names,
        changes: Changes,
        *,
        lookup: Lookup,
        documents: Documents,
        permissions: Permissions,
        owners: Owners,
        limiting: Limiting,
        bus: Bus,
        ended: Ended,
        involved: Involved,
        releases: Releases,
    ) -> None:
        self._tree = tree
        self._names = name_rules
        self._changes = changes
        self._lookup = lookup
        self._documents = documents
        self._permissions = permissions
        self._owners = owners
        self._limiting = limiting
        self._bus = bus
        self._ended = ended
        self._involved = involved
        self._releases = releases

    def create(self, name: str, wanted: New, caller: Caller) -> Document:
        """Make a container. What fails of it leaves nothing."""
        parts = names.parse(name)
        uid = None if wanted.owner is None else users.uid_of(wanted.owner)
        made: list[Parts] = []
        with self._changes.one():
            self._permissions.demand("create", parts, caller)
            try:
                if wanted.parents:
                    self._create_missing(parts[:-1], made)
                self._create_one(parts, made)
                if wanted.limits:
                    self._limiting.keeper.change(self._tree.directories(parts), wanted.limits)
                for created in made:
                    own = created == parts
                    notify, remove = (wanted.notify, wanted.remove_on_release) if own else (None, False)
                    self._releases.created(created, notify, remove)
                if uid is not None:
                    self._owners.set(parts, uid)
            except Refused:
                for undone in reversed(made):
                    self._remove_one(undone, "its creation was undone", tell=False)
                raise
            for created in made:
                self._releases.came(created[:-1])
                self._publish(CREATED, created)
            found = self._lookup.managed(parts)  # before anybody can remove it
        return self._documents.shown(found)

    def _create_one(self, parts: Parts, made: list[Parts]) -> None:
        """Add to `made` what was made, so that the caller can undo it."""
        self._limiting.keeper.prepare(self._tree.directories(parts[:-1]))
        self._tree.create(parts)
        made.append(parts)
        self._involved.created(parts)

    def _create_missing(self, parts: Parts, made: list[Parts]) -> None:
        for length in range(1, len(parts) + 1):
            try:
                self._tree.identity(parts[:length])
            except Refused:
                self._create_one(parts[:length], made)

    def _publish(self, kind: str, parts: Parts, **details: Any) -> None:
        self._bus.publish(kind, names.join(parts), self._names.cgroup(parts), **details)

    def rename(self, old: str, new: str, caller: Caller) -> Document:
        """Give a container another name below the same parent; nothing else about it changes."""
        was, parts = names.parse(old), names.parse(new)
        if not was:
            raise Refused("EBUSY", "the container / is the cgroup root, which keeps its name")
        if not parts or was[:-1] != parts[:-1]:
            below = names.join((*was[:-1], parts[-1] if parts else "NAME"))
            raise Refused("EINVAL", f"container {old} stays below its parent, so not {new}; for example {below}")
        with self._changes.one():
            self._tree.identity(was)
            self._permissions.demand("rename", was, caller)
            self._tree.rename(was, parts)
            self._involved.renamed(was, parts)
            self._bus.publish(RENAMED, names.join(was), self._names.cgroup(parts), to=names.join(parts))
            found = self._lookup.managed(parts)
        return self._documents.shown(found)

    def remove_released(self, parts: Parts, cgroup_id: int) -> None:
        """Remove a container that nothing is in, unless another has its name by now."""
        with self._changes.one():
            if self._tree.identity(parts) != cgroup_id:
                raise Refused("ENOENT", f"container {names.join(parts)} is another one by now")
            self._remove_one(parts, "removed on its release")

    def remove(self, name: str, recursive: bool, caller: Caller) -> list[str]:
        """Remove a container; with `recursive` its tasks are killed and those below go first. Names, in order."""
        parts = names.parse(name)
        if not parts:
            raise Refused("EBUSY", "the container / is the cgroup root, which stays as long as the agent runs")
        with self._changes.one():
            self._tree.identity(parts)
            self._permissions.demand("remove", parts, caller)
            if not recursive:
                self._remove_one(parts, "removed")
                return [names.join(parts)]
            killed = self._tree.kill(parts)
            return self._remove_below(parts, _removed(killed))

    def _remove_below(self, parts: Parts, reason: str) -> list[str]:
        removed: list[str] = []
        self._tree.remove_nameless(parts)
        for child in self._tree.children(parts):
            removed += self._remove_below((*parts, child), f"removed with {names.join(parts)}")
        self._remove_one(parts, reason)
        return [*removed, names.join(parts)]

    def _remove_one(self, parts: Parts, reason: str, tell: bool = True) -> None:
        cgroup_id = self._tree.identity(parts)
        with self._ended.removing(cgroup_id, self._names.cgroup(parts), reason, tell):
            self._tree.remove(parts)
        self._involved.removed(cgroup_id)


def _removed(killed: int) -> str:
    return f"removed, {killed} process{'es' if killed > 1 else ''} killed" if killed else "removed"
