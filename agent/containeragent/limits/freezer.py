# SPDX-License-Identifier: Apache-2.0
"""Stops containers and lets them go on (cgroup.freeze), and ends them (cgroup.kill).

In: components of container names. Out: control files written. A mark is set on a cgroup before it is frozen, so that
whoever comes after this agent knows what to thaw; what somebody else froze is left alone. Never the agent itself.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator

from containeragent.cgroups import attributes
from containeragent.cgroups.directory import KILL, folders, read_file, write_file
from containeragent.cgroups.names import AGENT, LEAF, OWN
from containeragent.cgroups.tree import Parts, Tree
from containeragent.host import cgroup2

log = logging.getLogger(__name__)

FREEZE = "cgroup.freeze"
MARK = "frozen"


class Freezer:
    """Of one tree. `cgroup_of` gives the path under the cgroup2 mount that components stand for."""

    def __init__(self, tree: Tree, cgroup_of: Callable[[Parts], str]) -> None:
        self._tree = tree
        self._cgroup_of = cgroup_of
        self._stopped: dict[Parts, set[object]] = {}  # by whom
        self._lock = threading.Lock()

    def stop(self, parts: Parts, by: object) -> bool:
        """Freeze a container; False if there is nothing of it that we may or need to freeze."""
        with self._lock:
            frozen = any([self._freeze(target) for target in self._targets(parts)])
            if frozen:
                self._stopped.setdefault(parts, set()).add(by)
            return frozen

    def go_on(self, parts: Parts, by: object) -> None:
        """Thaw a container, unless somebody else wants it stopped too."""
        with self._lock:
            who = self._stopped.get(parts, set())
            who.discard(by)
            if not who:
                self._stopped.pop(parts, None)
                self._thaw_all(parts)

    def recover(self, parts: Parts) -> None:
        """Thaw a container, and what is below it of the agent's own, if an agent before this one had frozen it."""
        with self._lock, self._tree.opened(parts) as directory:
            leaves = [name for name in folders(directory) if name == LEAF]
            for target in (parts, *((*parts, leaf) for leaf in leaves)):
                self._thaw(target)

    def _thaw_all(self, parts: Parts) -> None:
        self._thaw(parts)
        for target in self._targets(parts):
            self._thaw(target)

    def kill(self, parts: Parts) -> None:
        """SIGKILL to everything in a container and below; does not wait for the end."""
        for target in self._targets(parts):
            with self._tree.opened(target) as directory:
                write_file(directory, KILL, "1")

    def _targets(self, parts: Parts) -> Iterator[Parts]:
        """The container, or where the agent is below it, everything in it but the agent."""
        own = cgroup2.path_of_task(os.getpid())
        cgroup = self._cgroup_of(parts)
        with self._tree.opened(parts) as directory:
            below = folders(directory)
        if own != cgroup and not own.startswith(cgroup + "/") and AGENT not in below:
            yield parts
            return
        for name in below:
            if name == LEAF and own != f"{cgroup}/{LEAF}":
                yield (*parts, name)
            elif name not in OWN:
                yield from self._targets((*parts, name))

    def _freeze(self, parts: Parts) -> bool:
        with self._tree.opened(parts) as directory:
            if read_file(directory, FREEZE).strip() == "1":
                return attributes.get(directory, MARK) is not None
            attributes.put(directory, MARK, b"1")
            write_file(directory, FREEZE, "1")
            return True

    def _thaw(self, parts: Parts) -> None:
        """The mark goes last: whoever finds it thaws."""
        with self._tree.opened(parts) as directory:
            if attributes.get(directory, MARK) is not None:
                write_file(directory, FREEZE, "0")
                attributes.put(directory, MARK, None)
