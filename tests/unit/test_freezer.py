# SPDX-License-Identifier: Apache-2.0
"""Stopping containers over a tree of files: a mark first, never what others stopped, never the agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from containeragent.cgroups import attributes
from containeragent.cgroups.names import join
from containeragent.cgroups.tree import Tree
from containeragent.host import cgroup2
from containeragent.limits.freezer import MARK, Freezer
from tests.unit.cgroup_files import CgroupFiles


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CgroupFiles:
    """/shop and /shop/web; the agent is elsewhere."""
    made = CgroupFiles(tmp_path, monkeypatch)
    for name in ("shop", "shop/web", "db"):
        made.make(name)
    monkeypatch.setattr(cgroup2, "path_of_task", lambda pid: "/elsewhere")
    return made


def freezer(files: CgroupFiles) -> Freezer:
    """Of an agent that begins now."""
    return Freezer(Tree(files.root), lambda parts: "/root" + join(parts).rstrip("/"))


def stopped(files: CgroupFiles) -> set[str]:
    """Names of cgroups that are frozen."""
    found = [file.parent for file in files.root.rglob("cgroup.freeze") if file.read_text().strip() == "1"]
    return {str(folder.relative_to(files.root)) for folder in found}


def marked(files: CgroupFiles) -> int:
    """How many have our mark."""
    return sum(value is not None for (_, name), value in files.attributes.items() if name == attributes.PREFIX + MARK)


def test_stop_and_go_on(files: CgroupFiles) -> None:
    """It stands still as long as somebody wants it to."""
    hand = freezer(files)
    assert hand.stop(("shop",), "one") and hand.stop(("shop",), "other")
    assert stopped(files) == {"shop"} and marked(files) == 1
    hand.go_on(("shop",), "one")
    assert stopped(files) == {"shop"}
    hand.go_on(("shop",), "other")
    assert stopped(files) == set() and marked(files) == 0


def test_what_others_stopped_stays_as_it_is(files: CgroupFiles) -> None:
    """Neither marked nor let go."""
    (files.root / "db" / "cgroup.freeze").write_text("1\n")
    hand = freezer(files)
    assert not hand.stop(("db",), "one")
    hand.go_on(("db",), "one")
    hand.recover(("db",))
    assert stopped(files) == {"db"} and marked(files) == 0


def test_a_successor_lets_go_on(files: CgroupFiles) -> None:
    """What the agent before it had stopped."""
    freezer(files).stop(("shop", "web"), "one")
    freezer(files).recover(("shop", "web"))
    assert stopped(files) == set() and marked(files) == 0


@pytest.mark.parametrize("place", ["/root/shop/web", "/root/shop"])
def test_never_the_agent(files: CgroupFiles, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """What is beside it is stopped and ended, it is not."""
    monkeypatch.setattr(cgroup2, "path_of_task", lambda pid: place)
    for name in ("shop/cache", "shop/web/deep"):
        files.make(name)
        (files.root / name / "cgroup.kill").touch()
    hand = freezer(files)
    hand.stop((), "one")
    expected = {"db", "shop/cache", "shop/web/deep"} if place.endswith("web") else {"db", "shop/cache", "shop/web"}
    assert stopped(files) == expected
    hand.go_on((), "one")
    assert stopped(files) == set()


def test_never_the_leaf_of_the_agent(files: CgroupFiles) -> None:
    """Whoever is in it holds the cgroup root."""
    files.make("-agent")
    files.make("-tasks")
    freezer(files).stop((), "one")
    assert stopped(files) == {"shop", "db", "-tasks"}
