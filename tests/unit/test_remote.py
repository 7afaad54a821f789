# SPDX-License-Identifier: Apache-2.0
"""Third-party subsystems in processes of their own: whatever they do, the caller goes on, in bounded time."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from containeragent.errors import Refused
from containeragent.events.bus import Bus
from containeragent.subsystems import assembly, installed
from containeragent.subsystems.api import Container
from containeragent.subsystems.attributes import Attributes
from containeragent.subsystems.perform import FAILED, request
from containeragent.subsystems.registry import Registry
from containeragent.subsystems.remote import LIVES, Remote

ROOT = Container("/", "/root", 1, "/fake")
WEB = Container("/web", "/root/web", 2, "/fake/web")
SECONDS = 0.5


ODD = """
import os, signal, sys, time
from containeragent.subsystems import Attribute, Refused, Subsystem

class Odd(Subsystem):
    name = "odd"
    made = []

    def _act(self, what):
        if what == "hangs": time.sleep(1000)
        if what == "deaf":
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32)); time.sleep(1000)
        if what == "exits": os._exit(3)
        if what == "dies": os.kill(os.getpid(), signal.SIGSEGV)
        if what == "quits": sys.exit(4)
        if what == "raises": raise RuntimeError("as it was told")
        if what == "no": raise Refused("EPERM", "as it was told")
        if what == "says yes": return True
        if what == "odd code": raise Refused("NOSUCH", "x")
        if what == "prints": print("{}"); print("[", file=sys.stderr); sys.stdout.flush()
        if what == "closes": os.closerange(3, 4096)

    def create(self, container):
        self.made.append(container.name)
        return self._act(container.name.strip("/"))

    def populate(self, container):
        large = [Attribute("text", show=lambda: "\\u2588" * 4096, help="h" * 999) for _ in range(1)]
        if container.name == "/large":
            return [Attribute("x" + str(n), show=lambda: "\\u2588" * 4096) for n in range(64)]
        return [Attribute("made", show=lambda: " ".join(self.made), set=self._act), *large]

class Elsewhere(Odd):
    name = "elsewhere"

class Broken(Odd):
    def __init__(self): raise OSError("no such device")

class Slow(Odd):
    def __init__(self): time.sleep(1000)

class Empty: pass
"""


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Remote]]:
    """Makes members of the classes above."""
    (tmp_path / "odd.py").write_text(ODD)
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[Remote] = []

    def make(name: str = "Odd") -> Remote:
        made.append(Remote("odd", f"odd:{name}", SECONDS))
        return made[-1]

    yield make
    for member in made:
        member.close()


def process(member: Remote) -> int:
    """Its id."""
    assert member._process
    return member._process.pid


def create(member: Remote, what: str) -> tuple[str, str]:
    """Code and reason of a call that does something."""
    reply = member.call(request("create", Container(f"/{what}", "", 3, "")))
    return reply.code, reply.reason


def test_what_it_says_comes_back(odd: Callable[[], Remote]) -> None:
    """It runs in a process of its own, which is the same all the time; what it prints is not taken for an answer."""
    member = odd()
    member.start()
    before = process(member)
    assert before != os.getpid() and member.hooks == {"create", "populate"}
    assert create(member, "web") == create(member, "prints") == ("", "")
    assert create(member, "no") == ("EPERM", "as it was told")
    assert process(member) == before and member.lives == 0


@pytest.mark.parametrize(
    "what, reason",
    [
        ("raises", "RuntimeError: as it was told"),
        ("quits", "SystemExit: 4"),
        ("says yes", "it returned True"),
        ("odd code", "no errno name"),
    ],
)
def test_one_that_fails_stays(odd: Callable[[], Remote], what: str, reason: str) -> None:
    """As often as it likes: it costs no time."""
    member = odd()
    member.start()
    before = process(member)
    for _ in range(5):
        code, said = create(member, what)
        assert code == FAILED and reason in said
    assert process(member) == before and not member.off


@pytest.mark.parametrize(
    "what, reason",
    [
        ("hangs", "did not return from create within 0.5 s"),
        ("deaf", "did not return from create within 0.5 s"),
        ("exits", "ended with 3"),
        ("dies", f"ended by signal {signal.SIGSEGV}"),
        ("closes", ""),
    ],
)
def test_one_that_is_lost_begins_anew(odd: Callable[[], Remote], what: str, reason: str) -> None:
    """In time, in another process, without what it knew; after three in a row it stays off."""
    member = odd()
    member.start()
    before = process(member)
    started = time.monotonic()
    code, said = create(member, what)
    assert code == FAILED and reason in said and time.monotonic() - started < SECONDS + 3
    assert not Path(f"/proc/{before}").exists()
    assert create(member, "web") == ("", "") and process(member) != before and member.lives == 1
    for _ in range(LIVES):
        assert not member.off
        assert create(member, what)[0] == FAILED
    assert f"{LIVES} times in a row" in member.off
    started = time.monotonic()
    assert create(member, "web") == (FAILED, member.off) and time.monotonic() - started < 0.1
    assert member._process is None


def test_a_large_answer(odd: Callable[[], Remote]) -> None:
    """It is bounded, not read to the end."""
    member = odd()
    member.start()
    reply = member.call(request("show", Container("/large", "", 3, "")))
    assert reply.code == FAILED and "more than" in reply.reason


@pytest.mark.parametrize(
    "target, reason",
    [
        ("odd:None_", "AttributeError"),
        ("nowhere:X", "ModuleNotFoundError"),
        ("odd:Elsewhere", "calls itself 'elsewhere'"),
        ("odd:Broken", "no such device"),
        ("odd:Empty", "no hook"),
    ],
)
def test_one_that_cannot_be_used(odd: Callable[[], Remote], target: str, reason: str) -> None:
    """It says why; its process is gone."""
    odd()
    member = Remote("odd", target, SECONDS)
    with pytest.raises(Refused, match=reason):
        member.start()
    assert member._process is None


def test_one_that_does_not_start(odd: Callable[[str], Remote], monkeypatch: pytest.MonkeyPatch) -> None:
    """In bounded time."""
    monkeypatch.setattr("containeragent.subsystems.remote.START_SECONDS", 1.5)
    with pytest.raises(Refused, match=r"within 1\.5 s"):
        odd("Slow").start()


def test_no_process_is_to_be_had(odd: Callable[[], Remote], monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure like any other."""
    member = odd()
    member.start()
    assert create(member, "exits")[0] == FAILED
    monkeypatch.setattr("sys.executable", "/nowhere/python3")
    assert create(member, "web") == (FAILED, "its process cannot be started: No such file or directory")
    monkeypatch.undo()
    assert member.lives == 2


def test_it_ends_with_the_agent(odd: Callable[[], Remote]) -> None:
    """Also one that hangs: the agent may be killed."""
    member = odd()
    member.start()
    number = process(member)
    assert member._socket and member._process
    asked = request("create", Container("/hangs", "", 3, ""))
    member._socket.sendall(json.dumps(asked).encode() + b"\n")
    time.sleep(0.2)  # so that it hangs by then; if it does not, it ends all the sooner
    member._socket.close()
    member._process.wait(timeout=20)
    assert not Path(f"/proc/{number}").exists()


def test_who_lost_its_memory_is_told_of_containers_again(odd: Callable[[], Remote]) -> None:
    """Before it is asked anything of them."""
    bus = Bus()
    registry = Registry(ROOT, bus)
    registry.register(odd())
    registry.create(WEB)
    attributes = Attributes(registry, bus)
    assert attributes.shown(WEB)["odd.made"] == "/ /web"
    with pytest.raises(Refused, match="did not return"):
        registry.create(Container("/hangs", "", 3, ""))
    assert not registry.knows(WEB) and not registry.knows(ROOT)
    registry.take_up(ROOT)
    registry.take_up(WEB)
    assert attributes.shown(WEB)["odd.made"] == "/ /web" and registry.failures == {"odd": 1}
    with pytest.raises(Refused, match="as it was told"):
        attributes.set(WEB, {"odd.made": "no"})
    registry.close()


def test_one_that_is_off_has_no_say(odd: Callable[[], Remote]) -> None:
    """Containers are made as if it were not there; the doctor's check says so."""
    registry = Registry(ROOT, Bus())
    registry.register(odd())
    for number in range(LIVES):
        with pytest.raises(Refused):
            registry.create(Container("/exits", "", 10 + number, ""))
    registry.create(WEB)
    assert registry.knows(WEB)
    assert [(check.name, check.status) for check in registry.checks()] == [("subsystem odd", "no")]
    registry.close()


def test_what_is_installed(odd: Callable[[], Remote], tmp_path: Path) -> None:
    """Entry points by name; those that are wanted; what cannot be used is left out and told."""
    entry_points = tmp_path / "odd-1.dist-info" / "entry_points.txt"
    entry_points.parent.mkdir()
    (entry_points.parent / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1\n")
    entry_points.write_text("[containeragent.subsystems]\nzzz = odd:Odd\nodd = odd:Odd\n")
    assert [name for name in installed.found() if name in ("odd", "zzz")] == ["odd", "zzz"]
    registry = Registry(ROOT, Bus())
    assembly.add_others(registry, ROOT, "zzz, none odd", SECONDS)
    assert [member.name for member in registry.members] == ["odd"]
    assert sorted(registry.refused) == ["none", "zzz"] and registry.failures == {"none": 1, "zzz": 1}
    registry.close()


@pytest.mark.parametrize("setting, names", [("all", None), ("", []), ("a", ["a"]), ("b, a", ["b", "a"])])
def test_wanted(setting: str, names: list[str] | None) -> None:
    """As config.toml has it."""
    assert installed.wanted(setting) == names
