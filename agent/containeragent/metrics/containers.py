# SPDX-License-Identifier: Apache-2.0
"""Metrics of containers, living and gone.

In: snapshots, limits, final records. Out: families. A container that vanishes meanwhile, or about which something
fails, is left out and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from containeragent.containers.ended import Ended
from containeragent.containers.view import Dead
from containeragent.counters.ends import last_snapshot
from containeragent.counters.snapshot import Health, Snapshot
from containeragent.counters.source import Source
from containeragent.limits.model import LimitState
from containeragent.metrics.choice import EXCLUDED, SERIES_CAP, YOUNG, Choice
from containeragent.metrics.family import Family, Series, Value, labelled, single
from containeragent.metrics.labels import Label, Labels, info
from containeragent.metrics.series import COUNTERS, LIMITS, PER_CONTAINER, PER_DEAD, PER_LIMITED, States

LimitStates = Mapping[int, LimitState]


@dataclass(frozen=True)
class _Part:
    """Containers with their labels, in the order of the snapshot."""

    snapshot: Snapshot
    labels: list[Label]
    limited: list[Label]
    limits: list[LimitState]


class ContainerMetrics:
    """Of one source. Not for two threads at a time. `series` is how many the last scrape had."""

    def __init__(
        self,
        source: Source,
        labels: Labels,
        choice: Choice,
        *,
        ended: Ended,
        limits: Callable[[Snapshot], LimitStates] = lambda _: {},
    ) -> None:
        self._source = source
        self._labels = labels
        self._choice = choice
        self._ended = ended
        self._limits = limits
        self.series = 0

    def families(self) -> Iterator[Family]:
        """One reading."""
        snapshot = self._source.snapshot()
        limits = self._limits(snapshot)
        labels, dropped = self._labels.of(snapshot.cgroup_ids, snapshot.born_ns.tolist())
        living = self._living(snapshot, labels, limits, dropped)
        self.series = len(living.labels) * PER_CONTAINER + len(living.limits) * PER_LIMITED
        dead = self._dead({label.cgroup for label in labels if label is not None}, dropped)
        gone = self._gone(dead, snapshot.health)
        self.series += len(gone.labels) * PER_DEAD + len(gone.limits) * PER_LIMITED
        parts, page = (living, gone), self._source.page_size
        yield from (_counters(series, parts, page) for series in COUNTERS)
        text = "Names of the cgroup, and whose it is; an empty label does not apply, or is not known. Source: its path."
        infos = [label.info for part in parts for label in part.labels]
        yield Family("container_info", text, infos, [1] * len(infos))
        text = "When the cgroup was removed, in seconds since the epoch; its last values stay for grace_seconds."
        yield Family(
            "died_timestamp_seconds", text, [one.text for one in gone.labels], [one.end.died_at for one in dead]
        )
        yield from (_limits(series, parts, page) for series in LIMITS)
        yield single("containers", "Cgroups that are counted.", len(snapshot))
        managed = sum(label.is_managed for label in labels if label is not None)
        yield single("containers_managed", "Containers under the cgroup root, it left out.", managed)
        text = "Cgroups left out of this scrape, those that are gone among them, by reason."
        yield labelled("containers_dropped", text, ["reason"], {(why,): number for why, number in dropped.items()})

    def _living(
        self, snapshot: Snapshot, labels: Sequence[Label | None], limits: LimitStates, dropped: dict[str, int]
    ) -> _Part:
        ids = snapshot.cgroup_ids
        has_label = np.array([label is not None for label in labels], dtype=np.bool_)
        wanted = np.array([label is not None and label.is_wanted for label in labels], dtype=np.bool_)
        young = wanted & self._choice.is_young(snapshot, self._source.page_size)
        if limits and young.any():
            young &= ~np.array([number in limits for number in ids], dtype=np.bool_)
        candidates = np.flatnonzero(wanted & ~young)
        costs = [PER_CONTAINER + PER_LIMITED * (ids[at] in limits) for at in candidates.tolist()]
        chosen = self._choice.heaviest(snapshot, candidates, costs)
        dropped |= {
            EXCLUDED: int((has_label & ~wanted).sum()),
            YOUNG: int(young.sum()),
            SERIES_CAP: len(candidates) - len(chosen),
        }
        shown = [label for at in chosen if (label := labels[at]) is not None]
        limited = [(label, limits[ids[at]]) for at, label in zip(chosen, shown, strict=True) if ids[at] in limits]
        return _Part(snapshot.only(chosen), shown, [label for label, _ in limited], [state for _, state in limited])

    def _dead(self, living: set[str], dropped: dict[str, int]) -> list[Dead]:
        """The managed ones that are gone a short while, newest first, one a path and none whose path is taken again."""
        by_path: dict[str, Dead] = {}
        for one in sorted(self._ended.dead(False), key=lambda one: one.end.died_at, reverse=True):
            if one.cgroup in living or one.cgroup in by_path:
                continue
            if not self._choice.is_wanted(one.cgroup):
                dropped[EXCLUDED] += 1
            elif one.limits is None and self._choice.was_young(one.end, self._source.page_size):
                dropped[YOUNG] += 1
            else:
                by_path[one.cgroup] = one
        found, left = list(by_path.values()), self._choice.series_cap - self.series
        fitting = 0
        for one in found:
            left -= PER_DEAD + PER_LIMITED * (one.limits is not None)
            if left < 0:
                break
            fitting += 1
        dropped[SERIES_CAP] += len(found) - fitting
        return found[:fitting]

    def _gone(self, dead: Sequence[Dead], health: Health) -> _Part:
        labels = [_label(one) for one in dead]
        limited = [(label, one.limits) for label, one in zip(labels, dead, strict=True) if one.limits is not None]
        last = last_snapshot([one.end for one in dead], health)
        return _Part(last, labels, [label for label, _ in limited], [state for _, state in limited])


def _label(one: Dead) -> Label:
    made = Label.of_path(one.cgroup, one.end.born_at)
    made.info = info(one.cgroup, one.name if one.managed else None, None)
    return made


def _counters(series: Series[Snapshot], parts: Sequence[_Part], page_size: int) -> Family:
    values = [value for part in parts for value in series.values(part.snapshot, page_size)]
    return _family(series, [label for part in parts for label in part.labels], values)


def _limits(series: Series[States], parts: Sequence[_Part], page_size: int) -> Family:
    values = [value for part in parts for value in series.values(part.limits, page_size)]
    return _family(series, [label for part in parts for label in part.limited], values)


def _family(series: Series[Any], labels: Sequence[Label], values: Sequence[Value]) -> Family:
    created = [label.created for label in labels] if series.counter else ()
    return Family(series.name, series.help, [label.text for label in labels], values, series.counter, created)
