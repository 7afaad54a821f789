# SPDX-License-Identifier: Apache-2.0
"""Our counters beside the kernel's own figures, with the difference.

In: containers, the source, and the kernel's files. Out: Lines. The kernel's figure for tasks is cgroup.threads; for
pages memory.stat where the container has a memory controller, else what a look at every page frame finds: the pages
that are ours by the owner map, as what the kernel says that each is now.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from containeragent.cgroups import figures
from containeragent.cgroups.figures import Figures
from containeragent.containers.view import Container, Document, public_name
from containeragent.counters.pageview import PageView
from containeragent.counters.snapshot import COUNTERS, Snapshot
from containeragent.counters.source import Source

_COMPARED = tuple(name for name in COUNTERS if name != "files")  # of those the kernel has no figure
PAGE_FLAGS = "kpageflags"  # source of a Line

# memory.stat may lag behind by what the kernel gathers for up to 2 s (mm/memcontrol.c, FLUSH_TIME).
_TRIES, _PAUSE_SECONDS = 3, 1.2

Count = int | None
Pair = tuple[Count, Count]  # before and after
Totals = Mapping[str, Count]


@dataclass(frozen=True)
class Line:
    """One counter of one container; pages or tasks. None is unknown; `difference` is ours less the kernel's.

    `moved_by_files`: of ours, pages that are here because their file is charged here, less those that are elsewhere
    for the same reason, where the kernel's figure does not know it: they are no difference.
    `moving`: it changed while we looked, so the difference is no error. `age_seconds`: ours is from a look that long
    ago (the kernel's is from now), because no event tells it.
    """

    counter: str
    ours: Count
    kernel: Count
    difference: Count
    source: str | None
    moving: bool
    age_seconds: float | None
    moved_by_files: Count = 0

    @property
    def at_rest(self) -> bool:
        """Whether both figures are known, of now, and stood still: a difference is an error."""
        return self.difference is not None and self.age_seconds is None and not self.moving


Audit = dict[str, list[Line]]  # by cgroup


@dataclass(frozen=True)
class _Look:
    """Our counters and the kernel's files, each before and after a look at every page."""

    kernel: tuple[Totals, Totals]
    ours: tuple[Totals, Totals]
    seen: dict[str, int]  # by the look; empty where there is none
    moved: dict[str, int]  # of these, what files brought


class Auditor:
    """Audits, one at a time."""

    def __init__(self, source: Source, figures: Figures, pause_seconds: float = _PAUSE_SECONDS) -> None:
        self._source = source
        self._figures = figures
        self._pause = pause_seconds
        self._lock = threading.Lock()

    def audit(self, containers: Sequence[Container]) -> Audit:
        """Lines by cgroup. What differs is looked at again, until the kernel's lag cannot be the reason."""
        found: Audit = {}
        pending = list(containers)
        with self._lock:
            shown = self._source.snapshot()
            for turn in range(_TRIES):
                if turn:
                    time.sleep(self._pause)
                looks = self._look(pending)
                found |= {container.cgroup: _lines(looks[at], container, shown) for at, container in enumerate(pending)}
                pending = [container for container in pending if any(map(_is_off, found[container.cgroup]))]
                if not pending:
                    break
        return found

    def look(self) -> PageView | None:
        """Have the source look at every page now."""
        return self._source.rescan(lambda ids: self._figures.active_pages(ids, self._source.page_size))

    def _look(self, containers: Sequence[Container]) -> list[_Look]:
        kernel_before = [self._kernel(container) for container in containers]
        ours_before = self._source.settled()
        view = self.look()
        ours_after = self._source.snapshot()
        kernel_after = [self._kernel(container) for container in containers]
        return [
            _Look(
                kernel=(kernel_before[at], kernel_after[at]),
                ours=(_totals(ours_before, container), _totals(ours_after, container)),
                seen=(view.pages(container.reading.cgroup_id) if view else None) or {},
                moved=view.moved_pages(container.reading.cgroup_id) if view else {},
            )
            for at, container in enumerate(containers)
        ]

    def _kernel(self, container: Container) -> Totals:
        path, cgroup_id = container.cgroup, container.reading.cgroup_id
        pages = self._figures.pages(path, cgroup_id, self._source.page_size) or {}
        return {"tasks": self._figures.tasks(path, cgroup_id), **pages}


def _is_off(line: Line) -> bool:
    return bool(line.difference) and line.age_seconds is None


def _totals(snapshot: Snapshot, container: Container) -> Totals:
    reading = snapshot.reading(container.reading.cgroup_id)
    return reading.total if reading else {}


def _lines(look: _Look, container: Container, shown: Snapshot) -> list[Line]:
    return [_line(name, look, _totals(shown, container).get(name), shown) for name in _COMPARED]


def _line(name: str, look: _Look, value_shown: Count, shown: Snapshot) -> Line:
    ours, kernel = (
        (look.ours[0].get(name), look.ours[1].get(name)),
        (look.kernel[0].get(name), look.kernel[1].get(name)),
    )
    from_look, age_seconds = name in shown.from_look, None
    source = figures.THREADS if name == "tasks" else figures.STAT
    if name in look.kernel[1]:
        ours = (ours[1], ours[1]) if from_look else ours  # before, it was of an older look
    else:
        kernel, source = (look.seen.get(name),) * 2, PAGE_FLAGS
        if from_look and shown.pages_seen_at is not None:
            # The kernel's figure is the look's, and so is ours by now: what was shown until then says something.
            ours, age_seconds = (value_shown, value_shown), time.monotonic() - shown.pages_seen_at
    moved = look.moved.get(name, 0) if source == figures.STAT else 0
    return _compared(name, ours, kernel, source, age_seconds=age_seconds, moved=moved)


def _compared(name: str, ours: Pair, kernel: Pair, source: str, *, age_seconds: float | None, moved: int) -> Line:
    known = [value for value in (*ours, *kernel) if value is not None]
    if len(known) < 4:
        there = source if kernel[1] is not None else None
        return Line(name, ours[1], kernel[1], None, there, False, age_seconds)
    moving = ours[0] != ours[1] or kernel[0] != kernel[1]
    (ours_low, ours_high), (kernel_low, kernel_high) = sorted(known[:2]), sorted(known[2:])
    met = ours_low - moved <= kernel_high and kernel_low <= ours_high - moved
    difference = 0 if met else known[1] - known[3] - moved
    return Line(name, known[1], known[3], difference, source, moving, age_seconds, moved)


def document(container: Container, lines: Sequence[Line]) -> Document:
    """An audit of one container as `audit --json` prints it."""
    counters = [{**asdict(line), "counter": public_name(line.counter)} for line in lines]
    return {"name": container.name, "cgroup": container.cgroup, "managed": container.managed, "counters": counters}
