# SPDX-License-Identifier: Apache-2.0
"""Which cgroup holds the managed containers.

One that is named; else the cgroup of the systemd service for containers, which the agent's service names; else the
agent's own, when systemd delegated it (Delegate=yes sets an extended attribute); else `containers` under the mount.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from containeragent.cgroups.directory import PROCS
from containeragent.cgroups.names import AGENT
from containeragent.errors import Refused
from containeragent.host import cgroup2

log = logging.getLogger(__name__)

DEFAULT = "containers"
MOST_LEVELS = 256  # below it: whoever owns a container could nest cgroups until nobody can walk or remove them
_DEPTH = "cgroup.max.depth"
# In the environment, from deploy/systemd/containeragent.service: a path under the mount.
SERVICE = "CONTAINERAGENT_CONTAINERS_CGROUP"
_DELEGATED = ("trusted.delegate", "user.delegate")  # systemd.resource-control(5), Delegate=


def _is_delegated(folder: Path) -> bool:
    for attribute in _DELEGATED:
        with contextlib.suppress(OSError):
            if os.getxattr(folder, attribute) == b"1":
                return True
    return False


def _own(mount: Path) -> Path | None:
    """The agent's cgroup if systemd delegated it; the agent itself moves to a leaf of it."""
    own = mount / cgroup2.path_of_task(os.getpid()).lstrip("/")
    if own.name == AGENT:
        own = own.parent
    if not _is_delegated(own):
        return None
    leaf = own / AGENT
    leaf.mkdir(exist_ok=True)
    (leaf / PROCS).write_text("0")
    return own


def _of_service(mount: Path) -> Path | None:
    """It is systemd's to make and to delegate."""
    named = os.environ.get(SERVICE)
    if not named:
        return None
    folder = mount / named.lstrip("/")
    if not _is_delegated(folder):
        message = f"cgroup {folder} is missing or was not delegated; run systemctl restart {folder.name}"
        raise Refused("ENOENT", message)
    check_held(folder)
    return folder


def check(root: Path, cgroup_id: int) -> None:
    """Refused when containers cannot go on in the cgroup root."""
    try:
        there = root.stat().st_ino == cgroup_id  # another of its name is not the one that they are in
    except OSError:
        there = False
    if not there:
        raise Refused("ENOENT", f"cgroup root {root} was removed by someone; the agent makes it anew when it starts")
    check_held(root)


def check_held(root: Path) -> None:
    """Refused when the service for containers has no process in its leaf. Nothing to check of another cgroup root.

    systemd cannot start one again where containers have controllers, so until it has, nobody may enable any.
    """
    named = os.environ.get(SERVICE)
    if not named or not str(root).endswith(named):
        return
    try:
        held = bool((root / AGENT / PROCS).read_text())
    except OSError:
        held = False
    if not held:
        raise Refused("ESRCH", f"nothing holds cgroup {root}, systemd is to start {root.name} again")


def find(mount: Path, wanted: Path | None) -> Path:
    """The cgroup root, made if it is missing."""
    if wanted is None:
        root = _of_service(mount) or _own(mount) or _made(mount, mount / DEFAULT)
    else:
        root = _made(mount, wanted)
    _bound_depth(root)
    return root


def _bound_depth(root: Path) -> None:
    """A bound that somebody has set stays."""
    try:
        if (root / _DEPTH).read_text() == "max\n":
            (root / _DEPTH).write_text(str(MOST_LEVELS))
    except OSError as error:
        log.warning("containers can be nested without end: %s cannot be set: %s", root / _DEPTH, error.strerror)


def _made(mount: Path, root: Path) -> Path:
    resolved = Path(os.path.realpath(root))
    if not resolved.is_relative_to(os.path.realpath(mount)) or resolved == Path(os.path.realpath(mount)):
        raise Refused("EINVAL", f"cgroup root {root} is not a directory below the cgroup2 mount {mount}")
    try:
        resolved.mkdir(exist_ok=True)
    except OSError as error:
        raise Refused.of_errno(
            error.errno or 5, f"cgroup root {resolved} cannot be made", "its parent must exist"
        ) from None
    return resolved
