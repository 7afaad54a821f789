# SPDX-License-Identifier: Apache-2.0
"""The container service over a tree that is only a dictionary: what is refused, and that nothing is left half done."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from containeragent.cgroups import attributes
from containeragent.cgroups.figures import Figures
from containeragent.cgroups.names import join
from containeragent.cgroups.naming import Names
from containeragent.cgroups.paths import PathResolver
from containeragent.cgroups.tree import Tree
from containeragent.containers import involved
from containeragent.containers.audit import Auditor
from containeragent.containers.caller import Caller
from containeragent.containers.lifecycle import New
from containeragent.containers.ranking import Wanted
from containeragent.containers.service import Containers
from containeragent.errors import Refused
from containeragent.events.bus import Bus
from containeragent.host import cgroup2, process, taskstats
from containeragent.host.process import Process
from containeragent.limits.entry import Entry
from containeragent.limits.holders import Modes
from containeragent.limits.keeper import Keeper
from containeragent.limits.limiting import Limiting
from containeragent.limits.model import Hits, Kept, Limits, LimitState
from containeragent.release.releases import Releases
from containeragent.subsystems import assembly
from containeragent.subsystems.api import Attribute, Container, Subsystem, Task
from containeragent.subsystems.builtin import tasks
from containeragent.subsystems.members import BuiltIn
from tests.unit.snapshots import FakeSource, snapshot

ROOT = Caller(pid=os.getpid(), uid=0)
USER = Caller(pid=os.getpid(), uid=1000)
Parts = tuple[str, ...]


class FakeTree:
    """Containers by their parts; ids from 10 on. `fails` says which creation fails, and how."""

    def __init__(self) -> None:
        self.root = Path("/fake")
        self.ids: dict[Parts, int] = {(): 1}
        self.fails: dict[Parts, str] = {}
        self.attached: list[tuple[Parts, int]] = []
        self.numbers = itertools.count(11)

    def identity(self, parts: Parts) -> int:
        if parts not in self.ids:
            raise Refused("ENOENT", f"no {join(parts)}")
        return self.ids[parts]

    def directories(self, parts: Parts) -> Parts:
        return parts

    def directory_identity(self, directories: Parts) -> int:
        return self.identity(directories)

    @contextlib.contextmanager
    def opened(self, parts: Parts) -> Iterator[int]:
        self.identity(parts)
        yield -1

    def walk(self) -> Iterator[tuple[Parts, int]]:
        return iter(())

    def rename(self, old: Parts, new: Parts) -> None:
        if new in self.ids:
            raise Refused("EEXIST", "exists")
        self.identity(old)
        self.ids = {
            (new + known[len(old) :] if known[: len(old)] == old else known): i for known, i in self.ids.items()
        }

    def forget_gone(self) -> None:
        pass

    def remove_nameless(self, parts: Parts) -> None:
        self.identity(parts)

    def leaf_identity(self, parts: Parts) -> int | None:
        return None

    def create(self, parts: Parts) -> int:
        if parts in self.fails:
            raise Refused(self.fails[parts], "made to fail")
        if parts in self.ids:
            raise Refused("EEXIST", "exists")
        self.identity(parts[:-1])
        self.ids[parts] = next(self.numbers)
        return self.ids[parts]

    def children(self, parts: Parts) -> list[str]:
        return sorted(found[-1] for found in self.ids if found and found[:-1] == parts)

    def remove(self, parts: Parts) -> None:
        if self.children(parts):
            raise Refused("EBUSY", "has children")
        del self.ids[parts]

    def kill(self, parts: Parts) -> int:
        self.identity(parts)
        return 2

    def tasks(self, parts: Parts) -> list[int]:
        return [self.identity(parts)]

    def attach(self, parts: Parts, pid: int) -> None:
        self.attached.append((parts, pid))


class FakeKeeper:
    """Takes every limit but one that is named "bad"; `full` containers admit nobody."""

    def __init__(self) -> None:
        self.asked: list[tuple[Parts, dict[str, Any]]] = []
        self.full: set[Parts] = set()

    def prepare(self, parent: Parts) -> None:
        pass

    def refresh(self, cgroup_id: int) -> None:
        pass

    @property
    def keeper(self) -> FakeKeeper:
        return self

    admission = keeper

    def entry(self, cgroup_id: int) -> Entry:
        return Entry((), Modes("kernel", None), Kept(Limits(task_limit=5)))

    def states(self) -> dict[int, LimitState]:
        return {}

    def state(self, cgroup_id: int) -> LimitState | None:
        return None

    def unlimited(self) -> LimitState:
        return LimitState(Limits(task_limit=5), "kernel", None, Hits(2, 3), Hits(1, None))

    def parts_of(self, path: str) -> Parts:
        return (path.rpartition("/")[2],)

    def change(self, parts: Parts, asked: dict[str, Any]) -> None:
        if "bad" in asked or "bad" in asked.values():
            raise Refused("EINVAL", "bad")
        self.asked.append((parts, asked))

    def check(self, parts: Parts, origin: Parts | None, threads: int) -> None:
        if parts in self.full:
            raise Refused("EAGAIN", "5 of 5 tasks")


class Service:
    """The service with everything that it uses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tree = FakeTree()
        self.source = FakeSource(snapshot(*((number, 1) for number in range(1, 40))))
        self.cgroup = "/"
        self.found: dict[int, Process] = {}
        resolver = cast(PathResolver, self)
        auditor = Auditor(self.source.as_source(), cast(Figures, self))
        self.bus = Bus()
        self.keeper = FakeKeeper()
        tree, names = cast(Tree, self.tree), Names("/root")
        root, keeper = involved.container(tree, names, ()), cast(Keeper, self.keeper)
        self.registry = assembly.own(self.source.as_source(), tree, keeper, root, self.bus)
        self.containers = Containers(
            self.source.as_source(),
            tree,
            resolver,
            names,
            auditor,
            limiting=cast(Limiting, self.keeper),
            bus=self.bus,
            registry=self.registry,
        )
        self.documents, self.membership = self.containers.documents, self.containers.membership
        self.lifecycle, self.settings = self.containers.lifecycle, self.containers.settings
        monkeypatch.setattr(attributes, "put", lambda *_: None)
        monkeypatch.setattr(process, "look_up", self.found.get)
        monkeypatch.setattr(cgroup2, "path_of_task", lambda pid: self.cgroup)
        monkeypatch.setattr(os, "pidfd_open", lambda pid: os.eventfd(0))  # as of one that lives

    def identity(self, path: str) -> int | None:
        """As PathResolver."""
        return {"/": 30, "/other": 31}.get(path)

    def paths(self, cgroup_ids: Sequence[int]) -> list[str | None]:
        """As PathResolver: those of the containers in the tree."""
        known = {number: "/root" + join(parts).rstrip("/") for parts, number in self.tree.ids.items()}
        return [known.get(number) for number in cgroup_ids]

    def told(self) -> list[tuple[str, str]]:
        """Kinds and containers of the events so far."""
        return [(event.kind, event.container) for event in self.bus.recent(lambda _: True)]

    def task(self, pid: int, **values: Any) -> None:
        """A task of root, its own process, unless `values` say otherwise."""
        facts: dict[str, Any] = {"process": pid, "uids": (0, 0, 0), "ended": False, "kernel_thread": False}
        self.found[pid] = Process(**facts | values)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Service:
    """With the container /web and task 7 of root."""
    made = Service(monkeypatch)
    made.tree.create(("web",))
    made.task(7)
    return made


def code(call: Any, *arguments: Any) -> str:
    """The errno name of what must be refused."""
    with pytest.raises(Refused) as caught:
        call(*arguments)
    return caught.value.code


def test_limits(made: Service) -> None:
    """Given at creation and later; shown; a bad one leaves no container behind; only root changes them."""
    shown = made.lifecycle.create("/a", New(limits={"task_limit": 5}), ROOT)
    assert made.keeper.asked == [(("a",), {"task_limit": 5})]
    assert (shown["task_limit"], shown["task_limit_hits"], shown["page_limit_hits"]) == (5, 2, 3)
    assert (shown["local"]["task_limit_hits"], shown["local"]["page_limit_hits"]) == (1, None)
    assert shown["limit_mode"] == {"tasks": "kernel", "pages": None}
    assert code(made.lifecycle.create, "/b", New(limits={"bad": 1}), ROOT) == "EINVAL" and ("b",) not in made.tree.ids
    assert made.settings.limit("/web", {"page_limit": "1M"}, ROOT)["name"] == "/web"
    assert code(made.settings.limit, "/web", {"page_limit": "1M"}, USER) == "EACCES"


def test_a_full_container_admits_nobody(made: Service) -> None:
    """And nothing is moved."""
    made.keeper.full.add(("web",))
    assert code(made.membership.attach, "/web", [7], True, ROOT) == "EAGAIN" and not made.tree.attached


def test_create(made: Service) -> None:
    """The document of what was made."""
    assert made.lifecycle.create("/web/db", New(), ROOT)["name"] == "/web/db"
    assert made.lifecycle.create("a/b/c", New(parents=True), ROOT)["cgroup"] == "/root/a/b/c"
    assert set(made.tree.ids) == {(), ("web",), ("web", "db"), ("a",), ("a", "b"), ("a", "b", "c")}


@pytest.mark.parametrize("failing", [("a",), ("a", "b"), ("a", "b", "c")])
def test_create_with_parents_is_undone(made: Service, failing: Parts) -> None:
    """Wherever it fails."""
    made.tree.fails[failing] = "EAGAIN"
    assert code(made.lifecycle.create, "/a/b/c", New(parents=True), ROOT) == "EAGAIN"
    assert set(made.tree.ids) == {(), ("web",)}
    assert made.told() == []


def test_create_leaves_parents_that_were_there(made: Service) -> None:
    """It takes away only what it made."""
    made.tree.fails["web", "a", "b"] = "EAGAIN"
    assert code(made.lifecycle.create, "/web/a/b", New(parents=True), ROOT) == "EAGAIN"
    assert set(made.tree.ids) == {(), ("web",)}


def test_create_without_a_slot_is_undone(made: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """And slots are looked for, so that it may work the next time; unless somebody has removed it meanwhile."""
    made.source.now = snapshot((1, 0))
    assert code(made.lifecycle.create, "/a/b", New(parents=True), ROOT) == "ENODEV"
    assert set(made.tree.ids) == {(), ("web",)} and made.source.swept == 0
    monkeypatch.setattr(tasks, "_is_there", lambda _: True)
    assert code(made.lifecycle.create, "/a/b", New(parents=True), ROOT) == "ENOSPC"
    assert set(made.tree.ids) == {(), ("web",)} and made.source.swept == 1


def test_show(made: Service) -> None:
    """A managed one first; a path of another cgroup too; one without a slot has no numbers to show."""
    assert made.documents.show("web")["managed"] is True
    assert made.documents.show("/")["managed"] is True
    assert made.documents.show("/other")["managed"] is False
    assert code(made.documents.show, "/none") == "ENOENT"
    assert code(made.documents.show, "a//b") == "EINVAL"
    made.source.now = snapshot((1, 0))
    assert code(made.documents.show, "/web") == "ENODATA"


def test_remove(made: Service) -> None:
    """Recursively the deepest first."""
    for parts in (("web", "a"), ("web", "b"), ("web", "a", "x")):
        made.tree.create(parts)
    assert code(made.lifecycle.remove, "/web", False, ROOT) == "EBUSY"
    assert made.lifecycle.remove("/web/b", False, ROOT) == ["/web/b"]
    assert made.lifecycle.remove("/web", True, ROOT) == ["/web/a/x", "/web/a", "/web"]
    for recursive in (True, False):
        assert code(made.lifecycle.remove, "/", recursive, ROOT) == "EBUSY"


def test_rename(made: Service) -> None:
    """What is below it is below the new name; one event."""
    made.lifecycle.create("/web/db", New(), ROOT)
    assert made.lifecycle.rename("web", "/www", ROOT)["name"] == "/www"
    assert set(made.tree.ids) == {(), ("www",), ("www", "db")}
    (event,) = [event for event in made.bus.recent(lambda _: True) if event.kind == "renamed"]
    assert (event.container, event.details) == ("/web", {"to": "/www"}) and event.message == "renamed to /www"


@pytest.mark.parametrize(
    "old, new, errno",
    [
        ("/", "/a", "EBUSY"),
        ("/web", "/", "EINVAL"),
        ("/web", "/a/b", "EINVAL"),
        ("/web/db", "/db", "EINVAL"),
        ("/web", "/-a", "EINVAL"),
        ("/nowhere", "/a", "ENOENT"),
        ("/web", "/other", "EEXIST"),
        ("/web", "/web", "EEXIST"),
    ],
)
def test_rename_refuses(made: Service, old: str, new: str, errno: str) -> None:
    """Nothing is different then."""
    made.lifecycle.create("/other", New(), ROOT)
    made.lifecycle.create("/web/db", New(), ROOT)
    assert code(made.lifecycle.rename, old, new, ROOT) == errno
    assert set(made.tree.ids) == {(), ("web",), ("other",), ("web", "db")}


def test_who_may_end_tasks(made: Service) -> None:
    """The owner, all that is in it; only who owns one above may remove the container too."""
    assert code(made.membership.kill, "/web", USER) == code(made.lifecycle.remove, "/web", True, USER) == "EACCES"
    made.settings.own("/web", USER.uid, ROOT)
    assert made.membership.kill("/web", USER) == 2
    assert code(made.lifecycle.remove, "/web", True, USER) == "EACCES"
    made.settings.own("/", USER.uid, ROOT)
    assert made.lifecycle.remove("/web", True, USER) == ["/web"]


def test_kill_and_tasks(made: Service) -> None:
    """Of one that exists; the root is not killed."""
    assert made.membership.kill("/web", ROOT) == 2 and made.membership.tasks("/web") == [11]
    assert code(made.membership.kill, "/", ROOT) == "EBUSY" and code(made.membership.kill, "/none", ROOT) == "ENOENT"
    assert code(made.membership.tasks, "/none") == "ENOENT"


def test_a_kill_is_one_change(made: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody changes anything meanwhile; who may is asked of one that there is."""
    seen: list[bool] = []
    monkeypatch.setattr(made.tree, "kill", lambda _: seen.append(made.lifecycle._changes._lock.locked()))
    made.membership.kill("/web", ROOT)
    assert seen == [True] and code(made.membership.kill, "/none", USER) == "ENOENT"
    with pytest.raises(Refused, match=r"^the container / is not killed as a whole"):
        made.membership.kill("/", ROOT)


def test_what_the_kernel_accounts(made: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its tasks, with what is missing."""
    monkeypatch.setattr(taskstats, "read", lambda found: [{"tid": task} for task in found])
    for delays in (True, False):
        monkeypatch.setattr(taskstats, "delays_on", lambda delays=delays: delays)
        hints = taskstats.hints(delays)
        assert made.membership.task_stats("/web") == {"tasks": [{"tid": 11}], "hints": hints} and bool(hints) != delays


def test_a_container_that_tasks_come_into_is_looked_at(made: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its release may be due again; also when not all of them came."""
    came: list[tuple[Parts, int]] = []
    monkeypatch.setattr(Releases, "came", lambda _, parts: came.append((parts, len(made.tree.attached))))
    made.membership.attach("/web", [7], True, ROOT)
    assert code(made.membership.attach, "/web", [7, -1], True, ROOT) == "EINVAL"
    assert code(made.membership.attach, "/none", [7], True, ROOT) == "ENOENT"
    assert came == [(("web",), 1), (("web",), 2)]


def test_attach(made: Service) -> None:
    """The process of a thread; 0 is the caller."""
    made.task(8, process=7)
    made.task(ROOT.pid)
    assert made.membership.attach("/web", [8, 0], True, ROOT) == [8, ROOT.pid]
    assert made.tree.attached == [(("web",), 7), (("web",), ROOT.pid)]


@pytest.mark.parametrize(
    "facts, refused",
    [
        (None, "ESRCH"),
        ({"ended": True}, "ESRCH"),
        ({"kernel_thread": True}, "EINVAL"),
        ({"uids": (1000, 0, 0)}, None),
        ({"uids": (0, 0, 1000)}, None),
        ({"uids": (1001, 1001, 1001)}, "EACCES"),
        ({}, "EACCES"),
    ],
)
def test_whom_a_user_may_move(made: Service, facts: dict[str, Any] | None, refused: str | None) -> None:
    """Their own, by real, effective or saved user id (cgroups(7), credentials)."""
    if facts is not None:
        made.task(9, **facts)
    made.cgroup = "/root/web"
    made.settings.own("/", USER.uid, ROOT)
    if refused:
        assert code(made.membership.attach, "/web", [9], True, USER) == refused
        assert code(made.membership.detach, [9], USER) == refused
        assert made.tree.attached == []
    else:
        assert made.membership.attach("/web", [9], True, USER) == made.membership.detach([9], USER) == [9]


def test_negative_and_missing(made: Service) -> None:
    """Nothing moves, and a container that is missing is told first."""
    assert code(made.membership.attach, "/web", [-1], True, ROOT) == "EINVAL"
    assert code(made.membership.detach, [-1], ROOT) == "EINVAL"
    assert code(made.membership.attach, "/none", [-1], True, ROOT) == "ENOENT"


def test_an_error_in_the_middle_names_what_was_done(made: Service) -> None:
    """And the rest is left."""
    made.task(8)
    with pytest.raises(Refused, match=r"attached before: 7, 8$"):
        made.membership.attach("/web", [7, 8, 999, 7], True, ROOT)
    assert len(made.tree.attached) == 2


@pytest.mark.parametrize(
    "cgroup, refused", [("/", None), ("/root", None), ("/root/web", None), ("/root/other", "EBUSY")]
)
def test_no_move(made: Service, cgroup: str, refused: str | None) -> None:
    """Only what is in another container is refused; its own leaf is not another."""
    made.cgroup = cgroup
    if refused:
        assert code(made.membership.attach, "/web", [7], False, ROOT) == refused
    else:
        assert made.membership.attach("/web", [7], False, ROOT) == [7]


@pytest.mark.parametrize("cgroup", ["/", "/root", "/elsewhere"])
def test_detach_of_what_is_in_no_container(made: Service, cgroup: str) -> None:
    """It would move it into the cgroup root."""
    made.cgroup = cgroup
    assert code(made.membership.detach, [7], ROOT) == "EINVAL" and made.tree.attached == []


def test_which(made: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is null outside the root."""
    made.cgroup = "/root/web/-tasks"
    assert made.membership.which(7) == {"pid": 7, "name": "/web", "cgroup": "/root/web/-tasks"}
    made.cgroup = "/elsewhere"
    assert made.membership.which(7)["name"] is None
    assert made.membership.which(1)["pid"] == 1
    for pid in (0, -7):
        with pytest.raises(Refused, match=rf"^{pid} is not a task id$") as caught:
            made.membership.which(pid)
        assert caught.value.code == "EINVAL"
    monkeypatch.setattr(cgroup2, "path_of_task", _gone)
    assert code(made.membership.which, 7) == "ESRCH"


def test_which_after_a_renamed_one_went(made: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another that is in its place has its own name."""
    names = made.membership._names
    names.rename(("web",), 11, "www")
    made.cgroup = "/root/web"
    assert made.membership.which(7)["name"] == "/www"
    monkeypatch.setattr(made.tree, "forget_gone", lambda: names.forget(11))
    assert made.membership.which(7)["name"] == "/web"


def _gone(pid: int) -> str:
    raise FileNotFoundError(pid)


def test_a_task_that_ends_between_two_looks(made: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """ESRCH, for attach and detach too."""
    monkeypatch.setattr(cgroup2, "path_of_task", _gone)
    assert code(made.membership.attach, "/web", [7], True, ROOT) == "ESRCH"
    assert code(made.membership.detach, [7], ROOT) == "ESRCH"


def test_events(made: Service) -> None:
    """What was done is told, of each container and task, when it is done; a removal with its reason."""
    made.lifecycle.create("/a/b", New(parents=True), ROOT)
    made.membership.attach("/web", [7], True, ROOT)
    made.cgroup = "/root/web"
    made.membership.detach([7], ROOT)
    made.lifecycle.remove("/a", True, ROOT)
    assert made.told() == [
        ("created", "/a"),
        ("created", "/a/b"),
        ("attached", "/web"),
        ("detached", "/web"),
        ("removed", "/a/b"),
        ("removed", "/a"),
    ]
    events = made.bus.recent(lambda _: True)
    assert [event.cgroup for event in events[:4]] == ["/root/a", "/root/a/b", "/root/web", "/root/web"]
    assert [event.details["task"]["pid"] for event in events[2:4]] == [7, 7]
    assert [event.details["reason"] for event in events[4:]] == ["removed with /a", "removed, 2 processes killed"]


class Guard(Subsystem):
    """Notes its calls; refuses containers and tasks that it is told to."""

    name = "guard"

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.refused: set[object] = set()
        self.locked: Any = None

    def create(self, container: Container) -> None:
        """Of a container by name."""
        self.calls.append(("create", container.name, container.existing))
        self._check(container.name)

    def destroy(self, container: Container) -> None:
        """Noted."""
        self.calls.append(("destroy", container.name))

    def can_attach(self, container: Container, task: Task) -> None:
        """Of a task by id."""
        self.calls.append(("can_attach", container.name, task.pid))
        self._check(task.pid)

    def attach(self, container: Container, origin: Container | None, task: Task) -> None:
        """Noted."""
        self.calls.append(("attach", container.name, origin and origin.name, task.pid, self.locked()))

    def post_attach(self, container: Container, origin: Container | None, task: Task) -> None:
        """Noted."""
        self.calls.append(("post_attach", container.name, origin and origin.name, task.pid, self.locked()))

    def populate(self, container: Container) -> list[Attribute]:
        """One."""
        return [Attribute("number", show=lambda: 7)]

    def _check(self, what: object) -> None:
        if what in self.refused:
            raise Refused("EPERM", f"not {what}")


@pytest.fixture
def guard(made: Service) -> Guard:
    """One that was registered before /web was made."""
    found = Guard()
    made.registry.register(BuiltIn(found))
    found.locked = made.lifecycle._changes._lock.locked
    found.calls.clear()
    return found


@pytest.mark.parametrize("refused", ["/a", "/a/b", "/a/b/c"])
def test_a_container_that_a_subsystem_refuses(made: Service, guard: Guard, refused: str) -> None:
    """Nothing is left of it and of the parents that were made for it, here and with the subsystem."""
    guard.refused.add(refused)
    assert code(made.lifecycle.create, "/a/b/c", New(parents=True), ROOT) == "EPERM"
    assert set(made.tree.ids) == {(), ("web",)} and made.told() == []
    created = [call[1] for call in guard.calls if call[0] == "create"]
    assert [call[1] for call in guard.calls if call[0] == "destroy"] == created[-2::-1]


def test_subsystems_hear_of_every_step(made: Service, guard: Guard) -> None:
    """Where a task was; post_attach when others may change things again; destroy after the removal."""
    made.cgroup = "/root/old"
    made.tree.create(("old",))
    made.membership.attach("/web", [7], True, ROOT)
    made.cgroup = "/root/web"
    made.membership.detach([7], ROOT)
    made.lifecycle.remove("/web", False, ROOT)
    assert guard.calls == [
        ("create", "/web", True),
        ("can_attach", "/web", 7),
        ("attach", "/web", "/old", 7, True),
        ("post_attach", "/web", "/old", 7, False),
        ("can_attach", "/", 7),
        ("attach", "/", "/web", 7, True),
        ("post_attach", "/", "/web", 7, False),
        ("destroy", "/web"),
    ]


def test_a_task_that_a_subsystem_refuses(made: Service, guard: Guard) -> None:
    """It stays; those before it were attached, which post_attach hears and the message says."""
    made.task(8)
    guard.refused.add(8)
    with pytest.raises(Refused, match=r"not 8; attached before: 7$"):
        made.membership.attach("/web", [7, 8], True, ROOT)
    assert made.tree.attached == [(("web",), 7)]
    assert [call[0] for call in guard.calls] == ["create", "can_attach", "attach", "can_attach", "post_attach"]


def test_a_container_that_was_there_and_is_refused(made: Service, guard: Guard) -> None:
    """It takes no tasks until it is not refused any more; it can be shown and removed."""
    guard.refused.add("/web")
    assert code(made.membership.attach, "/web", [7], True, ROOT) == "EPERM" and made.tree.attached == []
    assert "cpu.usage_seconds" in made.documents.show("/web")["attributes"]
    assert "guard.number" not in made.documents.show("/web")["attributes"]
    guard.refused.clear()
    assert made.documents.show("/web")["attributes"]["guard.number"] == 7
    assert made.membership.attach("/web", [7], True, ROOT) == [7]


def test_set_is_for_root(made: Service) -> None:
    """And for attributes that there are."""
    assert code(made.settings.set, "/web", {"cpu.usage_seconds": "0"}, USER) == "EACCES"
    assert code(made.settings.set, "/web", {"cpu.usage_seconds": "0"}, ROOT) == "EACCES"
    assert code(made.settings.set, "/web", {"num_tasks": "0"}, ROOT) == "EACCES"
    assert code(made.settings.set, "/web", {"none": "0"}, ROOT) == "ENOENT"
    assert code(made.settings.set, "/none", {"none": "0"}, ROOT) == "ENOENT"


def test_subsystems_of_our_own(made: Service) -> None:
    """By the same interface; their counters are those that show has."""
    found = {one["name"]: one for one in made.containers.subsystems.all()}
    assert list(found) == ["tasks", "pages", "cpu", "cpuset"] and all(one["built_in"] for one in found.values())
    shown = made.documents.show("/")
    flat = {attribute["name"] for name in ("tasks", "pages") for attribute in found[name]["attributes"]}
    assert flat <= set(shown) and not flat & set(shown["attributes"])


def test_limits_are_attributes_too(made: Service) -> None:
    """Set as `limit` sets them; when one is refused, those before it are what they were."""
    made.settings.set("/web", {"task_limit": "5", "page_limit": "1M"}, ROOT)
    assert made.keeper.asked == [(("web",), {"task_limit": "5"}), (("web",), {"page_limit": "1M"})]
    made.keeper.asked.clear()
    assert code(made.settings.set, "/web", {"task_limit": "7", "page_limit": "bad"}, ROOT) == "EINVAL"
    assert made.keeper.asked == [(("web",), {"task_limit": "7"}), (("web",), {"task_limit": "5"})]


def test_what_somebody_else_removed(made: Service, guard: Guard) -> None:
    """Subsystems hear of it; those that are there are left, counted or not."""
    made.lifecycle.create("/a", New(), ROOT)
    made.lifecycle.create("/b", New(), ROOT)
    guard.calls.clear()
    del made.tree.ids["a",]
    made.source.now = snapshot((1, 0))
    made.containers.subsystems.forget_gone()
    assert guard.calls == [("destroy", "/a")]


def test_containers_from_before(made: Service, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parents first, and only where somebody of others wants to know."""
    made.tree.create(("web", "db"))
    paths = {1: "/root", made.tree.ids["web",]: "/root/web", made.tree.ids["web", "db"]: "/root/web/db"}
    monkeypatch.setattr(made, "paths", lambda ids: [paths.get(number) for number in ids], raising=False)
    made.containers.subsystems.take_up()
    assert guard.calls == []
    monkeypatch.setattr(BuiltIn, "built_in", False)
    made.containers.subsystems.take_up()
    assert guard.calls == [("create", "/web", True), ("create", "/web/db", True)]


def test_top_and_names(made: Service) -> None:
    """Documents of few, with what only a live view asks for; page faults are unknown without a memory controller."""
    for name in ("/a", "/b", "/b/c"):
        made.lifecycle.create(name, New(), ROOT)
    found = made.documents.top(Wanted(limit=1, text="c", tree=True))
    assert [one["name"] for one in found["containers"]] == ["/b/c", "/b", "/"]
    assert (found["matched"], found["total"]) == (1, len(made.tree.ids)) and found["containers"][0][
        "page_faults"
    ] is None
    assert made.documents.show("/b")["page_faults"] is None
    assert made.documents.names("/b", False, 9) == ["/b", "/b/c"]
