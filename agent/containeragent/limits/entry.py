# SPDX-License-Identifier: Apache-2.0
"""What the keeper remembers of a container, and what becomes of it.

In: what was kept, limits that are set, hits. Out: what is to be kept. Nothing is read or written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from containeragent.cgroups.tree import Parts
from containeragent.host import process
from containeragent.limits.holders import KERNEL, Modes
from containeragent.limits.kernel import NO_COUNTS, Counts
from containeragent.limits.model import NO_HITS, NOTHING, Hits, Kept, Limits, Spared


@dataclass(frozen=True)
class Entry:
    """What has or had limits, or something below that has. `counts` are the kernel's."""

    parts: Parts
    modes: Modes
    kept: Kept = NOTHING
    counts: Counts = NO_COUNTS


def fewer(now: Hits, before: Hits) -> bool:
    """The kernel never counts back: a controller has vanished, and what it had counted is still wanted."""
    return (now.tasks or 0) < (before.tasks or 0) or (now.pages or 0) < (before.pages or 0)


def gone_below(before: Counts, now: Counts) -> Hits:
    """What went with containers below, where hits are the sum over those that live (KernelLimits.counts)."""
    summed = now.local_hits.tasks is None
    return Hits(max(0, (before.hits.tasks or 0) - (now.hits.tasks or 0)), 0) if summed else NO_HITS


def more(before: Counts, after: Counts, limit: str) -> bool:
    """Whether its own limit was hit; where the kernel does not tell, one of its own or of what is below."""
    earlier, later = getattr(before.local_hits, limit), getattr(after.local_hits, limit)
    if earlier is None or later is None:
        earlier, later = getattr(before.hits, limit), getattr(after.hits, limit)
    return bool((later or 0) > (earlier or 0))


def with_lost(kept: Kept, entry: Entry, modes: Modes) -> Kept:
    """Hits that went with the files of a controller."""
    tasks, pages = entry.modes.tasks == KERNEL != modes.tasks, entry.modes.pages == KERNEL != modes.pages

    def lost(hits: Hits) -> Hits:
        return Hits((hits.tasks or 0) * tasks, (hits.pages or 0) * pages)

    return replace(
        kept,
        hits=kept.hits.plus(lost(entry.counts.hits)),
        local_hits=kept.local_hits.plus(lost(entry.counts.local_hits)),
    )


def set_limits(kept: Kept, wanted: Limits, above: Mapping[str, tuple[int, int]]) -> Kept:
    """With limits that are in force by now: those who are above them were there before, or came in at this moment."""
    spared = kept.spared
    if wanted.task_limit != kept.limits.task_limit:
        spared = Spared(above["tasks"][0], process.now_ticks()) if "tasks" in above else None
    return replace(kept, limits=wanted, spared=spared)


def with_hits(kept: Kept, more: Hits, local: bool) -> Kept:
    return replace(kept, hits=kept.hits.plus(more), local_hits=kept.local_hits.plus(more if local else NO_HITS))
