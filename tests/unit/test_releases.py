# SPDX-License-Identifier: Apache-2.0
"""Releases over folders that stand for cgroups, with the inotify of the kernel: what is a release, and what is not."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from containeragent.cgroups import attributes
from containeragent.cgroups.naming import Names
from containeragent.cgroups.tree import Parts, Tree
from containeragent.errors import Refused
from containeragent.events.bus import Bus
from containeragent.release import flags as kept
from containeragent.release.flags import Flags, Mark
from containeragent.release.releases import Releases
from containeragent.release.watch import Changes
from tests.unit.snapshots import FakeSource, snapshot

PATIENCE_SECONDS = 30.0


class World:
    """A tree with `/web` and `/web/db`, whose files a test writes as the kernel would."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.source = FakeSource(snapshot())
        self.bus = Bus()
        for name in ("", "web", "web/db"):
            self.make(name)
        self.removed: list[Parts] = []
        self.told = threading.Event()
        self.bus.subscribe(lambda event: event.kind == "released", self.told.set)
        self.releases = self.begin()

    def begin(self) -> Releases:
        """An agent starts."""
        made = Releases(Tree(self.root), Names("/root"), self.source.as_source(), self.bus)
        made.start(lambda parts, _: self.removed.append(parts))
        return made

    def make(self, name: str) -> None:
        (self.root / name).mkdir()
        self.populate(name, False)

    def populate(self, name: str, populated: bool) -> None:
        (self.root / name / "cgroup.events").write_text(f"populated {int(populated)}\nfrozen 0\n")

    def remove(self, name: str) -> None:
        (self.root / name / "cgroup.events").unlink()
        (self.root / name).rmdir()

    def count(self, name: str, exits: int) -> None:
        """Let the source say so many exits of a container; a peak of one less."""
        self.source.now = snapshot((os.stat(self.root / name).st_ino, exits - 24))

    def names(self) -> list[str]:
        """Containers that were released, so far."""
        return [event.container for event in self.bus.recent(lambda event: event.kind == "released")]

    def expect(self, *names: str) -> None:
        """Wait for so many releases."""
        while len(self.names()) < len(names):
            assert self.told.wait(PATIENCE_SECONDS), self.names()
            self.told.clear()
        assert self.names() == list(names)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """With nothing released."""
    made = World(tmp_path)
    yield made
    made.releases.close()


def test_a_release_needs_a_flag_no_task_and_no_child(world: World) -> None:
    """And something that was in it before."""
    world.releases.set(("web",), True, None)
    world.populate("web", True)
    world.populate("web", False)
    world.remove("web/db")
    world.expect("/web")
    assert world.releases.counts()["told"] == 1


def test_flags_are_inherited_and_kept(world: World) -> None:
    """On the cgroup: the next agent has them; `idle` says that it need not look for a release."""
    assert world.releases.of(()) == Flags()
    world.releases.set((), True, None)
    world.make("a")
    world.releases.created(("a",), None, False)
    world.make("b")
    world.releases.created(("b",), False, True)
    world.make("c")
    world.releases.created(("c",), False, False)
    wanted = {("a",): Flags(True, False), ("b",): Flags(False, True), ("c",): Flags(), (): Flags(True)}
    assert {parts: world.releases.of(parts) for parts in wanted} == wanted
    world.releases.close()
    world.releases = world.begin()
    assert {parts: world.releases.of(parts) for parts in wanted} == wanted
    with Tree(world.root).opened(("a",)) as directory:
        assert attributes.read(directory) == {"notify_on_release": "1", "idle": "0 0"}
        assert kept.read(directory) == (Flags(True), Mark(0, 0))
    assert world.names() == []


def test_the_root_is_never_removed(world: World) -> None:
    """So it cannot be said."""
    with pytest.raises(Refused) as caught:
        world.releases.set((), None, True)
    assert caught.value.code == "EBUSY"


@pytest.mark.parametrize("exits, released", [(0 + 24, False), (1 + 24, True)])
def test_what_came_and_went_between_two_looks(world: World, exits: int, released: bool) -> None:
    """The counters know it; a change of the file alone is no release."""
    world.count("web/db", 24)
    world.releases.set(("web", "db"), True, None)
    world.count("web/db", exits)
    with world.releases._lock:
        watched = world.releases._watched.all()
        for _ in range(2):
            world.releases._told(Changes(files={watched[0].watch}))
    assert world.names() == (["/web/db"] if released else [])


def test_after_a_flood_everything_is_looked_at(world: World) -> None:
    """What the kernel did not tell is found."""
    world.releases.set(("web", "db"), True, None)
    world.releases._watch.close()
    world.populate("web/db", True)
    world.releases.came(("web", "db"))
    world.populate("web/db", False)
    world.releases._told(Changes(missed=True))
    assert world.names() == ["/web/db"]


def test_released_while_no_agent_was_there(world: World) -> None:
    """What was in use when the last one ended; and where the counters tell of tasks since."""
    for name in ("used", "new", "since"):
        world.make(name)
        world.releases.created((name,), True, False)
    world.populate("used", True)
    world.releases.came(("used",))
    world.releases.close()
    world.populate("used", False)
    world.count("since", 25)
    world.releases = world.begin()
    assert sorted(world.names()) == ["/since", "/used"]
    world.releases.close()
    world.releases = world.begin()
    assert sorted(world.names()) == ["/since", "/used"]


def test_a_removed_container_is_watched_no_longer(world: World) -> None:
    """Nor is one in its place taken for it."""
    world.make("a")
    world.releases.created(("a",), True, True)
    identity = os.stat(world.root / "a").st_ino
    assert world.releases.flags(identity) == Flags(True, True)
    world.remove("a")
    world.make("b")  # takes its inode on some file systems
    world.make("a")
    with world.releases._lock:
        number = world.releases._watched._folders[()][1]
        world.releases._told(Changes(removed=[(number, "a")]))
    current = os.stat(world.root / "a").st_ino
    assert world.releases.flags(current) == (Flags(True, True) if current == identity else Flags())


def test_mark_is_before() -> None:
    """Unknown says nothing; numbers that went back are of counters that began anew."""
    assert Mark(1, 1).is_before(Mark(2, 1)) and Mark(1, 1).is_before(Mark(1, 2))
    assert not Mark(1, 1).is_before(Mark(1, 1)) and not Mark(5, 5).is_before(Mark(0, 0))
    assert not Mark(None, None).is_before(Mark(5, 5)) and not Mark(1, 1).is_before(Mark(None, None))
