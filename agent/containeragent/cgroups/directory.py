# SPDX-License-Identifier: Apache-2.0
"""One cgroup behind a directory descriptor: its control files and what is below it (cgroups(7)).

In: descriptors, never paths, so that nothing is looked up twice. Errors are OSError with the kernel's errno.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import time
from collections.abc import Iterator

from containeragent.cgroups.names import OWN
from containeragent.cgroups.naming import Parts

PROCS = "cgroup.procs"
THREADS = "cgroup.threads"
EVENTS = "cgroup.events"
KILL = "cgroup.kill"
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_below(directory: int, name: str) -> int:
    """Descriptor of what is directly below, never through a symbolic link."""
    return os.open(name, DIRECTORY, dir_fd=directory)


def folders(directory: int) -> list[str]:
    """Names of what is directly below."""
    with os.scandir(directory) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]


def read_file(directory: int, name: str) -> str:
    """A control file of the cgroup behind a descriptor."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    with open(descriptor, encoding="ascii") as file:
        return file.read()


def flat_keyed(text: str) -> dict[str, int]:
    """A file of a key and a number a line (Documentation/admin-guide/cgroup-v2.rst, Format)."""
    return {key: int(value) for key, _, value in (line.partition(" ") for line in text.splitlines())}


def read_ids(directory: int, name: str) -> list[int]:
    """Of cgroup.procs or cgroup.threads, as they stand there."""
    return [int(line) for line in read_file(directory, name).split()]


def write_file(directory: int, name: str, value: str) -> None:
    """Write one in one go, as the kernel wants it."""
    descriptor = os.open(name, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def walk_ids(directory: int, name: str) -> set[int]:
    """Ids of a subtree; what goes while we look has none."""
    try:
        ids = set(read_ids(directory, name))
        names = folders(directory)
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.ENOENT):
            return set()
        raise
    for name_below in names:
        with contextlib.suppress(FileNotFoundError):
            below = open_below(directory, name_below)
            try:
                ids |= walk_ids(below, name)
            finally:
                os.close(below)
    return ids


def wait_until_empty(directory: int, seconds: float) -> bool:
    """Wait for "populated 0" in cgroup.events, which the kernel signals as a priority event; or for its removal."""
    try:
        return _wait_for_empty(directory, time.monotonic() + seconds)
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.ENOENT):
            return True
        raise


def _wait_for_empty(directory: int, deadline: float) -> bool:
    descriptor = os.open(EVENTS, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLPRI)
        while "populated 0" not in os.pread(descriptor, 4096, 0).decode():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            poller.poll(min(left, 1.0) * 1000)
        return True
    finally:
        os.close(descriptor)


def walk(directories: Parts, directory: int) -> Iterator[tuple[Parts, int]]:
    """A cgroup and all below it, parents first, by the names of directories; what goes while we look is left out."""
    yield directories, directory
    for name in folders(directory):
        if name in OWN:
            continue
        with contextlib.suppress(FileNotFoundError):
            below = open_below(directory, name)
            try:
                yield from walk((*directories, name), below)
            finally:
                os.close(below)


def remove_all(parent: int, folder: str) -> None:
    """Remove a cgroup and what is below it; nothing may run in it."""
    below = open_below(parent, folder)
    try:
        for name in folders(below):
            remove_all(below, name)
    finally:
        os.close(below)
    os.rmdir(folder, dir_fd=parent)
