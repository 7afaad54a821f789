# SPDX-License-Identifier: Apache-2.0
"""Give the pages of removed cgroups to their nearest living ancestors, and the slots back.

In: the tree of slots. Out: owner words rewritten by the programs in bpf/sweep.c, and then the rest of each count given
to the heir. A slot is free again only when a second pass has found no word of it: programs that were at work in the
first one may still have copied some. Each pass looks at every page frame of the host, so sweeps are made when enough
slots wait or the oldest has waited long enough, not for every removal.
"""

from __future__ import annotations

import contextlib
import threading
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np

from containeragent.counters import topology
from containeragent.counters.maps import CounterMaps
from containeragent.counters.records import SLOT_DEAD
from containeragent.host import grace
from containeragent.runnable import Runnable

_BLOCKS_AT_ONCE = 512  # then others may run


@dataclass(frozen=True)
class Programs:
    """The two programs of the kernel side that a sweep runs."""

    sweep_block: Runnable
    retire_slot: Runnable


class Sweeper:
    """Decides when to sweep, and sweeps.

    `blocks` is the size of the owner map; `unread` keeps readers out while pages go from one row to another.
    """

    def __init__(
        self,
        maps: CounterMaps,
        programs: Programs,
        blocks: int,
        patience_seconds: float = 60.0,
        unread: AbstractContextManager[object] | None = None,
    ) -> None:
        self._maps = maps
        self._unread = unread or contextlib.nullcontext()
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
        """Two passes; says how many slots are free again."""
        with self._lock:
            dead, heirs = self._name_heirs()
            try:
                if len(dead):
                    self._rewrite()
                    grace.wait_for_programs()
                    self._maps.slots["words"][dead] = 0
                    self._rewrite()
            finally:
                self._maps.slots["heir"][dead] = 0
            self._waiting_since = None
            with self._unread:
                return self._retire(dead, heirs)

    def _name_heirs(self) -> tuple[topology.Index, topology.Index]:
        """Dead slots, and for each the one that its pages go to."""
        slots, parents = self._maps.slots.copy(), self._maps.groups["parent"].copy()
        tree = topology.build(0, slots, parents)
        nodes = np.flatnonzero(slots["state"][tree.used] == SLOT_DEAD)
        dead, heirs = tree.used[nodes], tree.used[tree.holder[nodes]]
        self._maps.slots["heir"][dead] = heirs
        return dead, heirs

    def _rewrite(self) -> None:
        for block in range(self._blocks):
            self._programs.sweep_block(block)
            if block % _BLOCKS_AT_ONCE == 0:
                time.sleep(0)

    def _retire(self, dead: topology.Index, heirs: topology.Index) -> int:
        """Deepest first, because a slot that others name as parent is kept."""
        deepest_first = np.argsort(self._maps.slots["level"][dead])[::-1]
        unnamed = [at for at in deepest_first if not self._maps.slots["words"][dead[at]]]
        return sum(self._programs.retire_slot(int(dead[at]), int(heirs[at])) for at in unnamed)
