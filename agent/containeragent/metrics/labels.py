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

from containeragent.cgroups.naming import Names
from containeragent.metrics.family import label_set
from containeragent.workloads.patterns import Workload

log = logging.getLogger(__name__)

_INFO = ("cgroup", "name", "managed", "runtime", "container_id", "container", "unit", "pod_uid", "pod", "namespace")
NO_PATH, FAILED = "no_path", "failed"  # why there is no label


@dataclass
class Label:
    """Of one cgroup. `text` and `info` are label sets, `created` is when its counters began, "" where it is unknown."""

    cgroup: str
    text: str
    created: str
    is_wanted: bool = True
    is_managed: bool = False  # a container under the cgroup root, it and leaves left out
    info: str = ""
    info_is_of: object = None

    @classmethod
    def of_path(cls, path: str, born_at: float | None) -> Label:
        """Without `info`. `born_at` is in seconds since the epoch."""
        return cls(path, label_set({"cgroup": path}), "" if born_at is None else f"{born_at:.3f}")


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

    def of(self, cgroup_ids: Sequence[int], born_ns: Sequence[int]) -> tuple[list[Label | None], dict[str, int]]:
        """In the order of the ids, and how many have none, by reason. `born_ns` is CLOCK_MONOTONIC, not above 0 where
        it is unknown.
        """
        missing = dict.fromkeys((NO_PATH, FAILED), 0)
        found: list[Label | None] = []
        taken: set[str] = set()
        for number, born, path in zip(cgroup_ids, born_ns, self._paths(cgroup_ids), strict=True):
            label = None
            if path is None:
                missing[NO_PATH] += 1
            else:
                label = self._label(number, path, born)
                if label is None or label.text in taken:  # bytes that are no UTF-8 may be shown as another's name is
                    missing[FAILED] += 1
                    label = None
                else:
                    taken.add(label.text)
            found.append(label)
        self._forget(cgroup_ids)
        return found, missing

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

    def _label(self, cgroup_id: int, path: str, born_ns: int) -> Label | None:
        try:
            label = self._known.get(cgroup_id)
            if label is None:
                born_at = time.time() - (time.monotonic_ns() - born_ns) / 1e9 if born_ns > 0 else None
                label = Label.of_path(path, born_at)
                label.is_wanted = self._is_wanted(path)
                self._known[cgroup_id] = label
            self._update(label)
        except Exception:
            self._complain(cgroup_id)
            return None
        return label

    def _update(self, label: Label) -> None:
        """Names change, and what runs in a cgroup may be known later than the cgroup."""
        workload = self._workload_of(label.cgroup)
        info_is_of = (self._names.renamings, workload)
        if info_is_of != label.info_is_of:
            name = self._names.managed(label.cgroup)
            label.is_managed = name not in (None, "/") and not self._names.is_leaf(label.cgroup)
            label.info = info(label.cgroup, name, None if name else workload)
            label.info_is_of = info_is_of

    def _forget(self, cgroup_ids: Sequence[int]) -> None:
        if len(self._known) + len(self._complained) > 2 * len(cgroup_ids) + 1000:
            living = set(cgroup_ids)
            self._known = {number: label for number, label in self._known.items() if number in living}
            self._complained &= living


def info(path: str, name: str | None, workload: Workload | None) -> str:
    """The label set of _container_info; labels as kubelet and cAdvisor call them. Without a name it is not managed."""
    whose = [""] * 7
    if workload is not None:
        unit, container = (workload.name, "") if workload.runtime == "systemd" else ("", workload.name)
        whose = [workload.runtime, workload.id, container, unit, workload.pod_uid, workload.pod, workload.namespace]
    known = [path, path if name is None else name, "false" if name is None else "true"]
    return label_set(dict(zip(_INFO, known + whose, strict=True)))
