# SPDX-License-Identifier: Apache-2.0
"""Our counters beside the kernel's: whose figure is taken, what moved, and what is looked at again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pytest

from containeragent.cgroups.figures import Figures
from containeragent.cgroups.paths import PathResolver
from containeragent.containers import audit
from containeragent.containers.audit import Auditor, Line
from containeragent.containers.view import Container
from containeragent.counters.pageview import AskActive, PageView
from containeragent.counters.snapshot import Snapshot
from containeragent.counters.source import Source
from tests.unit.snapshots import PAGE_BYTES, snapshot

WEB = 7
LOOKED = ("mapped", "active")
Pages = dict[str, int]


class Kernel:
    """The kernel, and a source that counts: each value is a list of what one reading after another gives."""

    def __init__(self) -> None:
        self.threads: list[int | None] = [3]
        self.statistics: list[Pages | None] = [None]
        self.seen: list[Pages | None] = [{"anon": 30, "file": 30, "shmem": 30, "mapped": 5, "active": 6}]
        self.ours: list[Pages] = [{}]
        self.moved: Pages | None = None
        self.shown: Pages = {"mapped": 5, "active": 6}
        self.looks = 0
        self.page_size = PAGE_BYTES

    @staticmethod
    def _next(values: list[Any]) -> Any:
        return values.pop(0) if len(values) > 1 else values[0]

    def tasks(self, cgroup: str, cgroup_id: int) -> int | None:
        assert (cgroup, cgroup_id) == ("/containers/web", WEB)
        return cast("int | None", self._next(self.threads))

    def pages(self, cgroup: str, cgroup_id: int, page_size: int) -> Pages | None:
        return cast("Pages | None", self._next(self.statistics))

    def settled(self) -> Snapshot:
        """3 tasks, and 30 pages of each kind that is counted, unless `ours` says otherwise."""
        now, values = snapshot((WEB, 3)), self.shown | self._next(self.ours)
        columns = now.total | {kind: np.array([pages]) for kind, pages in values.items()}
        return dataclasses.replace(now, total=columns, from_look=LOOKED, pages_seen_at=-100.0)

    snapshot = settled

    def active_pages(self, cgroup_ids: Any, page_size: int) -> dict[int, int]:
        """All that it is told of."""
        return dict.fromkeys(cgroup_ids, 77)

    def rescan(self, ask_active: AskActive) -> PageView | None:
        self.looks += 1
        assert ask_active([WEB]) == {WEB: 77}
        seen = self._next(self.seen)
        if seen is None:
            return None
        self.shown = {kind: seen[kind] for kind in LOOKED}
        columns = {kind: np.array([pages]) for kind, pages in seen.items()}
        moved = {kind: np.array([pages]) for kind, pages in (self.moved or {}).items()}
        return PageView(0.0, np.array([WEB], dtype=np.uint64), columns, columns, moved)

    def lines(self) -> Mapping[str, Line]:
        """An audit of the one container there is."""
        reading = self.settled().reading(WEB)
        assert reading
        auditor = Auditor(cast(Source, self), cast(Figures, self), pause_seconds=0)
        found = dict(auditor.audit([Container("/web", "/containers/web", True, reading)]))
        assert list(found) == ["/containers/web"]
        return {line.counter: line for line in found["/containers/web"]}


def test_without_a_memory_controller_each_page_is_looked_at() -> None:
    """What is counted is of now; what is not is as old as it was shown until then."""
    kernel = Kernel()
    kernel.shown = {"mapped": 4, "active": 6}
    found = kernel.lines()
    assert found["tasks"] == Line("tasks", 3, 3, 0, "cgroup.threads", False, None)
    assert found["anon"] == Line("anon", 30, 30, 0, "kpageflags", False, None)
    mapped = found["mapped"]
    assert (mapped.ours, mapped.kernel, mapped.difference, mapped.source) == (4, 5, -1, "kpageflags")
    assert mapped.age_seconds is not None and mapped.age_seconds > 100 and not mapped.at_rest
    assert kernel.looks == 1


def test_with_a_memory_controller_memory_stat_is_asked() -> None:
    """For what the look finds as well: it is compared as of now."""
    kernel = Kernel()
    kernel.shown = {"mapped": 400, "active": 600}
    kernel.statistics = [{"anon": 30, "file": 30, "shmem": 30, "mapped": 5, "active": 6}]
    for name, line in kernel.lines().items():
        assert line.source == ("cgroup.threads" if name == "tasks" else "memory.stat")
        assert line.difference == 0 and line.at_rest
    assert kernel.looks == 1


def test_a_difference_is_looked_at_again() -> None:
    """Until the kernel's figures cannot be old any more; then it is one."""
    kernel = Kernel()
    kernel.seen = [{"anon": 31, "file": 29, "shmem": 30, "mapped": 5, "active": 6}]
    found = kernel.lines()
    assert (found["anon"].difference, found["file"].difference) == (-1, 1)
    assert found["anon"].at_rest and kernel.looks == audit._TRIES
    kernel = Kernel()
    late = {"anon": 29, "file": 30, "shmem": 30, "mapped": 5, "active": 6}
    kernel.statistics = [late, late, late | {"anon": 30}]
    assert kernel.lines()["anon"].difference == 0 and kernel.looks == 2


def test_what_moves_is_no_error() -> None:
    """It is 0 if the two met on their way, else a difference that says that it moved."""
    kernel = Kernel()
    kernel.ours = [{"anon": 20}, {"anon": 20}, {"anon": 20}, {"anon": 40}]
    found = kernel.lines()["anon"]
    assert (found.difference, found.moving, found.at_rest) == (0, True, False)
    kernel = Kernel()
    kernel.threads = [5, 6] * audit._TRIES
    found = kernel.lines()["tasks"]
    assert (found.ours, found.kernel, found.difference, found.moving) == (3, 6, -3, True)


def test_unknown_is_no_difference() -> None:
    """A cgroup that is gone, an engine that needs no look, a kernel that does not tell active pages."""
    kernel = Kernel()
    kernel.threads, kernel.seen = [None], [None]
    for line in kernel.lines().values():
        assert (line.kernel, line.difference, line.source) == (None, None, None) and not line.at_rest
    assert kernel.looks == 1
    kernel = Kernel()
    kernel.statistics = [{"anon": 30, "file": 30, "shmem": 30, "mapped": 5, "active": 6}]
    kernel.ours = [{"active": np.iinfo(np.int64).min}]
    active = kernel.lines()["active"]
    assert (active.ours, active.kernel, active.difference, active.source) == (None, 6, None, "memory.stat")


def test_the_document_has_the_names_that_users_see() -> None:
    """Those of `show --json`."""
    reading = snapshot((WEB, 3)).reading(WEB)
    assert reading
    lines = [Line("tasks", 3, 3, 0, "cgroup.threads", False, None), Line("anon", 1, None, None, None, False, None)]
    found = audit.document(Container("/web", "/containers/web", True, reading), lines)
    assert (found["name"], found["cgroup"], found["managed"]) == ("/web", "/containers/web", True)
    assert [line["counter"] for line in found["counters"]] == ["num_tasks", "num_anon_pages"]
    assert found["counters"][0] == {
        "counter": "num_tasks", "ours": 3, "kernel": 3, "difference": 0, "source": "cgroup.threads", "moving": False,
        "age_seconds": None, "moved_by_files": 0,
    }  # fmt: skip


class Paths:
    """As PathResolver."""

    def __init__(self, paths: dict[int, str]) -> None:
        self.known = paths

    def paths(self, cgroup_ids: Any) -> list[str | None]:
        """None for those that are gone."""
        return [self.known.get(number) for number in cgroup_ids]


def figures_of(mount: Any) -> Figures:
    """Below a folder."""
    known = {(mount / path).stat().st_ino: f"/{path}" for path in ("a", "a/b")}
    return Figures(mount, cast(PathResolver, Paths(known)))


@pytest.fixture
def cgroups(tmp_path: Any) -> Any:
    """/a with two threads and a memory controller, /a/b with one."""
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/cgroup.threads").write_text("4\n5\n")
    (tmp_path / "a/b/cgroup.threads").write_text("6\n")
    fields = {"anon": 1, "file": 2, "shmem": 3, "file_mapped": 4, "active_anon": 5, "active_file": 6, "slab": 7}
    text = "".join(f"{name} {pages * PAGE_BYTES}\n" for name, pages in fields.items())
    (tmp_path / "a/memory.stat").write_text(text)
    return tmp_path


def test_figures_of_the_kernel(cgroups: Any) -> None:
    """Tasks of the subtree, pages by our names."""
    figures, number = figures_of(cgroups), (cgroups / "a").stat().st_ino
    assert figures.tasks("/a", number) == 3
    assert figures.pages("/a", number, PAGE_BYTES) == {"anon": 1, "file": 2, "shmem": 3, "mapped": 4, "active": 11}
    assert figures.active_pages([number, 5, (cgroups / "a/b").stat().st_ino], PAGE_BYTES) == {number: 11}


def test_figures_that_the_kernel_has_not(cgroups: Any) -> None:
    """No memory controller; threads that it does not list; gone, or another cgroup at that path by now."""
    figures, number, below = figures_of(cgroups), (cgroups / "a").stat().st_ino, (cgroups / "a/b").stat().st_ino
    assert figures.pages("/a/b", below, PAGE_BYTES) is None and figures.tasks("/a/b", below) == 1
    for path, wrong in (("/a", number + 1), ("/none", number), ("/a\0", number)):
        assert figures.tasks(path, wrong) is None and figures.pages(path, wrong, PAGE_BYTES) is None
    (cgroups / "a/b/cgroup.threads").unlink()
    assert figures.tasks("/a", number) is None


@pytest.mark.parametrize(("moved", "difference"), [(None, 7), ({"file": 7}, 0), ({"file": 10}, -3), ({"anon": 7}, 7)])
def test_what_files_moved_is_no_difference(moved: Pages | None, difference: int) -> None:
    """memory.stat does not know of it."""
    kernel = Kernel()
    kernel.moved, kernel.statistics = moved, [{"anon": 30, "file": 23, "shmem": 30, "mapped": 5, "active": 6}]
    line = kernel.lines()["file"]
    assert (line.difference, line.moved_by_files) == (difference, (moved or {}).get("file", 0))


def test_in_page_frames_what_files_moved_is_where_we_say() -> None:
    """kpageflags is asked for the frames that are ours."""
    kernel = Kernel()
    kernel.moved = {"file": 7}
    line = kernel.lines()["file"]
    assert (line.source, line.difference, line.moved_by_files) == ("kpageflags", 0, 0)
