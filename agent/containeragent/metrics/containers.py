# SPDX-License-Identifier: Apache-2.0
"""Metrics of containers, living and gone.

In: snapshots, limits, final records. Out: families. A container that vanishes meanwhile, or about which something
fails, is left out and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from containeragent.metrics.family import Family, Series, labelled, single
from containeragent.metrics.labels import Label, Labelled, Labels, info
from containeragent.metrics.series import COUNTERS, LIMITS, PER_CONTAINER, PER_DEAD, PER_LIMITED

LimitStates = Mapping[int, LimitState]


@dataclass(frozen=True)
class _Texts:
    """Of labels, in their order."""

    labels: list[str]
    infos: list[str]
    created: list[str]

    @classmethod
    def of(cls, labels: Iterable[Label]) -> _Texts:
        found = [(label.text, label.info, label.created) for label in labels]
        return cls([text for text, _, _ in found], [info for _, info, _ in found], [created for _, _, created in found])

    def plus(self, other: _Texts) -> _Texts:
        return _Texts(self.labels + other.labels, self.infos + other.infos, self.created + other.created)


@dataclass(frozen=True)
class _Part:
    """Containers in the order of the snapshot, and those of them that have limits."""

    snapshot: Snapshot
    texts: _Texts
    limited: _Texts
    limits: list[LimitState]

    @property
    def series(self) -> int:
        return len(self.snapshot) * PER_CONTAINER + len(self.limits) * PER_LIMITED


class ContainerMetrics:
    """Of one source. Not for two threads at a time."""

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
        self._shown: tuple[Labelled, list[int], _Texts] | None = None
        self.series = 0  # in the last scrape

    def families(self, snapshot: Snapshot) -> Iterator[Family]:
        """One reading."""
        limits = self._limits(snapshot)
        found = self._labels.of(snapshot.cgroup_ids, snapshot.born_ns)
        dropped = {**found.missing, EXCLUDED: found.excluded}
        living = self._living(snapshot, found, limits, dropped)
        dead = self._dead(found, self._choice.series_cap - living.series, dropped)
        gone = _gone(dead, snapshot.health)
        self.series = living.series + gone.series + len(dead)
        parts, page = (living, gone) if dead else (living,), self._source.page_size
        texts, limited = living.texts.plus(gone.texts) if dead else living.texts, living.limited.plus(gone.limited)
        for series in COUNTERS:
            yield _family(series, texts, [series.values(part.snapshot, page) for part in parts])
        text = "Names of the cgroup, and whose it is; an empty label does not apply, or is not known. Source: its path."
        yield Family("container_info", text, texts.infos, [1] * len(texts.infos))
        text = "When the cgroup was removed, in seconds since the epoch; its last values stay for grace_seconds."
        yield Family("died_timestamp_seconds", text, gone.texts.labels, [one.end.died_at for one in dead])
        for limit in LIMITS:
            yield _family(limit, limited, [limit.values(part.limits, page) for part in parts])
        yield single("containers", "Cgroups that are counted.", len(snapshot))
        yield single("containers_managed", "Containers under the cgroup root, it left out.", found.managed)
        text = "Cgroups left out of this scrape, those that are gone among them, by reason."
        yield labelled("containers_dropped", text, ["reason"], {(why,): number for why, number in dropped.items()})

    def _living(self, snapshot: Snapshot, found: Labelled, limits: LimitStates, dropped: dict[str, int]) -> _Part:
        ids = snapshot.cgroup_ids
        young = found.wanted & self._choice.is_young(snapshot, self._source.page_size)
        has_limits = np.array([number in limits for number in ids] if limits else [False] * len(ids), dtype=np.bool_)
        young &= ~has_limits
        candidates = np.flatnonzero(found.wanted & ~young)
        chosen = self._choice.heaviest(snapshot, candidates, PER_CONTAINER + PER_LIMITED * has_limits[candidates])
        dropped |= {YOUNG: int(young.sum()), SERIES_CAP: len(candidates) - len(chosen)}
        limited = [(label, limits[ids[at]]) for at in chosen if ids[at] in limits and (label := found.labels[at])]
        states = [state for _, state in limited]
        texts = self._texts(found, chosen)
        return _Part(snapshot.only(chosen), texts, _Texts.of(label for label, _ in limited), states)

    def _texts(self, found: Labelled, chosen: list[int]) -> _Texts:
        """Made anew only when there are others, or some of them are called otherwise."""
        if self._shown is None or self._shown[0] is not found or self._shown[1] != chosen:
            labels = (label for at in chosen if (label := found.labels[at]) is not None)
            self._shown = found, chosen, _Texts.of(labels)
        return self._shown[2]

    def _dead(self, living: Labelled, room: int, dropped: dict[str, int]) -> list[Dead]:
        """The managed ones that are gone a short while, newest first, one a path and none whose path is taken again."""
        ended = sorted(self._ended.dead(False), key=lambda one: one.end.died_at, reverse=True)
        taken = {label.cgroup for label in living.labels if label is not None} if ended else set()
        found: list[Dead] = []
        for one in ended:
            if one.cgroup in taken:
                continue
            if not self._choice.is_wanted(one.cgroup):
                dropped[EXCLUDED] += 1
            elif one.limits is None and self._choice.was_young(one.end, self._source.page_size):
                dropped[YOUNG] += 1
            else:
                taken.add(one.cgroup)
                room -= PER_DEAD + PER_LIMITED * (one.limits is not None)
                if room < 0:
                    dropped[SERIES_CAP] += 1
                else:
                    found.append(one)
        return found


def _gone(dead: Sequence[Dead], health: Health) -> _Part:
    labels = [_label(one) for one in dead]
    limited = [(label, one.limits) for label, one in zip(labels, dead, strict=True) if one.limits is not None]
    last = last_snapshot([one.end for one in dead], health)
    return _Part(last, _Texts.of(labels), _Texts.of(label for label, _ in limited), [state for _, state in limited])


def _label(one: Dead) -> Label:
    made = Label.of_path(one.cgroup, one.end.born_at)
    made.info = info(one.cgroup, one.name if one.managed else None, None)
    return made


def _family(series: Series[Any], texts: _Texts, values: list[Any]) -> Family:
    """`values` are those of the parts: all columns, or all lists."""
    together = values[0]
    if len(values) > 1:
        together = np.concatenate(values) if isinstance(together, np.ndarray) else [*values[0], *values[1]]
    return Family(
        series.name, series.help, texts.labels, together, series.counter, texts.created if series.counter else ()
    )
