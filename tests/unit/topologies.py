# SPDX-License-Identifier: Apache-2.0
"""A small tree of slots, for tests of what is summed over it."""

from __future__ import annotations

import numpy as np

from containeragent.counters import topology
from containeragent.counters.records import SLOT, SLOT_DEAD, SLOT_LIVE
from containeragent.counters.topology import Topology

SLOTS = 16
ROOT, WEB, DB, GONE, NEW = 1, 9, 3, 4, 5
_ROWS = {
    ROOT: (0, 0, 1, SLOT_LIVE),
    WEB: (ROOT, 1, 900, SLOT_LIVE),
    DB: (WEB, 2, 500, SLOT_LIVE),
    GONE: (WEB, 2, 700, SLOT_DEAD),
    NEW: (ROOT, 1, 800, SLOT_LIVE),
}


def tree(*chosen: int) -> Topology:
    """Of these slots: the root with the id 1, /web with 900, /web/db with 500, a dead one below /web, /new with 800."""
    slots, parents = np.zeros(SLOTS, SLOT), np.zeros(SLOTS, np.uint32)
    for slot in chosen:
        parent, level, number, state = _ROWS[slot]
        slots[slot]["state"], slots[slot]["level"], slots[slot]["cgroup_id"] = state, level, number
        parents[slot] = parent
    return topology.build(0, slots, parents)
