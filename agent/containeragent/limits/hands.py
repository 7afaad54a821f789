# SPDX-License-Identifier: Apache-2.0
"""What the ladder above a page limit does to a container, in kernel mode and in agent mode alike.

In: components of container names and cgroup ids. Out: what a container uses, and control files written.
"""

from __future__ import annotations

import os

from containeragent.cgroups.tree import Parts, Tree
from containeragent.counters.source import Source
from containeragent.limits import reclaim
from containeragent.limits.freezer import Freezer
from containeragent.limits.model import Limits
from containeragent.limits.usage import Usage

# What a CPU has charged ahead (mm/memcontrol.c, MEMCG_CHARGE_BATCH): that much above memory.high is not above it.
_BATCH_PAGES = 64
# What a CPU keeps to itself of pages that come, and of those that go (BATCH of bpf/records.h)
_UNTOLD_PAGES = 2 * 64


class Hands:
    """Of the containers in one tree."""

    def __init__(self, tree: Tree, source: Source, freezer: Freezer) -> None:
        self._tree = tree
        self._usage = Usage(tree, source)
        self._source = source
        self.freezer = freezer

    def slack_pages(self, limits: Limits) -> int:
        """How far notices of crossings may be from what is in use."""
        return min(_UNTOLD_PAGES * (os.cpu_count() or 1), (limits.page_limit or 0) // 8)

    def look(self, parts: Parts, cgroup_id: int, limits: Limits) -> int | None:
        """Pages in use, and have the kernel side tell the next crossing; None when nobody knows.

        For who acts on it: a crossing that was not told yet is told to nobody else.
        """
        self._source.rearm(cgroup_id)
        return self.usage(parts, cgroup_id, limits)

    def usage(self, parts: Parts, cgroup_id: int, limits: Limits) -> int | None:
        """Pages in use."""
        charged = self._usage.charged_pages(parts)
        if charged is None:
            return self._usage.counted_pages(cgroup_id)
        ahead = min(_BATCH_PAGES * (os.cpu_count() or 1), (limits.page_limit or 0) // 32)
        return max(0, charged - ahead)

    def reclaim(self, parts: Parts, pages: int) -> None:
        """Take back so many pages, as far as that goes."""
        with self._tree.opened(parts) as directory:
            if self._usage.charged_pages(parts) is not None:
                left = pages * self._source.page_size
                while left > 0 and reclaim.by_controller(directory, min(left, reclaim.CHUNK_BYTES)):
                    left -= reclaim.CHUNK_BYTES
                return
        swap = reclaim.there_is_swap()
        for process in self._tree.processes(parts):
            reclaim.by_task(process, swap)

    def kill(self, parts: Parts) -> None:
        """End everything in it."""
        self.freezer.kill(parts)
