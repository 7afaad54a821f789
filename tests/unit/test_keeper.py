# SPDX-License-Identifier: Apache-2.0
"""Limits over a tree of files: in force, kept and remembered, or nothing is different."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from containeragent.cgroups.tree import Parts, Tree
from containeragent.errors import Refused
from containeragent.limits import states
from containeragent.limits.admission import Admission
from containeragent.limits.holders import Holders, Modes
from containeragent.limits.keeper import Keeper
from containeragent.limits.model import Hits, Limits
from tests.unit.cgroup_files import CgroupFiles
from tests.unit.snapshots import FakeSource, snapshot

WEB: Parts = ("shop", "web")


def until(read: Callable[[], Any], wanted: Any) -> None:
    """Wait for a value."""
    end = time.monotonic() + 60
    while read() != wanted:
        assert time.monotonic() < end, read()
        time.sleep(0.01)


class Host:
    """A tree with /shop and /shop/web, and a keeper over it."""

    def __init__(self, files: CgroupFiles) -> None:
        self.files = files
        files.make("shop")
        self.web = files.make("shop/web")
        self.told: list[tuple[str, Parts, dict[str, Any]]] = []
        self.source, self.recovered = FakeSource(snapshot()), list[Parts]()
        self.keeper = self.start()

    def start(self) -> Keeper:
        """An agent begins."""
        keeper = Keeper(Tree(self.files.root), self.source.as_source(), self._publish, self.recovered.append)
        keeper.start()
        return keeper

    def _publish(self, kind: str, parts: Parts, **details: Any) -> None:
        self.told.append((kind, parts, details))

    def state(self, parts: Parts) -> Any:
        """Of one container."""
        found = states.all_of(self.keeper, self.source.now)
        return found.get(self.files.root.joinpath(*parts).stat().st_ino, states.unlimited(self.keeper.usual_modes))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """With every controller."""
    made = Host(CgroupFiles(tmp_path, monkeypatch))
    yield made
    made.keeper.close()


def test_a_limit_is_in_force_and_known(host: Host) -> None:
    """Also to the next agent."""
    host.keeper.change(WEB, {"task_limit": 5, "page_limit": "1M", "kill_after": 2})
    assert [(host.web / file).read_text() for file in ("pids.max", "memory.high", "memory.max")] == [
        "5", "1048576", "1179648",
    ]  # fmt: skip
    assert host.state(WEB).limits == Limits(5, 256, 2.0)
    host.keeper.close()
    host.keeper = host.start()
    assert host.state(WEB).limits == Limits(5, 256, 2.0) and host.state(WEB).tasks_mode == "kernel"
    assert host.state(("shop",)).limits == Limits() and not host.told


def test_what_is_refused_changes_nothing(host: Host) -> None:
    """Nor is anything of it remembered."""
    (host.web / "memory.high").unlink()
    with pytest.raises(Refused, match=r"memory\.high") as refused:
        host.keeper.change(WEB, {"task_limit": 5, "page_limit": 256})
    assert "/shop/web" in refused.value.message and "nothing was changed" in refused.value.message
    assert (host.web / "pids.max").read_text().strip() == "max" and host.state(WEB).limits == Limits()


def test_without_a_controller_nobody_holds_it(host: Host) -> None:
    """One that is there is no reason to set half."""
    (host.web / "cgroup.controllers").write_text("pids")
    with pytest.raises(Refused, match="page limit of container /shop/web"):
        host.keeper.change(WEB, {"task_limit": 5, "page_limit": 256})
    assert (host.web / "pids.max").read_text().strip() == "max"
    host.keeper.change(WEB, {"task_limit": 5})
    assert (host.state(WEB).tasks_mode, host.state(WEB).pages_mode) == ("kernel", None)


def test_a_controller_vanishes(host: Host) -> None:
    """The programs hold the limit then; hits are not lost, whoever looks first; it is told."""
    host.source.denies_forks = False
    host.keeper.change(WEB, {"task_limit": 5})
    for file in ("pids.events.local", "pids.events"):
        (host.web / file).write_text("max 7")
    until(lambda: host.state(WEB).hits.tasks, 7)
    for file in ("pids.events.local", "pids.events", "pids.max"):
        (host.web / file).unlink()
    (host.web / "cgroup.controllers").write_text("memory")
    identity = host.web.stat().st_ino
    host.keeper.refresh(identity)
    for _ in range(5):
        host.keeper.upkeep()
    assert (host.state(WEB).tasks_mode, host.state(WEB).pages_mode) == ("agent", "kernel")
    assert host.state(WEB).hits.tasks == 7 and host.source.limited[-1] == (identity, 5, None)
    assert ("mode", WEB, {"limit": "tasks", "mode": "agent"}) in host.told


def test_siblings_have_the_same_controllers(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """So one look is enough for all, as long as nothing has changed."""
    host.source.denies_forks = False
    folders = [host.files.make(f"shop/{name}") for name in ("db", "cache")]
    for name in ("web", "db", "cache"):
        host.keeper.change(("shop", name), {"task_limit": 5})
    looks: list[Parts] = []
    modes = Holders.modes

    def look(holders: Holders, parts: Parts) -> Modes:
        looks.append(parts)
        return modes(holders, parts)

    monkeypatch.setattr(Holders, "modes", look)
    for _ in range(3):
        host.keeper.upkeep()
    assert len([parts for parts in looks if parts]) == 3
    for folder in (host.web, *folders):
        (folder / "cgroup.controllers").write_text("memory")
    host.keeper.upkeep()
    assert [kind for kind, _, details in host.told if details.get("mode") == "agent"] == ["mode"] * 3


def test_hits_are_told_when_the_kernel_counts_them(host: Host) -> None:
    """Nobody asks for them."""
    host.keeper.change(WEB, {"task_limit": 5})
    (host.web / "pids.events.local").write_text("max 7")
    (host.web / "pids.events").write_text("max 8")
    until(lambda: host.state(WEB).hits.tasks, 8)
    until(lambda: len(host.told), 1)
    kind, parts, details = host.told[0]
    assert (kind, parts) == ("limit_hit", WEB)
    assert details == {"limit": "tasks", "usage": 0, "limit_value": 5, "task": None}
    assert host.state(WEB).local_hits.tasks == 7


def test_a_limit_below_present_use_is_a_hit(host: Host) -> None:
    """Of the container, and in those above it; each time it is set lower."""
    host.files.make("shop/web", tasks=5, pages=300)
    host.keeper.change(WEB, {"task_limit": 4, "page_limit": 300})
    host.keeper.change(WEB, {"page_limit": 299})
    host.keeper.change(WEB, {"kill_after": 3})
    assert host.state(WEB).hits == host.state(WEB).local_hits == Hits(1, 1)
    assert host.state(("shop",)).hits == Hits(1, 1) and host.state(("shop",)).local_hits == Hits(0, 0)
    assert [(details["limit"], details["usage"], details["limit_value"]) for _, _, details in host.told] == [
        ("tasks", 5, 4), ("pages", 300, 299),
    ]  # fmt: skip
    assert host.keeper.ended(host.web.stat().st_ino, Hits()) is not None and host.state(WEB).limits == Limits()


def test_the_tightest_is_named(host: Host) -> None:
    """Of those that are full; where it is already, a task is not asked again."""
    host.files.make("shop/web", tasks=5)
    host.keeper.change(WEB, {"task_limit": 5})
    host.keeper.change(("shop",), {"task_limit": 3})
    admission = Admission(Tree(host.files.root), host.keeper)
    with pytest.raises(Refused, match="container /shop has 5 of 3 tasks") as refused:
        admission.check(WEB, None, 1)
    assert refused.value.code == "EAGAIN"
    with pytest.raises(Refused, match="container /shop/web has 5 of 5 tasks"):
        admission.check(WEB, ("shop",), 1)
    admission.check(("shop",), WEB, 9)
    admission.check((), None, 9)


@pytest.mark.parametrize("junk", [b"", b"[]", b"{", b'{"limits": {"task_limit": 3}}'])
def test_what_is_not_ours_is_no_limit(host: Host, junk: bytes) -> None:
    """And does not keep the agent from starting."""
    host.files.attributes[host.web.stat().st_ino, "user.containeragent.limits"] = junk
    host.keeper.close()
    host.keeper = host.start()
    assert host.state(WEB).limits == Limits()
