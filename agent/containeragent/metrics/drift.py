# SPDX-License-Identifier: Apache-2.0
"""Differences to the kernel's own figures, as the last audit found them."""

from __future__ import annotations

from containeragent.containers.audit import Audit
from containeragent.metrics.family import Family, label_set

_SOURCE = "at the last audit (drift_seconds); absent: unknown, or not at rest"


class Drift:
    """Made anew only after an audit."""

    def __init__(self) -> None:
        self._of: Audit | None = None
        self._sorted: list[tuple[bool, str, float]] = []  # of tasks, label set, difference; the largest first

    def families(self, audit: Audit, room: int) -> tuple[Family, Family]:
        """Of more differences than there is room for, the largest."""
        if audit is not self._of:
            self._sorted, self._of = _ranked(audit), audit
        shown = self._sorted[: max(0, room)]
        tasks = [(labels, value) for is_tasks, labels, value in shown if is_tasks]
        pages = [(labels, value) for is_tasks, labels, value in shown if not is_tasks]
        return (
            _family("drift_tasks", f"Tasks counted less those of the kernel, {_SOURCE}.", tasks),
            _family("drift_pages", f"Pages counted less those of the kernel, {_SOURCE}.", pages),
        )


def _ranked(audit: Audit) -> list[tuple[bool, str, float]]:
    known = [(path, line) for path, lines in audit.items() for line in lines if line.at_rest]
    known.sort(key=lambda entry: -abs(entry[1].difference or 0))
    found: list[tuple[bool, str, float]] = []
    for path, line in known:
        is_tasks = line.counter == "tasks"
        labels = {"cgroup": path} if is_tasks else {"cgroup": path, "counter": line.counter}
        found.append((is_tasks, label_set(labels), line.difference or 0))
    return found


def _family(name: str, text: str, rows: list[tuple[str, float]]) -> Family:
    return Family(name, text, [labels for labels, _ in rows], [value for _, value in rows])
