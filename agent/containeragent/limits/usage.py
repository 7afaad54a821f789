# SPDX-License-Identifier: Apache-2.0
"""What limits are compared with.

In: components of container names. Out: tasks and pages in use; None where nobody knows.
"""

from __future__ import annotations

from containeragent.cgroups.tree import Parts, Tree
from containeragent.counters.source import Source
from containeragent.limits.kernel import KernelLimits


class Usage:
    """Of the containers in one tree."""

    def __init__(self, tree: Tree, source: Source) -> None:
        self._tree = tree
        self._source = source
        self._kernel = KernelLimits(tree)

    def tasks(self, parts: Parts) -> int:
        """Threads, of the container and what is below it."""
        return len(self._tree.tasks(parts))

    def charged_pages(self, parts: Parts) -> int | None:
        """By the kernel, where it has the controller."""
        return self._kernel.pages(parts, self._source.page_size)

    def counted_pages(self, cgroup_id: int) -> int | None:
        """By the programs."""
        reading = self._source.snapshot().reading(cgroup_id)
        pages = (reading.total["anon"], reading.total["file"]) if reading else (None, None)
        return None if None in pages else int(sum(pages))

    def pages(self, parts: Parts) -> int | None:
        """By whoever holds the limit."""
        charged = self.charged_pages(parts)
        return self.counted_pages(self._tree.identity(parts)) if charged is None else charged
