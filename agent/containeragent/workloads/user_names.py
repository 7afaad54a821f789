# SPDX-License-Identifier: Apache-2.0
"""Names of containers that users run without root, from files that their Docker, Podman and containerd keep.

In: a user id, and a Workload as its path tells it. Out: the same with a name where a file of that user says so. The
files are whatever the user likes: nothing but a name is believed, no link is followed below the user's folder, and what
is not a small regular file of the user's is left alone. Storage that a user configured elsewhere is not found.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pwd
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from containeragent.workloads.human_names import PODMAN_LISTS, bundle_names, docker_name, filled, podman_names
from containeragent.workloads.patterns import Workload

_DATA = ".local/share"  # $XDG_DATA_HOME is not known here
_DRIVERS = ("overlay", "vfs", "btrfs")
_MOST_BYTES = 512 << 10  # some 500 containers of Podman's; parsed, JSON takes up to 30 times the memory
_MOST_NAMESPACES = 16
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def _home(user: int) -> Path:
    return Path(pwd.getpwuid(user).pw_dir)


class UserNames:
    """Of users by id, with where their homes and folders of the session are."""

    def __init__(self, home_of: Callable[[int], Path] = _home, run: Path = Path("/run/user")) -> None:
        self._home_of = home_of
        self._run = run

    def complete(self, user: int, workload: Workload) -> Workload:
        """With the name, if the user's files have one; users cannot say that something is a pod's."""
        name = ""
        with contextlib.suppress(OSError, ValueError, RecursionError, KeyError):
            match workload.runtime:
                case "docker":
                    name = self._docker(user, workload.id)
                case "podman":
                    name = self._podman(user, workload.id)
                case "containerd":
                    name = self._containerd(user, workload.id)
        return filled(workload, {"name": name})

    def _docker(self, user: int, container: str) -> str:
        file = f"{_DATA}/docker/containers/{container}/config.v2.json"
        return docker_name(_json(self._home_of(user), file, user))

    def _podman(self, user: int, container: str) -> str:
        home = self._home_of(user)
        for driver, file in itertools.product(_DRIVERS, PODMAN_LISTS):
            with contextlib.suppress(OSError, ValueError):
                path = f"{_DATA}/containers/storage/{driver}-containers/{file}"
                if name := podman_names(_json(home, path, user)).get(container):
                    return name
        return ""

    def _containerd(self, user: int, container: str) -> str:
        """nerdctl's."""
        top, tasks = self._run / str(user), "containerd/io.containerd.runtime.v2.task"
        with contextlib.closing(_Folder(top, tasks)) as folder, os.scandir(folder.descriptor) as entries:
            spaces = [entry.name for entry in itertools.islice(entries, _MOST_NAMESPACES)]
        for space in spaces:
            with contextlib.suppress(OSError, ValueError):
                if name := bundle_names(_json(top, f"{tasks}/{space}/{container}/config.json", user)).get("name"):
                    return name
        return ""


class _Folder:
    """A folder that is open: below `top`, which may be reached by links, there are none on the way."""

    def __init__(self, top: Path, path: str) -> None:
        self.descriptor = os.open(top, _FOLDER & ~os.O_NOFOLLOW)
        for part in path.split("/"):
            above = self.descriptor
            try:
                self.descriptor = os.open(part, _FOLDER, dir_fd=above)
            finally:
                os.close(above)

    def close(self) -> None:
        os.close(self.descriptor)


def _json(top: Path, path: str, user: int) -> Any:
    """What is in a regular file of that user's; OSError and ValueError when it is no such thing."""
    folder, _, name = path.rpartition("/")
    with contextlib.closing(_Folder(top, folder)) as above:
        descriptor = os.open(name, _FILE, dir_fd=above.descriptor)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != user or status.st_size > _MOST_BYTES:
            raise ValueError(f"{path} is no small file of the user {user}")
        return json.loads(file.read(_MOST_BYTES))
