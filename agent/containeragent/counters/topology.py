# SPDX-License-Identifier: Apache-2.0
"""The tree of slots, and sums over it.

In: the parents, levels and states that the kernel side keeps. Out: index arrays that make the sums of a subtree a few
numpy calls. A slot whose cgroup is gone is still a node, so that its pages count with its ancestors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from containeragent.counters.records import SLOT_FREE, SLOT_LIVE

Index = npt.NDArray[np.intp]
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Level:
    """The nodes of one depth, by parent; where those of each parent begin; and the parents."""

    nodes: Index
    begins: Index
    parents: Index


@dataclass(frozen=True)
class Topology:
    """`used` are slot numbers in use; everything else indexes into `used`.

    `parent` has -1 for the root. `holder` is the node itself, or the nearest living ancestor of a dead one. `levels`
    are those of each depth but the root's, deepest first. `live` are the nodes whose cgroup exists.
    """

    generation: int
    used: Index
    parent: Index
    holder: Index
    levels: tuple[Level, ...]
    live: Index
    ids: Array  # cgroup ids of `live`, in its order
    cgroup_ids: tuple[int, ...]  # the same
    index: dict[int, int]  # where in it each is
    live_slots: Index  # slot numbers of `live`

    def subtree(self, local: Array) -> Array:
        """Sums over each node and everything below it; `local` is (nodes,) or (nodes, columns)."""
        total = local.copy()
        for level in self.levels:
            total[level.parents] += np.add.reduceat(total[level.nodes], level.begins, axis=0)
        return total

    def any_below(self, local: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Whether it is so of a node or any below it."""
        return self.subtree(local.astype(np.int64)) > 0 if local.any() else local

    def held(self, local: Array) -> Array:
        """What each node holds itself: its own, and that of dead nodes whose nearest living ancestor it is."""
        total = local.copy()
        moved = np.flatnonzero(self.holder != np.arange(len(self.holder)))
        np.add.at(total, self.holder[moved], local[moved])
        total[moved] = 0
        return total


def _holders(parent: Index, alive: npt.NDArray[np.bool_]) -> Index:
    holder = np.arange(len(parent))
    for _ in range(len(parent)):
        lost = ~alive[holder] & (parent[holder] >= 0)
        if not lost.any():
            break
        holder[lost] = parent[holder[lost]]
    return holder


def _levels(depth: Array, parent: Index) -> Iterator[Level]:
    for at in range(int(depth.max(initial=0)), 0, -1):
        nodes = np.flatnonzero((depth == at) & (parent >= 0))
        if len(nodes):
            nodes = nodes[np.argsort(parent[nodes], kind="stable")]
            begins = np.flatnonzero(np.diff(parent[nodes], prepend=-1))
            yield Level(nodes, begins, parent[nodes[begins]])


def build(generation: int, slots: Array, parents: Array) -> Topology:
    """From copies of the `slots` records and of the parent column of `groups`."""
    used = np.flatnonzero(slots["state"] != SLOT_FREE)
    node_of = np.full(len(slots), -1, dtype=np.intp)
    node_of[used] = np.arange(len(used))
    parent = np.where(parents[used] > 0, node_of[parents[used]], -1)
    alive = slots["state"][used] == SLOT_LIVE
    live = np.flatnonzero(alive)
    cgroup_ids = tuple(slots["cgroup_id"][used[live]].tolist())
    return Topology(
        generation=generation,
        used=used,
        parent=parent,
        holder=_holders(parent, alive),
        levels=tuple(_levels(slots["level"][used], parent)),
        live=live,
        ids=slots["cgroup_id"][used[live]],
        cgroup_ids=cgroup_ids,
        index={number: at for at, number in enumerate(cgroup_ids)},
        live_slots=used[live],
    )
