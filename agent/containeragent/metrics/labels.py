# SPDX-License-Identifier: Apache-2.0
"""What is said of each container beside its numbers, as text that is made once and kept as long as its cgroup lives.

In: cgroup ids, and who knows paths, names and workloads. Out: a Label each, or None for one that is left out: it is
gone, its path is unknown, or something about it failed, which is logged and breaks nothing else.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from containeragent.cgroups.naming import Names
from containeragent.counters.snapshot import Column
from containeragent.metrics.family import label_set
from containeragent.workloads.known import NAMED_SECONDS, NAMELESS_SECONDS
from containeragent.workloads.patterns import Workload

log = logging.getLogger(__name__)

_INFO = ("cgroup", "name", "managed", "runtime", "container_id", "container", "unit", "pod_uid", "pod", "namespace")
NO_PATH, FAILED = "no_path", "failed"  # why there is no label


@dataclass(eq=False, slots=True)
class Label:
    """Of one cgroup. `text` and `info` are label sets, `created` is when its counters began, "" where it is unknown."""

    cgroup: str
    text: str
    created: str
    is_wanted: bool = True
    is_managed: bool = False  # a container under the cgroup root, it and leaves left out
    info: str = ""
    good_until: float = 0.0  # time.monotonic(): names change, and a workload may be known later than its cgroup

    @classmethod
    def of_path(cls, path: str, born_at: float | None) -> Label:
        """Without `info`. `born_at` is in seconds since the epoch."""
        return cls(path, label_set({"cgroup": path}), "" if born_at is None else f"{born_at:.3f}")


@dataclass(frozen=True)
class Labelled:
    """The labels of a snapshot, in its order; None for those that are left out: `missing` is how many, by reason."""

    labels: tuple[Label | None, ...]
    missing: dict[str, int]
    managed: int
    wanted: npt.NDArray[np.bool_]  # who is there, and asked for
    excluded: int  # who is there, and not asked for


class Labels:
    """Of one tree. Not for two threads at a time."""

    def __init__(
        self,
        names: Names,
        paths_of: Callable[[Sequence[int]], list[str | None]],
        workload_of: Callable[[str], Workload | None],
        is_wanted: Callable[[str], bool],
    ) -> None:
        self._names = names
        self._paths_of = paths_of
        self._workload_of = workload_of
        self._is_wanted = is_wanted
        self._known: dict[int, Label] = {}
        self._complained: set[int] = set()
        self._renamings = -1
        self._last: tuple[Sequence[int], Labelled, float] | None = None  # of these ids, and how long it is good

    def of(self, cgroup_ids: Sequence[int], born_ns: Column) -> Labelled:
        """In the order of the ids. `born_ns` is CLOCK_MONOTONIC, not above 0 where it is unknown.

        While no cgroup comes or goes, the tuple of ids is the same, and so is what is returned.
        """
        now = time.monotonic()
        if self._renamings != self._names.renamings:
            self._renamings, self._last = self._names.renamings, None
            for label in self._known.values():
                label.good_until = 0.0
        if self._last is None or self._last[0] is not cgroup_ids or self._last[2] <= now:
            found = self._all_of(cgroup_ids, born_ns, now)
            good_until = 0.0 if any(found.missing.values()) else _least(found.labels)
            self._last = cgroup_ids, found, good_until
            self._forget(cgroup_ids)
        return self._last[1]

    def _all_of(self, cgroup_ids: Sequence[int], born_ns: Column, now: float) -> Labelled:
        missing = dict.fromkeys((NO_PATH, FAILED), 0)
        found: list[Label | None] = []
        for number, born, path in zip(cgroup_ids, born_ns.tolist(), self._paths(cgroup_ids), strict=True):
            label = self._known.get(number)
            if path is None:
                missing[NO_PATH] += 1
                label = None
            elif label is None or label.good_until <= now:
                label = self._label(number, path, born, now)
                missing[FAILED] += label is None
            found.append(label)
        missing[FAILED] += _take_doubles_out(found)
        there = [label for label in found if label is not None]
        wanted = np.array([label is not None and label.is_wanted for label in found], dtype=np.bool_)
        managed = sum(label.is_managed for label in there)
        return Labelled(tuple(found), missing, managed, wanted, len(there) - int(wanted.sum()))

    def _paths(self, cgroup_ids: Sequence[int]) -> Sequence[str | None]:
        with contextlib.suppress(Exception):
            return self._paths_of(cgroup_ids)
        return [self._path(number) for number in cgroup_ids]  # so that it is known which one it is

    def _path(self, cgroup_id: int) -> str | None:
        try:
            return self._paths_of([cgroup_id])[0]
        except Exception:
            self._complain(cgroup_id)
            return None

    def _complain(self, cgroup_id: int) -> None:
        if cgroup_id not in self._complained:
            self._complained.add(cgroup_id)
            log.exception("cgroup %d is left out of the metrics", cgroup_id)

    def _label(self, cgroup_id: int, path: str, born_ns: int, now: float) -> Label | None:
        try:
            label = self._known.get(cgroup_id)
            if label is None:
                born_at = time.time() - (time.monotonic_ns() - born_ns) / 1e9 if born_ns > 0 else None
                label = Label.of_path(path, born_at)
                label.is_wanted = self._is_wanted(path)
                self._known[cgroup_id] = label
            self._update(label, now)
        except Exception:
            self._complain(cgroup_id)
            return None
        return label

    def _update(self, label: Label, now: float) -> None:
        workload = self._workload_of(label.cgroup)
        name = self._names.managed(label.cgroup)
        label.is_managed = name not in (None, "/") and not self._names.is_leaf(label.cgroup)
        label.info = info(label.cgroup, name, None if name else workload)
        nameless = workload is not None and not workload.name
        label.good_until = now + (NAMELESS_SECONDS if nameless else NAMED_SECONDS)

    def _forget(self, cgroup_ids: Sequence[int]) -> None:
        if len(self._known) + len(self._complained) > 2 * len(cgroup_ids) + 1000:
            living = set(cgroup_ids)
            self._known = {number: label for number, label in self._known.items() if number in living}
            self._complained &= living


def _least(labels: Sequence[Label | None]) -> float:
    return min((label.good_until for label in labels if label is not None), default=0.0)


def _take_doubles_out(labels: list[Label | None]) -> int:
    """How many there are: bytes that are no UTF-8 may be shown as another's name is."""
    texts = [label.text for label in labels if label is not None]
    if len(set(texts)) == len(texts):
        return 0
    taken: set[str] = set()
    found = 0
    for at, label in enumerate(labels):
        if label is not None and label.text in taken:
            labels[at] = None
            found += 1
        elif label is not None:
            taken.add(label.text)
    return found


def info(path: str, name: str | None, workload: Workload | None) -> str:
    """The label set of _container_info; labels as kubelet and cAdvisor call them. Without a name it is not managed."""
    whose = [""] * 7
    if workload is not None:
        unit, container = (workload.name, "") if workload.runtime == "systemd" else ("", workload.name)
        whose = [workload.runtime, workload.id, container, unit, workload.pod_uid, workload.pod, workload.namespace]
    known = [path, path if name is None else name, "false" if name is None else "true"]
    return label_set(dict(zip(_INFO, known + whose, strict=True)))
