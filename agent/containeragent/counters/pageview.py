# SPDX-License-Identifier: Apache-2.0
"""What a look at every page frame found, by cgroup, as of the moment of that look.

In: counts by slot, and the tree of slots. Out: figures keyed by cgroup id, so that whoever takes a slot later inherits
nothing. A cgroup that came after the look is not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from containeragent.counters.filescan import FilesSeen, files_of_nodes
from containeragent.counters.pagescan import KINDS, Counts
from containeragent.counters.records import UNKNOWN
from containeragent.counters.topology import Array, Index, Topology

# Active pages by cgroup id, as the kernel's own figures have them: asked where page frames do not tell.
AskActive = Callable[[Sequence[int]], Mapping[int, int]]
Column = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PageView:
    """Columns by kind of page, in the order of `ids`, which ascend. `local` leaves out what is below."""

    taken_at: float  # time.monotonic()
    ids: Array
    total: dict[str, Column]
    local: dict[str, Column]
    moved: dict[str, Column] | None = None  # of `total`, what files brought that the kernel charges elsewhere

    def places(self, ids: Array) -> tuple[Index, npt.NDArray[np.bool_]]:
        """Where cgroups are in the columns, and which of them are there at all."""
        at = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return at, self.ids[at] == ids

    def pages(self, cgroup_id: int) -> dict[str, int] | None:
        """One cgroup with everything below it; None if it was not there."""
        (at,), (known,) = self.places(np.array([cgroup_id], dtype=np.uint64))
        if not known:
            return None
        return {kind: int(column[at]) for kind, column in self.total.items() if column[at] != UNKNOWN}

    def moved_pages(self, cgroup_id: int) -> dict[str, int]:
        """Of pages(), those that are here because of their files less those that are elsewhere; empty if unknown."""
        (at,), (known,) = self.places(np.array([cgroup_id], dtype=np.uint64))
        return {kind: int(column[at]) for kind, column in (self.moved or {}).items()} if known else {}

    def with_active(self, pages: Mapping[int, int]) -> PageView:
        """What others say is active, by cgroup id with everything below, in place of what the look found."""
        active = np.array([pages.get(number, UNKNOWN) for number in self.ids.tolist()], dtype=np.int64)
        unknown = np.full_like(active, UNKNOWN)
        # the kernel's figure has nothing of files
        moved = self.moved and self.moved | {"active": np.zeros_like(active)}
        return replace(self, total=self.total | {"active": active}, local=self.local | {"active": unknown}, moved=moved)


def of_counts(
    taken_at: float, counts: Counts, tree: Topology, kept: npt.NDArray[np.bool_], files: FilesSeen | None = None
) -> PageView:
    """The view of a look; `kept` are the slots that had one cgroup all the time."""
    by_slot = np.where(kept, counts, 0)[:, tree.used].T
    total, held = tree.subtree(by_slot), tree.held(by_slot)
    order = np.argsort(tree.ids)
    order = order[kept[tree.used[tree.live[order]]]]
    live = tree.live[order]
    view = PageView(
        taken_at=taken_at,
        ids=tree.ids[order],
        total={kind: total[live, at] for at, kind in enumerate(KINDS)},
        local={kind: held[live, at] for at, kind in enumerate(KINDS)},
    )
    return view if files is None else _with_files(view, files, tree, live, kept)


def _with_files(view: PageView, files: FilesSeen, tree: Topology, live: Index, kept: npt.NDArray[np.bool_]) -> PageView:
    slots, mappings = files.pairs
    known = kept[np.minimum(slots, len(kept) - 1)] & (slots < len(kept))
    total, held = files_of_nodes(tree, (slots[known], mappings[known]))
    moved = None
    if files.moved is not None:
        sums = tree.subtree(np.where(kept, files.moved, 0)[:, tree.used].T)
        moved = {kind: sums[live, at] for at, kind in enumerate(KINDS)}
    return replace(
        view, total=view.total | {"files": total[live]}, local=view.local | {"files": held[live]}, moved=moved
    )
