# SPDX-License-Identifier: Apache-2.0
"""What a look at every page frame found, by cgroup, as of the moment of that look.

In: counts by slot, and the tree of slots. Out: figures keyed by cgroup id, so that whoever takes a slot later inherits
nothing. A cgroup that came after the look is not in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from containeragent.counters.pagescan import KINDS, Counts
from containeragent.counters.topology import Array, Index, Topology

Column = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PageView:
    """Columns by kind of page, in the order of `ids`, which ascend. `local` leaves out what is below.

    Kinds are those of KINDS, without "active" where the kernel does not tell it.
    """

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
        return {kind: int(column[at]) for kind, column in self.total.items()} if known else None


def of_counts(taken_at: float, counts: Counts, tree: Topology, kept: npt.NDArray[np.bool_], active: bool) -> PageView:
    """The view of a look; `kept` are the slots that had one cgroup all the time, `active` whether that is told."""
    by_slot = np.where(kept, counts, 0)[:, tree.used].T
    total, held = tree.subtree(by_slot), tree.held(by_slot)
    order = np.argsort(tree.ids)
    order = order[kept[tree.used[tree.live[order]]]]
    live = tree.live[order]
    kinds = [(at, kind) for at, kind in enumerate(KINDS) if active or kind != "active"]
    return PageView(
        taken_at=taken_at,
        ids=tree.ids[order],
        total={kind: total[live, at] for at, kind in kinds},
        local={kind: held[live, at] for at, kind in kinds},
    )
