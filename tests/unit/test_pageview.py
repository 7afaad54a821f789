# SPDX-License-Identifier: Apache-2.0
"""What a look found, by cgroup: sums over the tree, and nothing for whoever took a slot later."""

from __future__ import annotations

import numpy as np

from containeragent.counters.pagescan import KINDS
from containeragent.counters.pageview import PageView, of_counts
from containeragent.counters.records import UNKNOWN
from tests.unit.topologies import DB, GONE, NEW, ROOT, SLOTS, WEB, tree


def seen() -> PageView:
    """The root, /web with the id 900, /web/db with 500, a dead one below /web; /new took its slot during the look."""
    counts = np.zeros((len(KINDS), SLOTS), dtype=np.int64)
    for slot, pages in ((ROOT, 1), (WEB, 10), (DB, 100), (GONE, 1000), (NEW, 10000)):
        counts[:, slot] = pages
    kept = np.arange(SLOTS) != NEW
    return of_counts(7.0, counts, tree(ROOT, WEB, DB, GONE, NEW), kept)


def test_sums() -> None:
    """Over the tree; a dead one counts with its nearest living ancestor."""
    view = seen()
    assert view.taken_at == 7.0 and view.ids.tolist() == [1, 500, 900]
    for kind in KINDS:
        assert view.total[kind].tolist() == [1111, 100, 1110]
        assert view.local[kind].tolist() == [1, 100, 1010]
    assert view.pages(500) == dict.fromkeys(KINDS, 100)


def test_one_that_was_not_there_all_the_time_is_unknown() -> None:
    """Nor does it add to its ancestors."""
    view = seen()
    assert view.pages(800) is None and view.pages(700) is None and view.pages(2**63) is None
    assert view.places(np.array([800, 500], dtype=np.uint64))[1].tolist() == [False, True]


def test_active_as_others_say() -> None:
    """It is theirs with everything below; who is not told of is unknown, instead of 0."""
    view = seen().with_active({1: 77, 900: 7, 800: 3})
    assert view.total["active"].tolist() == [77, UNKNOWN, 7]
    assert view.local["active"].tolist() == [UNKNOWN] * 3
    assert view.pages(500) == {kind: 100 for kind in KINDS if kind != "active"}
