# SPDX-License-Identifier: Apache-2.0
"""What is known of limits, joined with what the programs count of hits.

In: the keeper's entries and a snapshot. Out: a LimitState a container, as documents and metrics show it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from containeragent.cgroups.tree import Parts
from containeragent.counters.snapshot import UNKNOWN, Snapshot
from containeragent.limits.entry import Entry
from containeragent.limits.holders import Modes
from containeragent.limits.keeper import Keeper
from containeragent.limits.model import NO_HITS, NO_LIMITS, Hits, LimitState


def unlimited(modes: Modes) -> LimitState:
    """Of a container that never had any limit."""
    return LimitState(NO_LIMITS, modes.tasks, modes.pages, NO_HITS, NO_HITS)


def last(entry: Entry) -> LimitState:
    """Of one that is gone, whose hits are all kept."""
    return _state(entry, NO_HITS, NO_HITS)


def all_of(keeper: Keeper, snapshot: Snapshot) -> dict[int, LimitState]:
    """By cgroup id, of all that have or had limits, or something below that has."""
    entries, counted = keeper.entries(), _all_counted(snapshot)
    totals = _totals(entries, counted)
    return {
        number: _state(entry, totals.get(entry.parts, NO_HITS), counted.get(number, NO_HITS))
        for number, entry in entries.items()
    }


def of(keeper: Keeper, snapshot: Snapshot, cgroup_id: int) -> LimitState | None:
    """Of one, in time that does not depend on how many there are; None of one that all_of has not."""
    entry = keeper.entry(cgroup_id)
    if entry is None:
        return None
    counted, total = _all_counted(snapshot), NO_HITS
    for number, hits in counted.items():
        below = keeper.entry(number)
        if below is not None and below.parts[: len(entry.parts)] == entry.parts:
            total = total.plus(hits)
    return _state(entry, total, counted.get(cgroup_id, NO_HITS))


def _all_counted(snapshot: Snapshot) -> dict[int, Hits]:
    """By cgroup id; only those that have any."""
    tasks, pages = snapshot.task_limit_hits, snapshot.page_limit_hits
    hit = ((tasks != UNKNOWN) & (tasks != 0)) | ((pages != UNKNOWN) & (pages != 0))
    ids = [snapshot.cgroup_ids[at] for at in np.flatnonzero(hit)]
    return {cgroup_id: _counted(snapshot, cgroup_id) for cgroup_id in ids}


def _counted(snapshot: Snapshot, cgroup_id: int) -> Hits:
    """By the programs, of its own limits; none where they count none."""
    at = snapshot.index.get(cgroup_id)
    if at is None:
        return NO_HITS
    tasks, pages = int(snapshot.task_limit_hits[at]), int(snapshot.page_limit_hits[at])
    return Hits(0 if tasks == UNKNOWN else tasks, 0 if pages == UNKNOWN else pages)


def _totals(entries: Mapping[int, Entry], counted: Mapping[int, Hits]) -> dict[Parts, Hits]:
    totals: dict[Parts, Hits] = {}
    for cgroup_id, hits in counted.items():
        entry = entries.get(cgroup_id)
        if entry is None:
            continue
        for length in range(len(entry.parts) + 1):
            above = entry.parts[:length]
            totals[above] = totals.get(above, NO_HITS).plus(hits)
    return totals


def _state(entry: Entry, total: Hits, local: Hits) -> LimitState:
    return LimitState(
        limits=entry.kept.limits,
        tasks_mode=entry.modes.tasks,
        pages_mode=entry.modes.pages,
        hits=entry.counts.hits.plus(entry.kept.hits).plus(total),
        local_hits=entry.counts.local_hits.plus(entry.kept.local_hits).plus(local),
        throttled_seconds=entry.kept.throttled_seconds,
    )
