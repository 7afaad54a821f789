# SPDX-License-Identifier: Apache-2.0
"""Snapshots and paths joined to containers: names, what is managed, and the leaf that nobody sees."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from containeragent.cgroups.naming import Names
from containeragent.containers.view import Container, containers, document, with_leaf
from containeragent.counters.snapshot import Reading, Snapshot
from containeragent.counters.source import Engine
from tests.unit.snapshots import reading, snapshot

NAMES = Names("/containers")


@pytest.mark.parametrize(
    "cgroup, name",
    [
        ("/", None),
        ("/system.slice", None),
        ("/containers-not", None),
        ("/containers-not/web", None),
        ("/x/containers/web", None),
        ("/containers", "/"),
        ("/containers/web", "/web"),
        ("/containers/web/db", "/web/db"),
        ("/containers/containers", "/containers"),
        ("/containers/-agent", "/"),
        ("/containers/-tasks", "/"),
        ("/containers/web/-tasks", "/web"),
        ("/containers/web-tasks", "/web-tasks"),
    ],
)
def test_names_of_cgroups(cgroup: str, name: str | None) -> None:
    """Only what is below the root has one; a leaf has its container's."""
    assert NAMES.managed(cgroup) == name


def test_cgroups_of_names() -> None:
    """The other way."""
    assert NAMES.cgroup(()) == "/containers" and NAMES.cgroup(("web", "db")) == "/containers/web/db"
    assert Names("/a/b").managed("/a/b/c") == "/c"


@pytest.mark.parametrize("cgroup, leaf", [("/containers/web/-tasks", True), ("/containers/-agent", True)])
def test_leaves(cgroup: str, leaf: bool) -> None:
    """Ours only: the same name elsewhere is somebody's cgroup."""
    assert NAMES.is_leaf(cgroup) is leaf and not NAMES.is_leaf("/x/-tasks") and not NAMES.is_leaf("/containers/x-tasks")


def names_of(found: Iterable[Container]) -> list[tuple[str, bool]]:
    """Name and whether it is managed."""
    return [(one.name, one.managed) for one in found]


def test_managed_ones_are_sorted_by_path() -> None:
    """Others only on demand; one that is gone is left out."""
    now = snapshot((1, 9), (2, 3), (3, 2), (4, 1), (5, 1))
    paths = ["/", "/containers/web", "/containers", "/containers/a", None]
    assert names_of(containers(now, paths, NAMES, False)) == [("/", True), ("/a", True), ("/web", True)]
    everything = containers(now, paths, NAMES, True)
    assert names_of(everything) == [("/", False), ("/", True), ("/a", True), ("/web", True)]


def test_readings_are_made_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are asked for: those of thousands are large."""
    asked: list[int] = []
    make = Snapshot.reading

    def noted(self: Snapshot, cgroup_id: int) -> Reading | None:
        asked.append(cgroup_id)
        return make(self, cgroup_id)

    monkeypatch.setattr(Snapshot, "reading", noted)
    found = containers(snapshot((2, 3), (3, 2)), ["/containers/web", "/containers"], NAMES, False)
    assert asked == [] and next(found).name == "/" and asked == [3]


def test_a_leafs_own_become_its_containers_own() -> None:
    """In whatever order they come; totals cover the leaf anyway."""
    for order in (1, -1):
        cgroups = [((1, 5), "/containers/web"), ((2, 3), "/containers/web/-tasks"), ((3, 9), "/x/-tasks")][::order]
        now = snapshot(*(pair for pair, _ in cgroups))
        found = list(containers(now, [path for _, path in cgroups], NAMES, True))
        assert names_of(found) == [("/web", True), ("/x/-tasks", False)]
        assert (found[0].reading.total["tasks"], found[0].reading.local["tasks"]) == (5, 8)
        assert found[0].reading.local["anon"] == 80 and found[1].reading.local["tasks"] == 9


def test_the_roots_leaves() -> None:
    """Where systemd delegated the agent's own cgroup."""
    now = snapshot((1, 0), (2, 4), (3, 2))
    (found,) = containers(now, ["/containers", "/containers/-agent", "/containers/-tasks"], NAMES, False)
    assert found.name == "/" and found.reading.local["tasks"] == 6


def test_a_leaf_without_its_container() -> None:
    """It went meanwhile."""
    assert list(containers(snapshot((1, 1)), ["/containers/web/-tasks"], NAMES, True)) == []


def test_with_leaf_leaves_totals_alone() -> None:
    """Only what is local is added."""
    both = with_leaf(
        reading(1, total={"tasks": 5}, local={"tasks": 1, "active": None}),
        reading(2, total={"tasks": 4}, local={"tasks": 4, "shmem": 7, "active": 3}),
    )
    assert both == reading(1, total={"tasks": 5}, local={"tasks": 5, "shmem": 7, "active": None})


def test_the_document_has_null_for_what_is_unknown() -> None:
    """Never 0."""
    found = reading(
        7, total={"tasks": 2, "mapped": None, "active": None, "files": None}, local={"files": None}, forks=23
    )
    shown = document(Container("/web", "/containers/web", True, found), 4096, Engine("tracepoint", "tracepoint"), None)
    assert shown["id"] == 7 and shown["num_tasks"] == 2 and shown["forks"] == 23 and shown["exits"] == 0
    for key in ("num_mapped_pages", "num_active_pages", "num_files", "task_limit", "page_limit", "throttled_seconds"):
        assert shown[key] is None
    assert shown["local"]["num_files"] is None and shown["local"]["num_tasks"] == 0
    assert set(shown["local"]) == {key for key in shown if key.startswith("num_") or key.endswith("_hits")}
