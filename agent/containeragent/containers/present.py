# SPDX-License-Identifier: Apache-2.0
"""What is set of containers now, without anything that is counted: what a definition can say of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from containeragent.cgroups import names
from containeragent.cgroups.tree import Parts, Tree
from containeragent.containers.changes import Changes
from containeragent.containers.files import Files
from containeragent.containers.involved import Involved
from containeragent.containers.owners import Owners
from containeragent.errors import Refused
from containeragent.limits.keeper import Keeper
from containeragent.limits.model import NO_LIMITS, Limits
from containeragent.release.flags import Flags
from containeragent.release.releases import Releases
from containeragent.subsystems.api import Value


class Present:
    """Of the containers of one tree. ENOENT of one that is not there."""

    def __init__(
        self,
        tree: Tree,
        changes: Changes,
        *,
        owners: Owners,
        keeper: Keeper,
        involved: Involved,
        releases: Releases,
        files: Files,
        page_size: int,
    ) -> None:
        self.page_size = page_size
        self._tree = tree
        self._changes = changes
        self._owners = owners
        self._keeper = keeper
        self._involved = involved
        self._releases = releases
        self._files = files

    def below(self, parts: Parts) -> Iterator[Parts]:
        """A container and those below it, parents first, in the order of their names."""
        self._tree.identity(parts)
        yield parts
        with contextlib.suppress(Refused):  # it goes meanwhile
            for name in self._tree.children(parts):
                yield from self.below((*parts, name))

    def is_there(self, parts: Parts) -> bool:
        """Whether there is such a container."""
        try:
            self._tree.identity(parts)
        except Refused:
            return False
        return True

    def limits(self, parts: Parts) -> Limits:
        """Its own."""
        entry = self._keeper.entry(self._tree.identity(parts))
        return NO_LIMITS if entry is None else entry.kept.limits

    def flags(self, parts: Parts) -> Flags:
        """What happens at its release."""
        return self._releases.of(parts)

    def owner(self, parts: Parts) -> int | None:
        """Its own; what is above it may have another."""
        return self._owners.of(parts)

    def attributes(self, parts: Parts) -> Mapping[str, Value]:
        """Those of subsystems that can be set. Refused where a subsystem refuses the container, or fails."""
        with self._changes.one():
            return self._involved.settable(parts)

    def files(self, parts: Parts) -> Sequence[str]:
        """Paths of the files that are charged to it and still have one; none where nothing can be charged."""
        with contextlib.suppress(Refused):
            charged = self._files.of(names.join(parts))["files"]
            return [one["path"] for one in charged if one["removed"] is not True]
        return []

    def has_file(self, parts: Parts, descriptor: int) -> bool:
        """Whether an open file is charged to it."""
        return self._files.has(parts, descriptor)
