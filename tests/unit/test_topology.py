# SPDX-License-Identifier: Apache-2.0
"""Sums over the tree of slots, against the plain definition on trees of any shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given, strategies as st

from containeragent.counters import topology
from containeragent.counters.records import GROUP, SLOT, SLOT_DEAD, SLOT_FREE, SLOT_LIVE, SLOT_ROOT
from containeragent.counters.topology import Topology

SLOTS = 40


@dataclass(frozen=True)
class Node:
    """A slot in use: its number, the number of its parent (0 for the root), whether its cgroup exists."""

    slot: int
    parent: int
    alive: bool


@st.composite
def trees(draw: st.DrawFn) -> list[Node]:
    """Trees in any slots, in any order; the root is alive."""
    numbers = draw(st.permutations(range(2, SLOTS)).map(lambda order: order[: draw(st.integers(0, 25))]))
    nodes = [Node(SLOT_ROOT, 0, True)]
    for number in numbers:
        parent = draw(st.sampled_from(nodes))
        nodes.append(Node(number, parent.slot, draw(st.booleans())))
    return nodes


def _build(nodes: list[Node]) -> Topology:
    slots, groups, level = np.zeros(SLOTS, SLOT), np.zeros(SLOTS, GROUP), {0: -1}
    for node in nodes:
        level[node.slot] = level[node.parent] + 1
        slots[node.slot]["state"] = SLOT_LIVE if node.alive else SLOT_DEAD
        slots[node.slot]["cgroup_id"] = 1000 + node.slot
        slots[node.slot]["level"] = level[node.slot]
        groups[node.slot]["parent"] = node.parent
    return topology.build(7, slots, groups["parent"])


def _ancestors(nodes: dict[int, Node], slot: int) -> list[int]:
    """The slot itself and all above it."""
    chain = []
    while slot:
        chain.append(slot)
        slot = nodes[slot].parent
    return chain


@given(trees())
def test_subtree_is_the_sum_of_all_below(nodes: list[Node]) -> None:
    """Each slot's own number counts once with itself and every ancestor."""
    tree, by_slot = _build(nodes), {node.slot: node for node in nodes}
    own = {slot: slot * slot for slot in by_slot}
    wanted = dict.fromkeys(by_slot, 0)
    for slot, number in own.items():
        for above in _ancestors(by_slot, slot):
            wanted[above] += number
    total = tree.subtree(np.array([own[slot] for slot in tree.used]))
    assert dict(zip(tree.used.tolist(), total.tolist(), strict=True)) == wanted


@given(trees())
def test_dead_are_held_by_the_nearest_living(nodes: list[Node]) -> None:
    """What is nobody's own any more is the nearest living ancestor's, and nothing is lost."""
    tree, by_slot = _build(nodes), {node.slot: node for node in nodes}
    wanted = dict.fromkeys(by_slot, 0)
    for slot in by_slot:
        living = next(above for above in _ancestors(by_slot, slot) if by_slot[above].alive)
        wanted[living] += slot
    held = tree.held(np.array([int(slot) for slot in tree.used]))
    assert dict(zip(tree.used.tolist(), held.tolist(), strict=True)) == wanted


@given(trees())
def test_living(nodes: list[Node]) -> None:
    """Only those whose cgroup exists are shown, by id, in one order."""
    tree = _build(nodes)
    alive = {1000 + node.slot for node in nodes if node.alive}
    assert set(tree.cgroup_ids) == alive and len(tree.cgroup_ids) == len(alive)
    assert tree.used[tree.live].tolist() == [number - 1000 for number in tree.cgroup_ids]
    assert tree.generation == 7


def test_columns() -> None:
    """Several numbers at once give the same sums as one by one."""
    tree = _build([Node(1, 0, True), Node(5, 1, False), Node(3, 5, True), Node(9, 1, True)])
    local = np.arange(8).reshape(4, 2)
    assert tree.subtree(local)[:, 1].tolist() == tree.subtree(local[:, 1]).tolist()
    assert tree.held(local)[:, 1].tolist() == tree.held(local[:, 1]).tolist()


def test_nothing_loaded() -> None:
    """A tree without slots, as between a load and the adoption of the root."""
    slots = np.zeros(SLOTS, SLOT)
    assert SLOT_FREE == 0
    tree = topology.build(0, slots, np.zeros(SLOTS, GROUP)["parent"])
    assert (tree.cgroup_ids, tree.levels, tree.subtree(np.zeros(0)).tolist()) == ((), (), [])


def test_slot_whose_parent_is_free() -> None:
    """A parent that is being taken at this moment: the child stands alone instead of counting with something else."""
    slots, parents = np.zeros(SLOTS, SLOT), np.zeros(SLOTS, np.uint32)
    for slot, parent in ((1, 0), (4, 9)):
        slots[slot]["state"], slots[slot]["level"], parents[slot] = SLOT_LIVE, int(slot > 1), parent
    tree = topology.build(0, slots, parents)
    assert tree.subtree(np.array([1, 10])).tolist() == [1, 10]
