# SPDX-License-Identifier: Apache-2.0
"""The cgroups that task events are counted in, found by where a task says it is.

In: task ids, and at every reading the cgroups that there are. Out: Nodes, one for each cgroup while it lives.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(eq=False, slots=True)
class Node:
    """One cgroup. Numbers cover everything below it; `tasks` is kept only to know the peak."""

    cgroup_id: int
    parent: Node | None
    seen: int  # number of the last reading that it was there
    tasks: int = 0
    peak: int = 0
    forks: int = 0
    exits: int = 0

    def upwards(self) -> Iterator[Node]:
        """It and its ancestors."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent


class Nodes:
    """Nodes by cgroup id. One whose cgroup went stays with its tasks, so that late events reach its parents."""

    def __init__(self, mount: Path, proc: Path = Path("/proc")) -> None:
        self._mount = os.fsencode(mount)
        self._proc = os.fsencode(proc)
        self._nodes: dict[int, Node] = {}
        self.reading = 0

    def __len__(self) -> int:
        return len(self._nodes)

    def node(self, cgroup_id: int, parent: Node | None) -> Node:
        """The one of that id, made when it is new, and marked as seen."""
        node = self._nodes.get(cgroup_id)
        if node is None:
            node = self._nodes[cgroup_id] = Node(cgroup_id, parent, self.reading)
        node.seen = self.reading
        return node

    def forget_unseen(self) -> None:
        """Drop those that neither this reading nor an event since its start has seen."""
        self._nodes = {number: node for number, node in self._nodes.items() if node.seen >= self.reading}

    def locate(self, task: int) -> Node | None:
        """The node of a task, ended ones included that nobody waited for yet; None when it or its cgroup is gone."""
        try:
            text = _read(b"%s/%d/cgroup" % (self._proc, task))
        except OSError:
            return None
        for line in text.split(b"\n"):
            if line.startswith(b"0::/"):
                return self._at(line[4:])
        return None

    def _at(self, path: bytes) -> Node | None:
        """By the path under the mount, without a slash in front."""
        try:
            cgroup_id = os.stat(self._mount + b"/" + path).st_ino
        except OSError:
            return None
        known = self._nodes.get(cgroup_id)
        if known is not None:
            return known
        parent = self._at(path.rpartition(b"/")[0]) if path else None
        return self.node(cgroup_id, parent) if parent is not None or not path else None


def _read(path: bytes) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 1 << 16)
    finally:
        os.close(descriptor)
