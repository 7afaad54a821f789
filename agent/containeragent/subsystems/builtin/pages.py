# SPDX-License-Identifier: Apache-2.0
"""Subsystem `pages`: counters and a limit of a container's pages. They stay with the container that paid for them."""

from __future__ import annotations

from collections.abc import Iterable

from containeragent.counters.source import Source
from containeragent.limits.keeper import Keeper
from containeragent.subsystems.api import Attribute, Container, Subsystem
from containeragent.subsystems.builtin.counted import Counter, attributes, limit

_COUNTERS: dict[str, Counter] = {
    "num_anon_pages": ("anonymous pages", lambda reading: reading.total["anon"]),
    "num_file_pages": ("pages of the page cache, shmem among them", lambda reading: reading.total["file"]),
    "num_shmem_pages": ("pages of tmpfs and shared memory", lambda reading: reading.total["shmem"]),
    "num_mapped_pages": ("file pages that are mapped by someone", lambda reading: reading.total["mapped"]),
    "num_active_pages": ("pages on active lists", lambda reading: reading.total["active"]),
    "num_files": ("files that have pages charged to it", lambda reading: reading.total["files"]),
    "peak_pages": ("highest anonymous and file pages so far", lambda reading: reading.peak_pages),
}


class Pages(Subsystem):
    """Counted by a Source, limited by a Keeper."""

    name = "pages"

    def __init__(self, source: Source, keeper: Keeper) -> None:
        self._source = source
        self._keeper = keeper

    def populate(self, container: Container) -> Iterable[Attribute]:
        """Counters, and the limit, which can be set."""
        yield from attributes(self._source, container, _COUNTERS)
        yield limit(self._keeper, container, "page_limit", "most pages, bytes with a unit, or max")
