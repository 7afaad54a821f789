# SPDX-License-Identifier: Apache-2.0
"""Moves of tasks: what was looked at is what is moved, also when its id becomes another's in between."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from containeragent.cgroups.naming import Names
from containeragent.containers import moving
from containeragent.containers.caller import Caller
from containeragent.containers.moving import Mover
from containeragent.errors import Refused
from containeragent.events.bus import Bus
from containeragent.host import process
from containeragent.host.process import Process
from containeragent.subsystems.api import Task

ROOT = Caller(uid=0, pid=os.getpid())
USER = Caller(uid=60001, pid=os.getpid())


class Made:
    """A mover whose surroundings note what they are asked; `cgroup` is where every task is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cgroup = "/elsewhere"
        self.asked: list[tuple[Any, ...]] = []
        self.before_attach: Callable[[], None] = lambda: None
        self.bus = Bus()
        self.task: Task | None = None  # as subsystems are told of it
        note = self.asked.append

        @contextlib.contextmanager
        def attaching(*arguments: Any) -> Iterator[None]:
            note(("attaching", *arguments[:2]))
            self.task = arguments[2]
            self.before_attach()
            yield

        monkeypatch.setattr(moving, "cgroup_of", lambda _: self.cgroup)
        self.mover = Mover(
            cast(Any, SimpleNamespace(directories=tuple, attach=lambda *told: note(("written", *told)))),
            Names("/c"),
            self.bus,
            cast(Any, SimpleNamespace(check=lambda *told: note(("admission", *told)))),
            involved=cast(Any, SimpleNamespace(attaching=attaching)),
            permissions=cast(Any, SimpleNamespace(demand_way=lambda *told: note(("way", *told[:2])))),
        )

    def attach(self, *pids: int, move: bool = True, caller: Caller = ROOT) -> list[int]:
        """Into /web."""
        return self.mover.attach(("web",), list(pids), move, caller, [])

    def written(self) -> list[tuple[Any, ...]]:
        """What came to cgroup.procs."""
        return [one[1:] for one in self.asked if one[0] == "written"]

    def told(self) -> list[tuple[str, str, Any]]:
        """Kind, container and origin of the events."""
        return [(event.kind, event.container, event.details.get("origin")) for event in self.bus.recent(lambda _: True)]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """A mover."""
    return Made(monkeypatch)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process of root's."""
    with subprocess.Popen(["sleep", "1000"]) as started:
        yield started
        started.kill()


def refused(call: Callable[[], Any]) -> tuple[str, str]:
    """Code and message."""
    with pytest.raises(Refused) as caught:
        call()
    return caught.value.code, caught.value.message


def test_attach(made: Made, sleeper: subprocess.Popen[bytes]) -> None:
    """Allowed, admitted, told to subsystems, written, published, in this order."""
    made.cgroup = "/c/db/sub"
    assert made.attach(sleeper.pid) == [sleeper.pid]
    assert made.asked == [
        ("way", ("db", "sub"), ("web",)),
        ("admission", ("web",), ("db", "sub"), 1),
        ("attaching", ("web",), "/db/sub"),
        ("written", ("web",), sleeper.pid),
    ]
    (event,) = made.bus.recent(lambda _: True)
    assert (event.kind, event.container, event.cgroup) == ("attached", "/web", "/c/web")
    assert event.details == {"task": {"pid": sleeper.pid, "comm": "sleep"}, "origin": "/db/sub"}


def test_zero_is_the_caller(made: Made) -> None:
    """With its own id in what is answered."""
    assert made.attach(0) == [os.getpid()] and made.written() == [(("web",), os.getpid())]


def test_a_name_of_odd_bytes(made: Made) -> None:
    """Any process can give itself one."""
    own = Path("/proc/self/comm")
    before = own.read_bytes()
    try:
        own.write_bytes(b"\xffodd")
        made.attach(0)
    finally:
        own.write_bytes(before.strip())
    (event,) = made.bus.recent(lambda _: True)
    assert event.details["task"] == {"pid": os.getpid(), "comm": "\\xffodd"}


@pytest.mark.parametrize(
    ("cgroup", "allowed"), [("/elsewhere", True), ("/c", True), ("/c/web", True), ("/c/db", False), ("/c/web/x", False)]
)
def test_no_move(made: Made, sleeper: subprocess.Popen[bytes], cgroup: str, allowed: bool) -> None:
    """Out of no other container."""
    made.cgroup = cgroup
    if allowed:
        assert made.attach(sleeper.pid, move=False) == [sleeper.pid]
        return
    code, message = refused(lambda: made.attach(sleeper.pid, move=False))
    inside = cgroup.removeprefix("/c")
    assert (code, message) == (
        "EBUSY",
        f"task {sleeper.pid} is in container {inside} already, and --no-move was given",
    )
    assert made.written() == []


def test_detach(made: Made, sleeper: subprocess.Popen[bytes]) -> None:
    """To the cgroup root, whether it was in the container itself or in its leaf."""
    for cgroup in ("/c/web", "/c/web/-tasks"):
        made.cgroup = cgroup
        assert made.mover.detach([sleeper.pid], ROOT, []) == [sleeper.pid]
    assert made.written() == [((), sleeper.pid)] * 2 and made.told() == [("detached", "/web", None)] * 2
    assert {one for one in made.asked if one[0] == "way"} == {("way", ("web",), ())}
    assert {event.cgroup for event in made.bus.recent(lambda _: True)} == {"/c/web"}
    for cgroup in ("/c", "/elsewhere"):
        made.cgroup = cgroup
        code, message = refused(lambda: made.mover.detach([sleeper.pid], ROOT, []))
        assert (code, message) == (
            "EINVAL",
            f"task {sleeper.pid} is in no container; see containerctl which {sleeper.pid}",
        )


@pytest.mark.parametrize("cgroup", ["/elsewhere", "/cc/web", "/"])
def test_from_outside(made: Made, sleeper: subprocess.Popen[bytes], cgroup: str) -> None:
    """It is taken out of no container."""
    made.cgroup = cgroup
    made.attach(sleeper.pid)
    assert made.asked[:2] == [("way", None, ("web",)), ("admission", ("web",), None, 1)]
    assert made.told() == [("attached", "/web", None)]


def test_from_a_renamed_one(made: Made, sleeper: subprocess.Popen[bytes]) -> None:
    """Who may is decided by its name, room is looked for in its place; what has no name counts by its place."""
    made.mover._names.rename(("db",), 7, "data")
    made.cgroup = "/c/db/sub"
    made.attach(sleeper.pid)
    assert made.asked[:2] == [("way", ("data", "sub"), ("web",)), ("admission", ("web",), ("db", "sub"), 1)]
    made.asked.clear()
    made.cgroup = "/c/data/sub"
    made.attach(sleeper.pid)
    assert made.asked[:2] == [("way", ("data", "sub"), ("web",)), ("admission", ("web",), None, 1)]
    assert made.told() == [("attached", "/web", "/data/sub"), ("attached", "/web", None)]


def test_one_of_several_is_refused(made: Made, sleeper: subprocess.Popen[bytes]) -> None:
    """Those before are moved, and named; those after are not."""
    assert refused(lambda: made.attach(-1)) == ("EINVAL", "-1 is not a task id")
    code, message = refused(lambda: made.attach(sleeper.pid, 0, -1, sleeper.pid))
    assert (code, message) == ("EINVAL", f"-1 is not a task id; attached before: {sleeper.pid}, {os.getpid()}")
    assert [one[1] for one in made.written()] == [sleeper.pid, os.getpid()]
    made.cgroup = "/c/web"
    code, message = refused(lambda: made.mover.detach([sleeper.pid, -1], ROOT, []))
    assert (code, message) == ("EINVAL", f"-1 is not a task id; detached before: {sleeper.pid}")


def test_who_may_not_be_moved(made: Made, sleeper: subprocess.Popen[bytes]) -> None:
    """Others' tasks, kernel threads, what has ended."""
    code, message = refused(lambda: made.attach(sleeper.pid, caller=USER))
    assert code == "EACCES" and message.startswith(f"task {sleeper.pid} belongs to user 0; only that user or root")
    assert refused(lambda: made.attach(2)) == (
        "EINVAL",
        "task 2 is a kernel thread; only processes can be in a container",
    )
    sleeper.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    code, message = refused(lambda: made.attach(sleeper.pid))
    assert (code, message) == (
        "ESRCH",
        f"task {sleeper.pid} has ended and only waits for its parent (a zombie)",
    )
    sleeper.wait()
    assert refused(lambda: made.attach(sleeper.pid)) == ("ESRCH", f"there is no task {sleeper.pid}")
    assert made.written() == []


def test_one_of_its_users(made: Made, monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes]) -> None:
    """Real, effective or saved; root moves everybody's."""
    for uids in ((60001, 0, 0), (0, 60001, 0), (0, 0, 60001)):
        monkeypatch.setattr(process, "look_up", lambda _, uids=uids: Process(sleeper.pid, uids, False, False))
        assert made.attach(sleeper.pid, caller=USER) == [sleeper.pid]
    monkeypatch.setattr(process, "look_up", lambda _: Process(sleeper.pid, (60001,) * 3, False, False))
    assert made.attach(sleeper.pid, caller=ROOT) == [sleeper.pid]
    monkeypatch.setattr(process, "look_up", lambda _: Process(sleeper.pid, (1, 2, 3), False, False))
    assert "belongs to user 1;" in refused(lambda: made.attach(sleeper.pid, caller=USER))[1]
    made.attach(sleeper.pid)
    assert made.task == Task(sleeper.pid, 1)


def test_its_id_is_anothers_when_it_is_held(
    made: Made, monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes]
) -> None:
    """The user's process ended between the look and the descriptor, and root's has its id now."""
    looks = [Process(sleeper.pid, (60001,) * 3, False, False), Process(sleeper.pid, (0,) * 3, False, False)]
    monkeypatch.setattr(process, "look_up", lambda _: looks.pop(0))
    code, message = refused(lambda: made.attach(sleeper.pid, caller=USER))
    assert code == "EACCES" and "belongs to user 0" in message and made.written() == []


def test_it_ends_before_the_descriptor(
    made: Made, monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes]
) -> None:
    """And nobody has its id yet."""
    sleeper.kill()
    sleeper.wait()
    monkeypatch.setattr(process, "look_up", lambda pid: Process(pid, (0,) * 3, False, False))
    assert refused(lambda: made.attach(sleeper.pid)) == ("ESRCH", f"there is no task {sleeper.pid}")


def test_it_ends_while_subsystems_are_asked(made: Made, sleeper: subprocess.Popen[bytes]) -> None:
    """Nothing is written: its id may be another's by then."""

    def end() -> None:
        sleeper.kill()
        sleeper.wait()

    made.before_attach = end
    assert refused(lambda: made.attach(sleeper.pid)) == ("ESRCH", f"task {sleeper.pid} has ended meanwhile")
    assert made.written() == [] and made.told() == []


def test_descriptors_are_closed(made: Made, sleeper: subprocess.Popen[bytes]) -> None:
    """Whatever comes of it."""
    before = os.listdir("/proc/self/fd")
    made.attach(sleeper.pid)
    with pytest.raises(Refused):
        made.attach(sleeper.pid, caller=USER)
    made.before_attach = lambda: (_ for _ in ()).throw(Refused("EBUSY", "no"))
    with pytest.raises(Refused):
        made.attach(sleeper.pid)
    assert os.listdir("/proc/self/fd") == before


def test_where_a_task_is() -> None:
    """Its cgroup, or ESRCH."""
    assert moving.cgroup_of(os.getpid()).startswith("/")
    assert refused(lambda: moving.cgroup_of(2**30)) == ("ESRCH", f"there is no task {2**30}")


def test_a_task_as_events_name_it(tmp_path: Path) -> None:
    """Without a name when it has gone."""
    assert moving._task(2**30) == {"pid": 2**30, "comm": None}


def test_it_ends_after_the_descriptor(
    made: Made, monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes]
) -> None:
    """What was looked at since may be another: nobody is even asked."""
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    monkeypatch.setattr(process, "look_up", lambda pid: Process(pid, (0,) * 3, False, False))
    assert refused(lambda: made.attach(sleeper.pid)) == ("ESRCH", f"task {sleeper.pid} has ended meanwhile")
    assert made.asked == []
