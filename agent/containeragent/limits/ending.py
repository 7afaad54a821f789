# SPDX-License-Identifier: Apache-2.0
"""Ends processes of a container: by a signal where we may, else by cgroup.kill in a cgroup of our own inside the
container, that they are moved to (Documentation/admin-guide/cgroup-v2.rst). That takes no more than moving tasks does.

In: components of a container's name and process ids. Out: SIGKILL to them, and to nobody else in the container.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable

from containeragent.cgroups.directory import KILL, PROCS, write_file
from containeragent.cgroups.names import EXCESS
from containeragent.cgroups.tree import Parts, Tree
from containeragent.host import process


def end_processes(tree: Tree, parts: Parts, processes: Iterable[int]) -> None:
    """All of them; does not wait for their end. OSError when the kernel wants no cgroup there (EOPNOTSUPP), and no more
    than others do.
    """
    others = [number for number in processes if not _signal(number)]
    if not others:
        return
    with tree.opened(parts) as directory:
        with contextlib.suppress(FileExistsError):
            os.mkdir(EXCESS, 0o755, dir_fd=directory)
        for number in others:
            with contextlib.suppress(ProcessLookupError):
                write_file(directory, f"{EXCESS}/{PROCS}", str(number))
        write_file(directory, f"{EXCESS}/{KILL}", "1")


def clean_up(tree: Tree, parts: Parts) -> None:
    """Take the cgroup away that `end_processes` made, once nobody is in it."""
    with tree.opened(parts) as directory, contextlib.suppress(OSError):
        os.rmdir(EXCESS, dir_fd=directory)


def way(tree: Tree) -> str | None:
    """How, for people; None where there is none."""
    if process.may_kill():
        return "by SIGKILL"
    with tree.opened(()) as directory:
        return "by cgroup.kill, without CAP_KILL" if os.access(KILL, os.F_OK, dir_fd=directory) else None


def _signal(number: int) -> bool:
    """False: we may not. Who ends needs a CPU for that, and on a busy host would wait for it."""
    try:
        os.kill(number, signal.SIGKILL)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    with contextlib.suppress(OSError):  # gone; or we may not
        os.sched_setscheduler(number, os.SCHED_RR, os.sched_param(1))
    return True
