# SPDX-License-Identifier: Apache-2.0
"""Whether tasks may move into a container: cgroup v2 itself lets any number move."""

from __future__ import annotations

from containeragent.cgroups.tree import Parts, Tree
from containeragent.errors import Refused
from containeragent.limits.keeper import Keeper


class Admission:
    """Of the containers in one tree."""

    def __init__(self, tree: Tree, keeper: Keeper) -> None:
        self._tree = tree
        self._keeper = keeper

    def check(self, parts: Parts, origin: Parts | None, threads: int) -> None:
        """Refuse where a container, or one that it is in, would be above its task limit; the tightest is named.

        `origin` is the container that they are in, None outside: who has them already is not asked again.
        """
        full: list[tuple[int, str]] = []
        for length in range(len(parts), -1, -1):
            above = parts[:length]
            entry = self._keeper.entry(self._tree.identity(above))
            limit = entry.kept.limits.task_limit if entry else None
            if limit is None or (origin is not None and origin[:length] == above):
                continue
            present = len(self._tree.tasks(above))
            if present + threads > limit:
                full.append((limit - present, f"container {self._tree.title(above)} has {present} of {limit} tasks"))
        if full:
            tightest = min(full, key=lambda one: one[0])[1]
            raise Refused("EAGAIN", f"{tightest}; end some, or raise its task limit")
