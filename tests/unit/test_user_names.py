# SPDX-License-Identifier: Apache-2.0
"""Names of users' own containers: found in their files, and nothing else believed."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from containeragent.workloads.human_names import HumanNames
from containeragent.workloads.known import Workloads
from containeragent.workloads.patterns import Workload
from containeragent.workloads.user_names import UserNames

ID = "49dc0d7a84b2ddcc6b0d7a84b2ddcc6b49dc0d7a84b2ddcc6b0d7a84b2ddcc6b"
ME = os.getuid()
DOCKER = f".local/share/docker/containers/{ID}/config.v2.json"
PODMAN = ".local/share/containers/storage/overlay-containers/containers.json"
BUNDLE = f"containerd/io.containerd.runtime.v2.task/default/{ID}/config.json"


class User:
    """Home and folder of the session of the user who runs this test."""

    def __init__(self, folder: Path) -> None:
        self.home, self.run = folder / "home", folder / "run"
        self.session = self.run / str(ME)
        self.session.mkdir(parents=True)
        self.home.mkdir()
        self.names = UserNames(lambda _: self.home, self.run)

    def file(self, path: str, content: object) -> Path:
        """JSON in the home, or in the folder of the session."""
        file = (self.session if path == BUNDLE else self.home) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
        return file

    def named(self, runtime: str, user: int = ME) -> str:
        """What the container is called."""
        return self.names.complete(user, Workload(runtime, id=ID)).name


@pytest.fixture
def user(tmp_path: Path) -> User:
    """Without any file."""
    return User(tmp_path)


@pytest.mark.parametrize(
    ("runtime", "path", "content"),
    [
        ("docker", DOCKER, {"Name": "/web"}),
        ("podman", PODMAN, [{"id": ID, "names": ["web"]}]),
        ("podman", PODMAN.replace("overlay-", "vfs-"), [{"id": ID, "names": ["web"]}]),
        ("podman", PODMAN.replace("containers.json", "volatile-containers.json"), [{"id": ID, "names": ["web"]}]),
        ("containerd", BUNDLE, {"annotations": {"nerdctl/name": "web"}}),
    ],
)
def test_found(user: User, runtime: str, path: str, content: object) -> None:
    """Where the runtime keeps it; not for another runtime, nor for another user."""
    assert user.named(runtime) == ""
    file = user.file(path, content)
    assert user.named(runtime) == "web"
    assert user.named("cri-o") == user.named("kubernetes") == ""
    if runtime != "containerd":  # has a folder for each user
        assert user.named(runtime, ME + 1) == ""
    file.write_text("[" * 100_000)
    assert user.named(runtime) == ""


def test_a_user_makes_nothing_a_pod(user: User) -> None:
    """Whatever labels and annotations say."""
    labels = {"io.kubernetes.pod.name": "web-0", "io.kubernetes.pod.namespace": "shop"}
    user.file(DOCKER, {"Name": "/web", "Config": {"Labels": labels}})
    assert user.names.complete(ME, Workload("docker", id=ID)) == Workload("docker", id=ID, name="web")
    user.file(BUNDLE, {"annotations": {"nerdctl/name": "web", "io.kubernetes.cri.sandbox-name": "web-0"}})
    assert user.names.complete(ME, Workload("containerd", id=ID)) == Workload("containerd", id=ID, name="web")


@pytest.mark.parametrize("name", ["", "/", "a b", "a\nb", "\x1b[31m", 'x"} 1', "\ud800", "größe", "x" * 254, 3.5, []])
def test_no_name(user: User, name: object) -> None:
    """That a runtime would not have given."""
    user.file(DOCKER, {"Name": name})
    assert user.named("docker") in ("", "3.5")


def test_no_link_is_followed(user: User, tmp_path: Path) -> None:
    """Neither of the file nor of a folder on the way: it would have the agent read what the user may not."""
    real = user.file(DOCKER, {"Name": "/web"})
    moved = real.rename(tmp_path / "secret")
    real.symlink_to(moved)
    assert user.named("docker") == ""
    moved.replace(real)
    assert user.named("docker") == "web"
    folder = user.home / ".local"
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert user.named("docker") == ""


def test_only_small_files(user: User) -> None:
    """And no pipe, which would never end."""
    file = user.file(DOCKER, {"Name": "/web", "more": "x" * (1 << 20)})
    assert user.named("docker") == ""
    file.unlink()
    os.mkfifo(file)
    assert user.named("docker") == ""


class Hangs(UserNames):
    """As a home on a file system that does not answer, until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may, self.name = threading.Event(), "web"

    def complete(self, user: int, workload: Workload) -> Workload:
        """The name."""
        assert user == 1000 and self.may.wait(60)
        return replace(workload, name=self.name)


def test_a_home_that_hangs(tmp_path: Path) -> None:
    """Holds up nobody: the name is there when it is known, and stays while it is looked up again."""
    users, now = Hangs(), [0.0]
    workloads = Workloads(HumanNames(tmp_path), users, lambda: now[0])

    def name() -> str:
        found = workloads.of(f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope")
        assert found is not None and found.runtime == "docker"
        return found.name

    assert name() == name() == ""
    users.may.set()
    until(name, "web")
    users.may.clear()
    users.name = "renamed"
    now[0] += 301
    assert name() == name() == "web"
    users.may.set()
    until(name, "renamed")


def until(name: Callable[[], str], wanted: str) -> None:
    """Comes."""
    end = time.monotonic() + 60
    while name() != wanted:
        assert time.monotonic() < end, name()
        time.sleep(0.01)
