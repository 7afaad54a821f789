# SPDX-License-Identifier: Apache-2.0
"""Which tasks are in which container: they move in and out, are listed, found and ended."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from containeragent.cgroups import names
from containeragent.cgroups.naming import Names
from containeragent.cgroups.tree import Tree
from containeragent.containers import moving
from containeragent.containers.caller import Caller
from containeragent.containers.changes import Changes
from containeragent.containers.involved import Involved
from containeragent.containers.moving import Mover
from containeragent.containers.permissions import Permissions
from containeragent.containers.view import Document
from containeragent.errors import Refused
from containeragent.host import taskstats
from containeragent.release.releases import Releases
from containeragent.subsystems.registry import Moved


class Membership:
    """Of the containers of one tree."""

    def __init__(
        self,
        tree: Tree,
        name_rules: Names,
        changes: Changes,
        mover: Mover,
        *,
        permissions: Permissions,
        involved: Involved,
        releases: Releases,
    ) -> None:
        self._tree = tree
        self._names = name_rules
        self._changes = changes
        self._mover = mover
        self._permissions = permissions
        self._involved = involved
        self._releases = releases

    def attach(self, name: str, pids: list[int], move: bool, caller: Caller) -> list[int]:
        """Move tasks into a container, each with its whole process; 0 is the caller."""
        parts = names.parse(name)
        self._tree.identity(parts)
        with self._moving() as moved:
            try:
                return self._mover.attach(parts, pids, move, caller, moved)
            finally:
                self._releases.came(parts)

    def detach(self, pids: list[int], caller: Caller) -> list[int]:
        """Move tasks out of their containers, into the cgroup root."""
        with self._moving() as moved:
            return self._mover.detach(pids, caller, moved)

    @contextlib.contextmanager
    def _moving(self) -> Iterator[list[Moved]]:
        """A change; those that were moved in it are told to subsystems afterwards, also when it ends early."""
        moved: list[Moved] = []
        try:
            with self._changes.one():
                yield moved
        finally:
            self._involved.attached(moved)

    def tasks(self, name: str) -> list[int]:
        """Thread ids, sorted."""
        return self._tree.tasks(names.parse(name))

    def task_stats(self, name: str) -> Document:
        """What the kernel accounts for each of its tasks."""
        found = taskstats.read(self.tasks(name))
        return {"tasks": found, "hints": taskstats.hints(taskstats.delays_on())}

    def which(self, pid: int) -> Document:
        """The container that a task is in."""
        if pid <= 0:
            raise Refused("EINVAL", f"{pid} is not a task id")
        cgroup = moving.cgroup_of(pid)
        self._tree.forget_gone()
        return {"pid": pid, "name": self._names.managed(cgroup), "cgroup": cgroup}

    def kill(self, name: str, caller: Caller) -> int:
        """SIGKILL to everything in a container and below; how many processes there were."""
        parts = names.parse(name)
        if not parts:
            raise Refused("EBUSY", "the container / is not killed as a whole; name the containers to kill")
        with self._changes.one():
            self._tree.identity(parts)
            self._permissions.demand("kill", parts, caller)
            return self._tree.kill(parts)
