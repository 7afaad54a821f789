# SPDX-License-Identifier: Apache-2.0
"""What is set of a container: limits, release flags, attributes of subsystems. All that is asked for, or none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from containeragent.cgroups import names
from containeragent.cgroups.tree import Tree
from containeragent.containers.caller import Caller
from containeragent.containers.changes import Changes
from containeragent.containers.documents import Documents
from containeragent.containers.involved import Involved
from containeragent.containers.lookup import Lookup
from containeragent.containers.owners import Owners
from containeragent.containers.permissions import Permissions
from containeragent.containers.view import Document
from containeragent.host import users
from containeragent.host.users import User
from containeragent.limits.keeper import Keeper
from containeragent.release.releases import Releases


class Settings:
    """Of the containers of one tree."""

    def __init__(
        self,
        tree: Tree,
        changes: Changes,
        lookup: Lookup,
        documents: Documents,
        *,
        permissions: Permissions,
        owners: Owners,
        keeper: Keeper,
        involved: Involved,
        releases: Releases,
    ) -> None:
        self._tree = tree
        self._changes = changes
        self._lookup = lookup
        self._documents = documents
        self._permissions = permissions
        self._owners = owners
        self._keeper = keeper
        self._involved = involved
        self._releases = releases

    def limit(self, name: str, asked: Mapping[str, Any], caller: Caller) -> Document:
        """Set limits of a container, leave those that are not asked for."""
        parts = names.parse(name)
        with self._changes.one():
            self._lookup.check_managed(parts, name)
            self._permissions.demand("limit", parts, caller)
            self._keeper.change(self._tree.directories(parts), asked)
        return self._documents.show(name)

    def notify(self, name: str, notify: bool | None, remove: bool | None, caller: Caller) -> Document:
        """Whether a container's release is told, and whether it is removed then; None leaves it as it is."""
        parts = names.parse(name)
        with self._changes.one():
            self._tree.identity(parts)
            self._permissions.demand("notify", parts, caller)
            flags = self._releases.set(parts, notify, remove)
        return {"name": names.join(parts), "notify_on_release": flags.notify, "remove_on_release": flags.remove}

    def set(self, name: str, values: Mapping[str, str], caller: Caller) -> Document:
        """Set attributes that subsystems add to a container: all or none."""
        parts = names.parse(name)
        with self._changes.one():
            self._tree.identity(parts)
            self._permissions.demand("set", parts, caller)
            self._involved.set(parts, values)
        return self._documents.show(names.join(parts))

    def own(self, name: str, owner: User | None, caller: Caller) -> Document:
        """Give a container to a user; None: it is nobody's, so only of whom those above it are."""
        parts = names.parse(name)
        uid = None if owner is None else users.uid_of(owner)
        with self._changes.one():
            self._tree.identity(parts)
            self._permissions.demand("own", parts, caller)
            self._owners.set(parts, uid)
        return self._documents.show(names.join(parts))
