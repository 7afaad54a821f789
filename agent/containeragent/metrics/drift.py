# SPDX-License-Identifier: Apache-2.0
"""Differences to the kernel's own figures, as the last audit found them."""

from __future__ import annotations

from containeragent.containers.audit import Differences
from containeragent.metrics.family import Family, label_set

_SOURCE = "at the last audit (drift_seconds); absent: unknown, or not at rest"


class Drift:
    """Made anew only after an audit, or where there is room for another number of them."""

    def __init__(self) -> None:
        self._of: Differences | None = None
        self._shown = 0
        self._families = _families({}, 0)

    def families(self, found: Differences, room: int) -> tuple[Family, Family]:
        """Of more differences than there is room for, the largest."""
        shown = max(0, min(room, sum(map(len, found.values()))))
        if found is not self._of or shown != self._shown:
            self._of, self._shown, self._families = found, shown, _families(found, shown)
        return self._families


def _families(found: Differences, most: int) -> tuple[Family, Family]:
    largest = sorted(found.items(), key=lambda one: -abs(one[0][1]))
    rows = [(counter, path, value) for (counter, value), paths in largest for path in paths][:most]
    tasks = [(label_set({"cgroup": path}), value) for counter, path, value in rows if counter == "tasks"]
    pages = [
        (label_set({"cgroup": path, "counter": counter}), value) for counter, path, value in rows if counter != "tasks"
    ]
    return (
        _family("drift_tasks", f"Tasks counted less those of the kernel, {_SOURCE}.", tasks),
        _family("drift_pages", f"Pages counted less those of the kernel, {_SOURCE}.", pages),
    )


def _family(name: str, text: str, rows: list[tuple[str, int]]) -> Family:
    return Family(name, text, [labels for labels, _ in rows], [value for _, value in rows])
