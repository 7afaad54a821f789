# SPDX-License-Identifier: Apache-2.0
"""Limits over a tree of files: in force, kept and remembered, or nothing is different."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from containeragent.cgroups import attributes
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
    assert host.told == [
        ("limit_hit", WEB, {"limit": "tasks", "usage": 5, "limit_value": 4, "task": None}),
        ("limit_hit", WEB, {"limit": "pages", "usage": 300, "limit_value": 299, "task": None}),
    ]
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


def _restarted(host: Host) -> Keeper:
    """The next agent's."""
    host.keeper.close()
    host.recovered.clear()
    host.keeper = host.start()
    return host.keeper


def _number(host: Host, parts: Parts) -> int:
    return host.files.root.joinpath(*parts).stat().st_ino


def test_what_an_agent_before_left(host: Host) -> None:
    """Everything that it may have stopped goes on; those without limits or hits are not remembered."""
    assert _restarted(host).entries() == {}
    assert host.recovered == [(), ("shop",), WEB]


def test_one_that_goes_while_an_agent_starts(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """It is said, and the others are taken over."""
    host.files.make("zoo")
    host.keeper.change(("zoo",), {"task_limit": 5})

    def recover(parts: Parts) -> None:
        if parts == ("shop",):
            shutil.rmtree(host.files.root / "shop")

    host.keeper.close()
    host.keeper = Keeper(Tree(host.files.root), host.source.as_source(), host._publish, recover)
    host.keeper.start()
    assert host.state(("zoo",)).limits == Limits(5)
    assert any("/shop" in message for message in caplog.messages)


@pytest.mark.parametrize("what", ["hits of the kernel", "hits that were kept", "limits"])
def test_what_is_taken_over(host: Host, what: str) -> None:
    """Also without limits; who has limits is looked at."""
    if what == "hits of the kernel":
        (host.web / "pids.events").write_text("max 7")
    elif what == "limits":
        host.keeper.change(WEB, {"task_limit": 5})
    else:
        host.files.make("shop/web", tasks=5)
        host.keeper.change(WEB, {"task_limit": 4})
        host.keeper.change(WEB, {"task_limit": None})
    seen: list[tuple[str, int]] = []
    host.keeper.close()
    host.keeper = Keeper(Tree(host.files.root), host.source.as_source(), host._publish, lambda _: None)
    host.keeper.above = lambda number: seen.append(("above", number))
    host.keeper.task_limit_set = lambda number: seen.append(("task limit", number))
    host.keeper.start()
    identity = _number(host, WEB)
    assert seen == ([("task limit", identity), ("above", identity)] if what == "limits" else [])
    entry = host.keeper.entry(identity)
    assert entry and entry.parts == WEB and entry.modes == Modes("kernel", "kernel")
    wanted = {"hits of the kernel": 7, "hits that were kept": 1, "limits": 0}[what]
    assert host.state(WEB).hits.tasks == wanted
    assert set(host.keeper.entries()) == {_number(host, parts) for parts in ((), ("shop",), WEB)}


def test_after_the_end_nothing_is_looked_at(host: Host) -> None:
    """Its thread is gone; limits hold on."""
    host.keeper.change(WEB, {"task_limit": 5})
    threads = threading.active_count()
    host.keeper.close()
    assert threading.active_count() == threads - 1
    assert (host.web / "pids.max").read_text() == "5"
    host.keeper = host.start()


def test_a_container_to_come_gets_controllers(host: Host) -> None:
    """From those above it; what stands in the way is said later."""
    for name in ("", "shop", "shop/web"):
        (host.files.root / name / "cgroup.subtree_control").write_text("")
    host.keeper.prepare(("shop",))
    assert [(host.files.root / name / "cgroup.subtree_control").read_text() for name in ("", "shop", "shop/web")] == [
        "+pids", "+pids", "",
    ]  # fmt: skip
    host.keeper.prepare(("none", "below"))


def test_limits_are_lifted(host: Host) -> None:
    """One by one, or both; it is no hit."""
    host.files.make("shop/web", tasks=5, pages=300)
    host.keeper.change(WEB, {"task_limit": 5, "page_limit": 300})
    for asked, limits in (({"page_limit": None}, Limits(5)), ({"task_limit": "max"}, Limits())):
        host.keeper.change(WEB, asked)
        assert host.state(WEB).limits == limits and not host.told
    assert [(host.web / file).read_text() for file in ("pids.max", "memory.high", "memory.max")] == ["max"] * 3


def test_all_of_one_moment(host: Host) -> None:
    """They stay as they were when they were asked for."""
    before = host.keeper.entries()
    host.keeper.change(WEB, {"task_limit": 5})
    assert before == {} and len(host.keeper.entries()) == 3


def test_who_is_told_of_limits(host: Host) -> None:
    """Of a task limit that is another, and of any limit that it may be above."""
    seen: list[tuple[str, int]] = []
    host.keeper.above = lambda number: seen.append(("above", number))
    host.keeper.task_limit_set = lambda number: seen.append(("task limit", number))
    identity = _number(host, WEB)
    for asked, told in (
        ({"task_limit": 5}, ["task limit", "above"]),
        ({"task_limit": 5, "page_limit": 9}, ["above"]),
        ({"task_limit": None}, ["task limit", "above"]),
    ):
        seen.clear()
        host.keeper.change(WEB, asked)
        assert seen == [(what, identity) for what in told]


def test_what_the_kernel_counts_of_pages_and_memory(host: Host) -> None:
    """A page limit that was hit has it looked at; who is killed for want of memory is told."""
    seen: list[tuple[str, int]] = []
    host.keeper.above = lambda number: seen.append(("above", number))
    host.keeper.out_of_memory = lambda number: seen.append(("out of memory", number))
    host.keeper.change(WEB, {"page_limit": 9})
    seen.clear()
    identity = _number(host, WEB)
    (host.web / "memory.events.local").write_text("low 0\nhigh 2\nmax 1")
    (host.web / "memory.events").write_text("low 0\nhigh 2\nmax 1\noom_kill 1")
    until(lambda: seen, [("above", identity), ("out of memory", identity)])
    assert host.told == [("limit_hit", WEB, {"limit": "pages", "usage": 0, "limit_value": 9, "task": None})]
    assert host.state(WEB).hits.pages == 3


def test_nobody_has_to_be_told(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is counted before the rest of the agent is there."""
    monkeypatch.setattr(host.keeper._watcher, "watch", lambda *_: None)
    host.keeper.change(WEB, {"task_limit": 5, "page_limit": 9})
    for file in ("memory.events", "memory.events.local"):
        (host.web / file).write_text("low 0\nhigh 2\nmax 1\noom_kill 1")
    host.keeper.refresh(_number(host, WEB))
    entry = host.keeper.entry(_number(host, WEB))
    assert entry and (entry.counts.hits.pages, entry.counts.oom_kills) == (3, 1)


def test_whose_hits_are_told(host: Host) -> None:
    """Who has no limit of that kind counts them, and tells nothing; nor is anything told twice, or of a step back."""
    seen: list[int] = []
    host.keeper.change(WEB, {"page_limit": 9})
    host.keeper.above = host.keeper.out_of_memory = seen.append
    host.keeper.change(("shop",), {"task_limit": 9})
    seen.clear()
    identity = _number(host, WEB)
    shop = host.files.root / "shop"
    for file in ("pids.events.local", "pids.events"):
        (host.web / file).write_text("max 7")
    for file in ("memory.events.local", "memory.events"):
        (shop / file).write_text("low 0\nhigh 2\nmax 1\noom_kill 0")
    until(lambda: (host.state(WEB).hits.tasks, host.state(("shop",)).hits.pages), (7, 3))
    host.keeper.refresh(identity)
    host.keeper.refresh(12345)
    (host.web / "pids.events").write_text("max 6")
    host.keeper.refresh(identity)
    assert host.state(WEB).hits.tasks == 7 and not host.told and not seen


def test_a_refresh_waits_for_nobody(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel has counted is there at once."""
    monkeypatch.setattr(host.keeper._watcher, "watch", lambda *_: None)
    host.keeper.change(WEB, {"task_limit": 5})
    (host.web / "pids.events").write_text("max 7")
    assert host.state(WEB).hits.tasks == 0
    host.keeper.ended(_number(host, ("shop",)), Hits())  # whoever is above it may be gone by now
    host.keeper.refresh(_number(host, WEB))
    assert host.state(WEB).hits.tasks == 7


def test_who_is_above_is_remembered(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them, once: hits that are not told yet will be."""
    monkeypatch.setattr(host.keeper._watcher, "watch", lambda *_: None)
    host.files.make("zoo")
    host.keeper.change(("zoo",), {"task_limit": 5})
    host.keeper.change(WEB, {"task_limit": 5})
    assert {entry.parts for entry in host.keeper.entries().values()} == {(), ("zoo",), ("shop",), WEB}
    host.keeper.change(("shop",), {"task_limit": 9})
    for file in ("pids.events", "pids.events.local"):
        (host.files.root / "shop" / file).write_text("max 7")
    host.keeper.change(WEB, {"task_limit": 6})
    host.keeper.refresh(_number(host, ("shop",)))
    assert [(kind, parts) for kind, parts, _ in host.told] == [("limit_hit", ("shop",))]


def test_one_that_goes_while_its_hits_are_read(host: Host) -> None:
    """Those that it was in are looked at all the same."""
    host.keeper.change(WEB, {"task_limit": 5})
    identity = _number(host, WEB)
    shutil.rmtree(host.web)
    (host.files.root / "shop" / "pids.events").write_text("max 9")
    host.keeper.refresh(identity)
    assert host.state(("shop",)).hits.tasks == 9


def test_hits_below_count_above(host: Host) -> None:
    """Who is above it is looked at with it, up to the root, though its own files are not watched."""
    host.keeper.change(WEB, {"task_limit": 5})
    (host.files.root / "pids.events").write_text("max 11")
    (host.files.root / "shop" / "pids.events").write_text("max 9")
    (host.web / "pids.events").write_text("max 7")
    until(lambda: [host.state(parts).hits.tasks for parts in (WEB, ("shop",), ())], [7, 9, 11])


def test_throttled_seconds_are_summed(host: Host) -> None:
    """And kept; of one that is gone, or never had limits, nothing is."""
    host.keeper.change(WEB, {"page_limit": 9})
    host.keeper.add_throttled(_number(host, WEB), 1.5)
    host.keeper.add_throttled(_number(host, WEB), 2.0)
    host.keeper.add_throttled(12345, 1.0)
    _restarted(host)
    assert host.state(WEB).throttled_seconds == 3.5 and host.state(("shop",)).throttled_seconds == 0


def test_the_last_of_one_that_is_gone(host: Host) -> None:
    """With what the programs counted; its hits stay with those above, and its files are watched no more."""
    host.files.make("shop/web", tasks=5)
    host.keeper.change(WEB, {"task_limit": 4})
    identity = _number(host, WEB)
    watched = set(host.keeper._watcher._cgroups.values())
    found = host.keeper.ended(identity, Hits(23, 29))
    assert watched == {identity} and not host.keeper._watcher._cgroups
    assert found and found.parts == WEB and found.kept.hits == found.kept.local_hits == Hits(24, 29)
    assert host.state(("shop",)).hits == Hits(24, 29) and host.state(("shop",)).local_hits == Hits(0, 0)
    assert host.keeper.ended(identity, Hits(1, 1)) is None and host.keeper.entry(identity) is None
    assert host.state(("shop",)).hits == Hits(24, 29)


def test_hits_stay_with_all_above(host: Host) -> None:
    """And with those only that it was in, whoever of them is gone as well."""
    below = (*WEB, "db")
    host.files.make("shop/web/db")
    host.files.make("zoo")
    host.keeper.change(("zoo",), {"task_limit": 4})
    host.keeper.change(below, {"task_limit": 4})
    identity = _number(host, below)
    shutil.rmtree(host.web)
    host.keeper.ended(identity, Hits(3, 5))
    kept = {entry.parts: entry.kept.hits for entry in host.keeper.entries().values()}
    assert kept == {WEB: Hits(), ("shop",): Hits(3, 5), (): Hits(3, 5), ("zoo",): Hits()}


def _count(host: Host, parts: Parts, hits: int) -> None:
    """As kernels before v6.11: where the task is that could not fork."""
    (host.files.root.joinpath(*parts) / "pids.events").write_text(f"max {hits}")


@pytest.mark.parametrize("seen", [False, True])
def test_an_end_changes_no_hits_above_where_they_are_summed(host: Host, seen: bool) -> None:
    """What comes afterwards counts and is told, also where it was looked at in between."""
    above = [(), ("shop",)]
    for parts in (*above, WEB):
        (host.files.root.joinpath(*parts) / "pids.events.local").unlink()
    host.keeper.change(("shop",), {"task_limit": 9})
    host.keeper.change(WEB, {"task_limit": 5})
    identity, shop = _number(host, WEB), _number(host, ("shop",))
    _count(host, WEB, 6)
    until(lambda: [host.state(parts).hits.tasks for parts in (*above, WEB)], [6] * 3)
    shutil.rmtree(host.web)
    if seen:
        host.keeper.refresh(shop)
    found = host.keeper.ended(identity, Hits())
    assert found and found.counts.hits.tasks == 6
    assert [host.state(parts).hits.tasks for parts in above] == [6] * 2
    host.told.clear()
    _count(host, ("shop",), 5)
    until(lambda: [host.state(parts).hits.tasks for parts in above], [11] * 2)
    until(lambda: [(kind, parts) for kind, parts, _ in host.told], [("limit_hit", ("shop",))])
    _restarted(host)
    assert [host.state(parts).hits.tasks for parts in above] == [11] * 2


def test_an_end_changes_no_hits_above(host: Host) -> None:
    """What the agent counted is there already; what the programs did, nobody else has from here on."""
    below, above = (*WEB, "db"), [(), ("shop",), WEB]
    host.files.make("shop/web/db", tasks=5)
    host.keeper.change(below, {"task_limit": 4})
    identity = _number(host, below)
    host.source.now = snapshot((identity, 5))
    host.source.now.task_limit_hits[:] = 23
    assert [host.state(parts).hits for parts in above] == [Hits(24, 0)] * 3
    host.source.now = snapshot()
    host.keeper.ended(identity, Hits(23, 0))
    shutil.rmtree(host.web / "db")
    assert [host.state(parts).hits for parts in above] == [Hits(24, 0)] * 3
    _restarted(host)
    assert [host.state(parts).hits for parts in above] == [Hits(24, 0)] * 3


def test_one_that_is_gone_without_hits(host: Host) -> None:
    """Nothing is written above it; nor where that is gone too, or where it was the root."""
    host.keeper.change(WEB, {"task_limit": 4})
    before = dict(host.files.attributes)
    assert host.keeper.ended(_number(host, WEB), Hits()) is not None
    assert host.files.attributes == before
    host.keeper.change((), {"task_limit": 4})
    before = dict(host.files.attributes)
    root = host.keeper.ended(_number(host, ()), Hits(1, 1))
    assert host.files.attributes == before and host.keeper.entry(_number(host, ())) is None
    assert root and root.parts == () and root.kept.hits == Hits(1, 1)
    host.keeper.change(WEB, {"task_limit": 5})
    identity = _number(host, WEB)
    shutil.rmtree(host.files.root / "shop")
    gone = host.keeper.ended(identity, Hits(1, 1))
    assert gone and gone.kept.hits == Hits(1, 1)


def test_limits_that_cannot_be_kept_on_it(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are not in force either: the next agent would not know of them."""
    host.keeper.change(WEB, {"task_limit": 5})

    def full(_directory: int, _key: str, _value: bytes | None) -> None:
        raise Refused("ENOSPC", "the attribute has no room")

    monkeypatch.setattr(attributes, "put", full)
    with pytest.raises(Refused) as refused:
        host.keeper.change(WEB, {"task_limit": 7})
    message = "the attribute has no room: its limits cannot be kept on it, nothing was changed"
    assert (refused.value.code, refused.value.message) == ("ENOSPC", message)
    assert (host.web / "pids.max").read_text() == "5" and host.state(WEB).limits == Limits(5)


@pytest.mark.parametrize(
    "controllers, asked, hits",
    [
        ("pids memory", {"task_limit": 4, "page_limit": 299}, Hits(1, 1)),
        ("pids memory", {"task_limit": 5, "page_limit": 300}, Hits(0, 0)),
        ("pids memory", {"page_limit": 299, "dry_run": True}, Hits(0, 0)),
        ("memory", {"task_limit": 4}, Hits(0, 0)),
        ("pids", {"page_limit": 1}, Hits(0, 0)),
    ],
)
def test_who_counts_a_limit_below_present_use(host: Host, controllers: str, asked: dict[str, Any], hits: Hits) -> None:
    """The agent where the kernel holds it, which counts no such hit; else the programs do."""
    host.source.denies_forks = True
    host.files.make("shop/web", tasks=5, pages=300)
    (host.web / "cgroup.controllers").write_text(controllers)
    host.keeper.change(WEB, asked)
    assert host.state(WEB).hits == host.state(WEB).local_hits == hits
    assert host.state(()).hits == hits and host.state(()).local_hits == Hits(0, 0)


def test_use_that_nobody_knows_is_not_above(host: Host) -> None:
    """A page limit without the controller, of one that has no slot."""
    host.source.denies_forks = True
    (host.web / "cgroup.controllers").write_text("pids")
    (host.web / "memory.current").unlink()
    host.keeper.change(WEB, {"page_limit": 1})
    assert not host.told and host.source.limited[-1] == (_number(host, WEB), None, 1)


def test_the_container_that_a_folder_is(host: Host) -> None:
    """By its path."""
    assert host.keeper.parts_of(str(host.web)) == WEB and host.keeper.parts_of(str(host.files.root)) == ()
