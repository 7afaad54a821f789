# SPDX-License-Identifier: Apache-2.0
"""Files of containers: who may, what is refused, and what is told; the kernel side is a dictionary here."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from containeragent.containers import files as subject
from containeragent.containers.lifecycle import New
from containeragent.counters.charged import Cached, ChargedFile, ChargedFiles, FileKey
from containeragent.errors import Refused
from tests.unit.test_service import ROOT, USER, Service, made

__all__ = ["made"]
MAPPING = 0xFFFF_0000


class FakeCharged:
    """Keys are inode numbers. `dead` are cgroups that are gone."""

    def __init__(self) -> None:
        self.all: dict[FileKey, ChargedFile] = {}
        self.dead: set[int] = set()
        self.generation = (0, 0)
        self.fails = 0
        self.known: Cached | None = Cached(5, 1)

    @contextlib.contextmanager
    def found(self, descriptor: int) -> Iterator[tuple[FileKey, int]]:
        if self.fails:
            raise OSError(self.fails, os.strerror(self.fails))
        yield FileKey(os.fstat(descriptor).st_ino, 254 << 20 | 7, 1), MAPPING

    def entry(self, key: FileKey) -> ChargedFile | None:
        return self.all.get(key)

    def entries(self) -> list[ChargedFile]:
        return list(self.all.values())

    def lives(self, cgroup_id: int) -> bool:
        return cgroup_id not in self.dead

    def charge(self, key: FileKey, mapping: int, cgroup_id: int, path: str) -> int:
        self.all[key] = ChargedFile(key, cgroup_id, path, mapping)
        return 3

    def release(self, key: FileKey) -> bool:
        return self.all.pop(key, None) is not None

    def prune(self) -> None:
        self.all = {key: entry for key, entry in self.all.items() if self.lives(entry.cgroup_id)}

    def cached(self, entry: ChargedFile) -> Cached | None:
        return self.known


class Made:
    """The service with two containers, and a file."""

    def __init__(self, service: Service, path: Path) -> None:
        self.service = service
        self.charged = FakeCharged()
        self.as_charged = cast(ChargedFiles, self.charged)
        service.source.files = self.as_charged
        self.files = service.containers.files
        service.lifecycle.create("/db", New(), ROOT)
        self.path = path
        path.write_text("x")

    def add(self, name: str = "/web", path: Path | None = None, flags: int = os.O_RDONLY) -> dict[str, object]:
        """An open file."""
        descriptor = os.open(path or self.path, flags)
        try:
            return self.files.add(name, descriptor, ROOT)
        finally:
            os.close(descriptor)

    def told(self) -> list[str]:
        """Messages about files."""
        events = self.service.bus.recent(lambda event: event.kind.startswith("file_"))
        return [f"{event.container}: {event.message}" for event in events]


@pytest.fixture
def files(made: Service, tmp_path: Path) -> Made:
    """A fresh one."""
    return Made(made, tmp_path / "file")


def code(call: object, *arguments: object) -> str:
    """Of what is refused, with its one line."""
    with pytest.raises(Refused) as caught:
        call(*arguments)  # type: ignore[operator]
    assert "\n" not in caught.value.message
    return f"{caught.value.code} {caught.value.message}"


def test_add_list_remove(files: Made) -> None:
    """By the file itself, under whatever name."""
    document = files.add()
    shown = {
        "path": str(files.path),
        "container": "/web",
        "device": "254:7",
        "inode": files.path.stat().st_ino,
        "cached_pages": 5,
        "removed": False,
    }
    assert document == shown | {"moved_pages": 3}
    assert files.add() == document  # again: what came meanwhile is moved
    assert files.files.of("/web")["files"] == [shown] and files.files.of("/db")["files"] == []
    moved = files.path.rename(files.path.with_name("other"))
    with moved.open() as file:
        assert files.files.remove("/web", file.fileno(), str(moved), ROOT)["path"] == str(files.path)
    assert not files.charged.all
    assert files.told()[-1] == f"/web: file {files.path} is not charged to it any more: removed"


def test_remove_by_path(files: Made) -> None:
    """Of a file that cannot be opened any more, or whose name another has."""
    files.add()
    files.path.unlink()
    files.path.with_name("between").write_text("takes the inode")
    files.path.write_text("another")
    with files.path.open() as file:
        assert code(files.files.remove, "/db", file.fileno(), str(files.path), ROOT).startswith("ENOENT")
        files.files.remove("/web", file.fileno(), str(files.path), ROOT)
    files.add()
    files.files.remove("/web", None, str(files.path), ROOT)
    assert code(files.files.remove, "/web", None, str(files.path), ROOT).startswith("ENOENT")


def test_of_another_container(files: Made) -> None:
    """It is named, unless it is gone."""
    files.add()
    assert "charged to container /web; remove it there" in code(files.add, "/db")
    files.charged.dead.add(files.service.tree.ids[("web",)])
    assert files.add("/db")["container"] == "/db"


def test_who_may(files: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root; the container's owner what is his own file."""
    real, uid = os.fstat, USER.uid

    def fstat(descriptor: int) -> os.stat_result:
        found = list(real(descriptor))
        found[4] = uid
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", fstat)
    with files.path.open() as file:
        assert code(files.files.add, "/web", file.fileno(), USER).startswith("EACCES only root may charge files to")
        assert code(files.files.remove, "/web", file.fileno(), "", USER).startswith("EACCES only root")
        files.service.settings.own("/web", USER.uid, ROOT)
        assert files.files.add("/web", file.fileno(), USER)["container"] == "/web"
        assert files.files.remove("/web", file.fileno(), "", USER)["name"] == "/web"
        uid = 0
        refused = code(files.files.add, "/web", file.fileno(), USER)
        assert refused.startswith("EACCES only root and its owner may charge file")
    assert not files.charged.all


def test_what_is_refused(files: Made, tmp_path: Path) -> None:
    """With its reason."""
    os.mkfifo(tmp_path / "pipe")
    assert code(files.add, "/web", tmp_path, os.O_PATH).endswith("is a directory; only regular files can be charged")
    assert "is a pipe" in code(files.add, "/web", tmp_path / "pipe", os.O_PATH)
    assert "is a device" in code(files.add, "/web", Path("/dev/null"))
    assert code(files.add, "/web", Path("/proc/self/status")).startswith("ENOTSUP")
    assert code(files.files.add, "/web", None, ROOT).startswith("EINVAL no open file")
    assert code(files.add, "/gone").startswith("ENOENT")
    assert code(files.add, "/other").startswith("EPERM cgroup /other is not managed, so it can have no files")
    files.charged.fails = errno.ENODEV
    assert code(files.add).startswith("ENOTSUP") and not files.charged.all


def test_without_bpf(files: Made) -> None:
    """The kernel decides alone."""
    files.service.source.files = None
    assert code(files.add).startswith("ENOTSUP engine tracepoint cannot")
    assert code(files.files.of, "/web").startswith("ENOTSUP")
    files.files.upkeep()


def test_a_removed_file(files: Made) -> None:
    """Its path has no mark of the kernel's; unknown is None."""
    with files.path.open() as file:
        files.path.unlink()
        assert subject.path_of(file.fileno()) == str(files.path)
        files.charged.known = Cached(2, 0)
        assert files.files.add("/web", file.fileno(), ROOT)["removed"] is True
    files.charged.known = None
    (shown,) = files.files.of("/web")["files"]
    assert (shown["cached_pages"], shown["removed"]) == (None, None)


def test_upkeep(files: Made) -> None:
    """A file that is no more is told; of a container that is no more its files are not."""
    files.files.upkeep()
    files.add()
    other = files.path.with_name("other")
    other.write_text("y")
    files.add("/db", other)
    key = next(iter(files.charged.all))
    del files.charged.all[key]
    files.charged.dead.add(files.service.tree.ids.pop(("db",)))
    before = files.told()
    files.files.upkeep()
    assert files.told() == before  # the kernel side has said nothing yet
    files.charged.generation = (1, 1)
    files.files.upkeep()
    assert files.told()[len(before) :] == [
        f"/web: file {files.path} is not charged to it any more: the file is no more"
    ]
    assert not files.charged.all


def test_counting_anew(files: Made) -> None:
    """Programs that begin with empty maps get what is known."""
    files.files.upkeep()
    files.add()
    files.service.source.files = cast(ChargedFiles, anew := FakeCharged())
    files.files.upkeep()
    assert anew.all == files.charged.all


def test_keys() -> None:
    """As the kernel side has them: u64, u32, u32."""
    key = FileKey(0x1122334455667788, 0xFE000007, 0xAABBCCDD)
    assert key.encode() == bytes.fromhex("8877665544332211070000feddccbbaa")
    assert key.device_name == "4064:7" and dataclasses.replace(key, generation=1) != key
