# SPDX-License-Identifier: Apache-2.0
"""Our counters beside the kernel's own figures, with the difference.

In: containers, the source, and the kernel's files. Out: Lines. The kernel's figure for tasks is cgroup.threads; for
pages memory.stat where the container has a memory controller, else what a look at every page frame finds: the pages
that are ours by the owner map, as what the kernel says that each is now.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from containeragent.cgroups import figures
from containeragent.cgroups.figures import Figures
from containeragent.containers.view import Container, Document, public_name
from containeragent.counters.pageview import PageView
from containeragent.counters.snapshot import COUNTERS, Snapshot
from containeragent.counters.source import Source

_COMPARED = tuple(name for name in COUNTERS if name != "files")  # tasks first; of files the kernel has no figure
PAGE_FLAGS = "kpageflags"  # source of a Line

# memory.stat may lag behind by what the kernel gathers for up to 2 s (mm/memcontrol.c, FLUSH_TIME).
_TRIES, _PAUSE_SECONDS = 3, 1.2

Count = int | None
Pair = tuple[Count, Count]  # before and after
Totals = Mapping[str, Count]


@dataclass(frozen=True, slots=True)
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


Audited = tuple[str, list[Line]]  # of one cgroup, by its path
Differences = Mapping[tuple[str, int], Sequence[str]]  # cgroups by counter and difference, of Lines at rest


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

    def audit(self, containers: Iterable[Container]) -> Iterator[Audited]:
        """As they are done, because together they are large. What differs is looked at again, until the kernel's lag
        cannot be the reason.
        """
        pending = {container.cgroup: container.reading.cgroup_id for container in containers}
        with self._lock:
            shown = self._source.snapshot()
            for left in reversed(range(_TRIES)):
                off = {}
                for (path, cgroup_id), look in zip(pending.items(), self._look(pending), strict=True):
                    lines = _lines(look, _totals(shown, cgroup_id), shown)
                    if left and any(map(_is_off, lines)):
                        off[path] = cgroup_id
                    else:
                        yield path, lines
                if not off:
                    break
                pending = off
                time.sleep(self._pause)

    def look(self) -> PageView | None:
        """Have the source look at every page now."""
        return self._source.rescan(lambda ids: self._figures.active_pages(ids, self._source.page_size))

    def _look(self, pending: Mapping[str, int]) -> Iterator[_Look]:
        """In their order; one at a time, because together they are large. All is read before the first."""
        kernel_before = [self._kernel(path, number) for path, number in pending.items()]
        ours_before = self._source.settled()
        view = self.look()
        ours_after = self._source.snapshot()
        kernel_after = [self._kernel(path, number) for path, number in pending.items()]
        for number, before, after in zip(pending.values(), kernel_before, kernel_after, strict=True):
            yield _Look(
                kernel=(dict(zip(_COMPARED, before, strict=False)), dict(zip(_COMPARED, after, strict=False))),
                ours=(_totals(ours_before, number), _totals(ours_after, number)),
                seen=(view.pages(number) if view else None) or {},
                moved=view.moved_pages(number) if view else {},
            )

    def _kernel(self, path: str, cgroup_id: int) -> tuple[Count, ...]:
        """In the order of _COMPARED; of tasks alone where there is no memory controller."""
        tasks = self._figures.tasks(path, cgroup_id)
        pages = self._figures.pages(path, cgroup_id, self._source.page_size)
        return (tasks,) if pages is None else (tasks, *(pages[name] for name in _COMPARED[1:]))


def _is_off(line: Line) -> bool:
    return bool(line.difference) and line.age_seconds is None


def _totals(snapshot: Snapshot, cgroup_id: int) -> Totals:
    reading = snapshot.reading(cgroup_id)
    return reading.total if reading else {}


def _lines(look: _Look, totals_shown: Totals, shown: Snapshot) -> list[Line]:
    return [_line(name, look, totals_shown.get(name), shown) for name in _COMPARED]


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


def differences(audit: Iterable[Audited]) -> Differences:
    """Those of an audit, in a form that is small: on most hosts nearly all are 0."""
    found: dict[tuple[str, int], list[str]] = {}
    for path, lines in audit:
        for line in lines:
            if line.at_rest:
                found.setdefault((line.counter, line.difference or 0), []).append(path)
    return found


def document(container: Container, lines: Sequence[Line]) -> Document:
    """An audit of one container as `audit --json` prints it."""
    counters = [{**asdict(line), "counter": public_name(line.counter)} for line in lines]
    return {"name": container.name, "cgroup": container.cgroup, "managed": container.managed, "counters": counters}
