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

    def with_active(self, pages: Mapping[int, int]) -> PageView:
        """What others say is active, by cgroup id with everything below, in place of what the look found."""
        active = np.array([pages.get(number, UNKNOWN) for number in self.ids.tolist()], dtype=np.int64)
        unknown = np.full_like(active, UNKNOWN)
        return replace(self, total=self.total | {"active": active}, local=self.local | {"active": unknown})


def of_counts(taken_at: float, counts: Counts, tree: Topology, kept: npt.NDArray[np.bool_]) -> PageView:
    """The view of a look; `kept` are the slots that had one cgroup all the time."""
    by_slot = np.where(kept, counts, 0)[:, tree.used].T
    total, held = tree.subtree(by_slot), tree.held(by_slot)
    order = np.argsort(tree.ids)
    order = order[kept[tree.used[tree.live[order]]]]
    live = tree.live[order]
    return PageView(
        taken_at=taken_at,
        ids=tree.ids[order],
        total={kind: total[live, at] for at, kind in enumerate(KINDS)},
        local={kind: held[live, at] for at, kind in enumerate(KINDS)},
    )
