# SPDX-License-Identifier: Apache-2.0
"""Controllers of cgroup v2 on the way down to a container (Documentation/admin-guide/cgroup-v2.rst, subtree_control).

Inside the cgroup root only. cgroup v2 wants no tasks beside children with controllers: those in the way move to a leaf,
where they are still the container's.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Collection

from containeragent.cgroups.directory import PROCS, read_file, write_file
from containeragent.cgroups.names import LEAF, join
from containeragent.cgroups.tree import Parts, Tree
from containeragent.errors import Refused

CONTROLLERS = "cgroup.controllers"
SUBTREE_CONTROL = "cgroup.subtree_control"
_MOVE_TRIES = 16  # new tasks may come while those that are there move


def offered(tree: Tree, parts: Parts = ()) -> frozenset[str]:
    """What a container, or the cgroup root, has and can hand down."""
    with tree.opened(parts) as directory:
        return frozenset(read_file(directory, CONTROLLERS).split())


def enable(tree: Tree, parts: Parts, wanted: Collection[str]) -> None:
    """Have controllers that the root has enabled down to a container that is, or will be, at `parts`."""
    for length in range(len(parts)):
        _enable_below(tree, parts[:length], wanted)


def _enable_below(tree: Tree, parts: Parts, wanted: Collection[str]) -> None:
    with tree.opened(parts) as directory:
        for controller in sorted(set(wanted) - set(read_file(directory, SUBTREE_CONTROL).split())):
            _enable_one(parts, directory, controller)


def _enable_one(parts: Parts, directory: int, controller: str) -> None:
    """Tasks move first even where the kernel would let them be: threads beside children would make those invalid."""
    for _ in range(_MOVE_TRIES):
        if not _move_to_leaf(directory):
            break
    try:
        write_file(directory, SUBTREE_CONTROL, f"+{controller}")
    except OSError as error:
        what = f"the {controller} controller was not enabled below container {join(parts)}"
        hint = "it starts tasks faster than they can be moved; try again" if error.errno == errno.EBUSY else ""
        raise Refused.of_errno(error.errno or errno.EIO, what, hint) from None


def _move_to_leaf(directory: int) -> bool:
    """Whether there were tasks directly in a container."""
    processes = read_file(directory, PROCS).split()
    if processes:
        with contextlib.suppress(FileExistsError):
            os.mkdir(LEAF, 0o755, dir_fd=directory)
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            write_file(directory, f"{LEAF}/{PROCS}", process)
    return bool(processes)
