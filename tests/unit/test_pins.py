# SPDX-License-Identifier: Apache-2.0
"""The folder of pins: published whole or not at all, locked by one, and gone when it is removed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from containeragent import libbpf, pins as module, turn
from containeragent.errors import Refused
from containeragent.pins import KINDS, Pins

OBJECTS = {"maps": {"rows": 3, "stamp": 4}, "programs": {"fork": 5}, "links": {"fork": 6}}
NEWER = {"maps": {"rows": 7}, "programs": {"exit": 8}, "links": {"exit": 9}}


@pytest.fixture
def pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pins:
    """An ordinary folder, where a pin is a file that says whose descriptor it is."""
    monkeypatch.setattr(libbpf, "obj_pin", lambda fd, path: Path(path).write_text(str(fd)))
    pins = Pins(tmp_path / "bpffs" / "containeragent")
    pins.make_folder()
    return pins


def _tree(pins: Pins) -> dict[str, dict[str, int]]:
    return {kind: {name: int((pins.live / kind / name).read_text()) for name in pins.names(kind)} for kind in KINDS}


def test_publish(pins: Pins) -> None:
    """Everything is live at once, for root only."""
    assert not pins.loaded() and pins.names("maps") == [] and pins.stamp() is None
    pins.publish(OBJECTS)
    assert pins.loaded() and _tree(pins) == OBJECTS
    assert [path.name for path in pins.folder.iterdir()] == ["live"]
    assert pins.folder.stat().st_mode & 0o777 == 0o700


def test_publish_again(pins: Pins) -> None:
    """The new ones take the place of the old ones, of which nothing stays."""
    pins.publish(OBJECTS)
    pins.publish(NEWER)
    assert _tree(pins) == NEWER
    assert [path.name for path in pins.folder.iterdir()] == ["live"]


@pytest.mark.parametrize("others_hold", [False, True])
def test_maps_outlive_what_counts_into_them(pins: Pins, monkeypatch: pytest.MonkeyPatch, others_hold: bool) -> None:
    """The kernel detaches some time after the links are gone; a program that somebody holds is not waited for long."""
    asked: list[int] = []

    def is_loaded(program: int) -> bool:
        asked.append(program)
        (retired,) = pins.folder.glob("retired-*")
        assert [path.name for path in retired.iterdir()] == ["maps"] and len(list((retired / "maps").iterdir())) == 2
        return others_hold or len(asked) < 3

    pins.publish(OBJECTS)
    monkeypatch.setattr(libbpf, "obj_get", lambda path: os.open(path, os.O_RDONLY))
    monkeypatch.setattr(libbpf, "program_of_link", lambda fd: int(os.read(fd, 9)) + 100)
    monkeypatch.setattr(libbpf, "is_loaded", is_loaded)
    monkeypatch.setattr(module, "_END_SECONDS", 0.1)
    pins.publish(NEWER)
    assert set(asked) == {106} and len(asked) >= 3
    assert _tree(pins) == NEWER and [path.name for path in pins.folder.iterdir()] == ["live"]


@pytest.mark.parametrize("fails_at", range(4))
def test_publish_fails(pins: Pins, monkeypatch: pytest.MonkeyPatch, fails_at: int) -> None:
    """Whichever pin cannot be made, what was live is live."""
    pins.publish(OBJECTS)
    done: list[str] = []

    def pin(fd: int, path: str) -> None:
        if len(done) == fails_at:
            raise OSError(errno.ENOSPC, path)
        done.append(path)
        Path(path).write_text(str(fd))

    monkeypatch.setattr(libbpf, "obj_pin", pin)
    with pytest.raises(Refused) as refused:
        pins.publish(OBJECTS)
    assert refused.value.code == "ENOSPC"
    assert _tree(pins) == OBJECTS
    assert [path.name for path in pins.folder.iterdir()] == ["live"]


def test_publish_fails_the_first_time(pins: Pins, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is live, nothing is left."""

    def pin(_fd: int, path: str) -> None:
        raise OSError(errno.EPERM, path)

    monkeypatch.setattr(libbpf, "obj_pin", pin)
    with pytest.raises(Refused):
        pins.publish(OBJECTS)
    assert not pins.loaded() and list(pins.folder.iterdir()) == []


@pytest.mark.parametrize("at", ["loading-", "ready-", "live"])
def test_publish_cannot_take_the_place(pins: Pins, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """The old ones may have been set aside already: they come back."""
    pins.publish(OBJECTS)
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name.startswith(at):
            raise OSError(errno.EBUSY, str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(Refused):
        pins.publish(NEWER)
    assert _tree(pins) == OBJECTS
    assert [path.name for path in pins.folder.iterdir()] == ["live"]


class Killed(BaseException):
    """As a SIGKILL does, it leaves everything as it is."""


@pytest.mark.parametrize("at", ["ready-", "live"])
def test_killed_while_taking_the_place(pins: Pins, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """Once all were pinned and the turn may have been taken, the new ones are live after the next look."""
    pins.publish(OBJECTS)
    rename, given = Path.rename, []

    def step(path: Path, target: Path) -> Path:
        if path.name.startswith(at):
            raise Killed
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", step)
    monkeypatch.setattr(libbpf, "obj_get", lambda path: os.open(Path(path).parent, os.O_RDONLY))
    monkeypatch.setattr(turn, "give", lambda turns, cpus, number: given.append(number))
    with pytest.raises(Killed):
        pins.publish(NEWER, 5, lambda: None)
    monkeypatch.setattr(Path, "rename", rename)
    assert pins.finish_interrupted() and given == [5]
    assert _tree(pins) == NEWER
    assert not pins.finish_interrupted()
    pins.publish(OBJECTS)
    assert [path.name for path in pins.folder.iterdir()] == ["live"]


def test_killed_while_pinning(pins: Pins, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has taken the turn: what was live is live."""
    pins.publish(OBJECTS)

    def pin(_fd: int, _path: str) -> None:
        raise Killed

    monkeypatch.setattr(libbpf, "obj_pin", pin)
    with pytest.raises(Killed):
        pins.publish(NEWER, 5, lambda: None)
    assert not pins.finish_interrupted() and _tree(pins) == OBJECTS


def test_leftovers(pins: Pins) -> None:
    """What interrupted loads left goes with the next one; what is not a loader's stays."""
    for name in ("loading-1", "retired-2"):
        (pins.folder / name / "links").mkdir(parents=True)
        (pins.folder / name / "links" / "fork").write_text("")
    (pins.folder / "agent").mkdir()
    pins.publish(OBJECTS)
    assert sorted(path.name for path in pins.folder.iterdir()) == ["agent", "live"]


def test_remove(pins: Pins) -> None:
    """Pins, lock folder and folder; once more is harmless where the folder is there."""
    pins.publish(OBJECTS)
    with pins.agent_lock():
        pass
    pins.remove()
    assert not pins.folder.exists()


def test_remove_takes_links_first(pins: Pins, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing counts into maps that are going."""
    pins.publish(OBJECTS)
    gone: list[str] = []
    unlink = Path.unlink

    def note(path: Path, missing_ok: bool = False) -> None:
        gone.append(path.parent.name)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", note)
    pins.remove()
    assert gone == ["links", "programs", "maps", "maps"]


def test_one_loader(pins: Pins) -> None:
    """The second one is told at once, and may when the first is done."""
    with pins.loader_lock():
        with pytest.raises(Refused, match="another load or unload") as refused, Pins(pins.folder).loader_lock():
            pass
        assert refused.value.code == "EBUSY"
    with Pins(pins.folder).loader_lock():
        pass


def test_one_agent_beside_a_loader(pins: Pins) -> None:
    """An agent does not keep a loader out, but another agent."""
    with pins.agent_lock(), Pins(pins.folder).loader_lock():
        with pytest.raises(Refused, match="an agent is running") as refused, Pins(pins.folder).agent_lock():
            pass
        assert refused.value.code == "EBUSY"


def test_damaged_pin(pins: Pins, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the pin and what to do."""
    pins.publish(OBJECTS)

    def fail(path: str) -> int:
        raise OSError(errno.EACCES, path)

    monkeypatch.setattr(libbpf, "obj_get", fail)
    with pytest.raises(Refused, match=r"live/maps/stamp cannot be opened: permission denied; run as root") as refused:
        pins.stamp()
    assert refused.value.code == "EACCES"


def test_stamp(pins: Pins, monkeypatch: pytest.MonkeyPatch) -> None:
    """The descriptor is closed whatever the stamp says."""
    pins.publish(OBJECTS)
    opened = [os.open(os.devnull, os.O_RDONLY)]
    monkeypatch.setattr(libbpf, "obj_get", lambda path: opened[0])
    monkeypatch.setattr(libbpf, "map_lookup", lambda fd, key, size: None)
    with pytest.raises(Refused, match="no stamp"):
        pins.stamp()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[0])
