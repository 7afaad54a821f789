# SPDX-License-Identifier: Apache-2.0
"""The cgroup root: found or made below the cgroup2 mount, never outside. Folders stand for cgroups here."""

from __future__ import annotations

from pathlib import Path

import pytest

from containeragent.cgroups import root
from containeragent.errors import Refused
from containeragent.host import cgroup2


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    """A folder with a cgroup in it, and others beside it."""
    (tmp_path / "mount" / "slice").mkdir(parents=True)
    (tmp_path / "mount-not").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mount" / "way-out").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "mount" / "cgroup.procs").write_text("")
    return tmp_path / "mount"


@pytest.mark.parametrize("name", ["slice", "slice/web", "new", "slice/../new"])
def test_below_the_mount(mount: Path, name: str) -> None:
    """Made if it is missing."""
    found = root.find(mount, mount / name)
    assert found.is_dir() and found == (mount / name).resolve()


def test_removed(mount: Path) -> None:
    """And made again by another: neither is the one that is served."""
    made = root.find(mount, mount / "new")
    cgroup_id = made.stat().st_ino
    root.check(made, cgroup_id)
    made.rename(mount / "kept")
    with pytest.raises(Refused, match="removed by someone"):
        root.check(made, cgroup_id)
    made.mkdir()
    with pytest.raises(Refused, match="removed by someone"):
        root.check(made, cgroup_id)


@pytest.mark.parametrize(
    "name",
    [".", "..", "../elsewhere", "../mount-not", "../mount-not/x", "way-out", "way-out/x", "slice/../..", "/", "/tmp"],
)
def test_outside_the_mount(mount: Path, name: str) -> None:
    """Refused, and nothing is made."""
    with pytest.raises(Refused) as caught:
        root.find(mount, mount / name)
    assert caught.value.code == "EINVAL"
    assert not (mount.parent / "elsewhere" / "x").exists() and not (mount.parent / "mount-not" / "x").exists()


@pytest.mark.parametrize("name", ["missing/web", "cgroup.procs", "cgroup.procs/web"])
def test_what_cannot_be_made(mount: Path, name: str) -> None:
    """One line that names it."""
    with pytest.raises(Refused) as caught:
        root.find(mount, mount / name)
    assert name.rsplit("/", maxsplit=1)[-1] in caught.value.message


def test_through_a_link_to_the_mount(mount: Path) -> None:
    """The path is the real one."""
    (mount.parent / "link").symlink_to(mount)
    assert root.find(mount.parent / "link", mount.parent / "link" / "slice") == mount / "slice"


def test_by_default_containers(mount: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where systemd delegated nothing."""
    monkeypatch.setattr(cgroup2, "path_of_task", lambda pid: "/slice")
    assert root.find(mount, None) == mount / "containers"
    assert (mount / "containers").is_dir() and not (mount / "slice" / "-agent").exists()


@pytest.mark.parametrize("own", ["/slice", "/slice/-agent"])
def test_the_agents_own_when_it_is_delegated(mount: Path, monkeypatch: pytest.MonkeyPatch, own: str) -> None:
    """The agent moves to a leaf of it; after a restart it is found again from there."""
    (mount / "slice" / "-agent").mkdir()
    monkeypatch.setattr(cgroup2, "path_of_task", lambda pid: own)
    monkeypatch.setattr(root, "_is_delegated", lambda folder: folder == mount / "slice")
    assert root.find(mount, None) == mount / "slice"
    assert (mount / "slice" / "-agent" / "cgroup.procs").read_text() == "0"


def test_of_the_containers_service(mount: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent's service names it; systemd must have made and delegated it. A root that is named goes first."""
    monkeypatch.setenv(root.SERVICE, "/slice/containers.service")
    monkeypatch.setattr(cgroup2, "path_of_task", lambda pid: "/slice")
    monkeypatch.setattr(root, "_is_delegated", lambda folder: folder.is_dir())
    with pytest.raises(Refused, match=r"systemctl restart containers\.service"):
        root.find(mount, None)
    leaf = mount / "slice" / "containers.service" / "-agent"
    leaf.mkdir(parents=True)
    (leaf / "cgroup.procs").write_text("")
    with pytest.raises(Refused, match="nothing holds"):
        root.find(mount, None)
    (leaf / "cgroup.procs").write_text("23\n")
    assert root.find(mount, None) == mount / "slice" / "containers.service"
    (mount / "own").mkdir()
    root.check_held(mount / "own")
    assert root.find(mount, mount / "own") == mount / "own"
