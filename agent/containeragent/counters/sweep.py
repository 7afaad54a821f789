# SPDX-License-Identifier: Apache-2.0
"""Give the pages of removed cgroups to their nearest living ancestors, and the slots back.

In: the tree of slots. Out: owner words rewritten by the programs in bpf/sweep.c. A slot is free again only when its
count is zero, so no later container inherits a page. One pass looks at every page frame of the host, so passes are made
when enough slots wait or the oldest has waited long enough, not for every removal.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np

from containeragent.counters import topology
from containeragent.counters.maps import CounterMaps
from containeragent.counters.records import SLOT_DEAD
from containeragent.libbpf import Runnable

_BLOCKS_AT_ONCE = 512  # then others may run


@dataclass(frozen=True)
class Programs:
    """The two programs of the kernel side that a sweep runs."""

    sweep_block: Runnable
    retire_slot: Runnable


class Sweeper:
    """Decides when to sweep, and sweeps. `blocks` is the size of the owner map."""

    def __init__(self, maps: CounterMaps, programs: Programs, blocks: int, patience_seconds: float = 60.0) -> None:
        self._maps = maps
        self._programs = programs
        self._blocks = blocks
        self._patience = patience_seconds
        self._waiting_since: float | None = None
        self._lock = threading.Lock()

    def due(self, now: float) -> bool:
        """Whether a pass is worth its cost: an eighth of the slots are dead, or some have been for a while."""
        dead = int(self._maps.state["dead_slots"][0])
        if not dead:
            self._waiting_since = None
            return False
        if self._waiting_since is None:
            self._waiting_since = now
        return dead * 8 >= len(self._maps.slots) or now - self._waiting_since >= self._patience

    def sweep(self) -> int:
        """One pass; says how many slots are free again."""
        with self._lock:
            dead = self._name_heirs()
            try:
                if len(dead):
                    self._rewrite()
            finally:
                self._maps.slots["heir"][dead] = 0
            self._waiting_since = None
            return self._retire(dead)

    def _name_heirs(self) -> topology.Index:
        """Slots without a page are left: they only wait for their children."""
        slots, parents = self._maps.slots.copy(), self._maps.groups["parent"].copy()
        tree = topology.build(0, slots, parents)
        dead = np.flatnonzero(slots["state"][tree.used] == SLOT_DEAD)
        self._maps.slots["heir"][tree.used[dead]] = tree.used[tree.holder[dead]]
        return tree.used[dead]

    def _rewrite(self) -> None:
        for block in range(self._blocks):
            self._programs.sweep_block(block)
            if block % _BLOCKS_AT_ONCE == 0:
                time.sleep(0)

    def _retire(self, dead: topology.Index) -> int:
        """Deepest first, because a slot that others name as parent is kept."""
        deepest_first = dead[np.argsort(self._maps.slots["level"][dead])[::-1]]
        return sum(self._programs.retire_slot(int(slot)) for slot in deepest_first)
