# SPDX-License-Identifier: Apache-2.0
"""The managed part of the cgroup tree: everything that is written, is written here.

In: components of container names. Out: directories and control files under the cgroup root (cgroups(7),
Documentation/admin-guide/cgroup-v2.rst). Every step is taken from a directory descriptor, so no path is ever looked up
twice, and nothing outside the root can be reached.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from containeragent.cgroups import attributes, naming
from containeragent.cgroups.directory import (
    DIRECTORY,
    KILL,
    PROCS,
    THREADS,
    folders,
    open_below,
    read_ids,
    remove_all,
    wait_until_empty,
    walk,
    walk_ids,
    write_file,
)
from containeragent.cgroups.names import COMPONENT_BYTES, EXCESS, LEAF, OWN, join, parse
from containeragent.cgroups.naming import Names
from containeragent.errors import Refused

log = logging.getLogger(__name__)

Parts = naming.Parts
NAME = "name"  # attribute of a renamed container
_KILL_SECONDS = 10.0


def _gone(name: str) -> Refused:
    return Refused("ENOENT", f"there is no container {name}; see containerctl ls")


class Tree:
    """Containers under one cgroup directory."""

    def __init__(self, root: Path, names: Names | None = None, title: Callable[[Parts], str] = join) -> None:
        """`names` knows which containers are renamed, after `load_names`.

        Without, parts are the names of directories, which last as long as the container; `title` is what to call it.
        """
        self.root = root
        self.title = title
        self.names = names or Names("")
        self._root = os.open(root, DIRECTORY)

    @contextlib.contextmanager
    def opened(self, parts: Parts) -> Iterator[int]:
        """Descriptor of a container's directory."""
        with self.opened_directory(self.directories(parts), parts) as descriptor:
            yield descriptor

    @contextlib.contextmanager
    def opened_directory(self, directories: Parts, named: Parts | None = None) -> Iterator[int]:
        """The same, by the names of directories; errors have the name `named`."""
        shown = self.title(directories) if named is None else join(named)
        descriptor = os.dup(self._root)
        try:
            for part in directories:
                below = open_below(descriptor, part)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        except (FileNotFoundError, NotADirectoryError):
            raise _gone(shown) from None
        except OSError as error:
            if error.errno == errno.ENODEV:
                raise Refused("ENODEV", f"container {shown} was removed meanwhile") from None
            raise Refused.of_errno(error.errno or errno.EIO, f"container {shown}") from None
        finally:
            os.close(descriptor)

    def identity(self, parts: Parts) -> int:
        """The cgroup's id."""
        with self.opened(parts) as directory:
            return os.fstat(directory).st_ino

    def directories(self, parts: Parts) -> Parts:
        """The names of the directories that a container is, or would be; refused when another container is there."""
        found = self.names.directories(parts, self._identify)
        if found is None:
            raise _gone(join(parts))
        return found

    def _identify(self, directories: Parts) -> int | None:
        try:
            return self.directory_identity(directories)
        except Refused:
            return None

    def load_names(self) -> None:
        """Take up the names that are kept on the cgroups."""
        for directories, directory in self.walk():
            name = attributes.read(directory).get(NAME)
            if not directories or name is None:
                continue
            try:
                if parse("/" + name) != (name,) or self.names.has((*directories[:-1], name)):
                    raise Refused("EEXIST", f"{name!r} is the name of another")
                self.names.rename(directories, os.fstat(directory).st_ino, name)
            except Refused as refused:
                log.error("the name that is kept on cgroup %s is not taken: %s", join(directories), refused.message)

    def forget_gone(self) -> None:
        """Names of renamed containers that somebody else removed."""
        self.names.forget_gone(self._identify)

    def rename(self, old: Parts, new: Parts) -> None:
        """Give a container another name below the same parent. Its directory, and all that is in it, stay."""
        place = self.directories(old)
        if self._exists(new):
            raise Refused("EEXIST", f"container {join(old)} was not renamed: {join(new)} exists already")
        with self.opened(old) as directory:
            attributes.put(directory, NAME, None if place[-1] == new[-1] else new[-1])
            self.names.rename(place, os.fstat(directory).st_ino, new[-1])

    def _exists(self, parts: Parts) -> bool:
        place = self.names.directories(parts, self._identify)
        return place is not None and self._identify(place) is not None

    def directory_identity(self, directories: Parts) -> int:
        """The id of the cgroup in a place."""
        with self.opened_directory(directories) as directory:
            return os.fstat(directory).st_ino

    def walk(self) -> Iterator[tuple[Parts, int]]:
        """Every container by the names of its directories, parents first, with a descriptor while it is looked at."""
        with self.opened_directory(()) as root:
            yield from walk((), root)

    def leaf_identity(self, parts: Parts) -> int | None:
        """Id of the cgroup that holds the container's own tasks, if it is not the container's itself."""
        with self.opened(parts) as directory:
            try:
                return os.stat(LEAF, dir_fd=directory, follow_symlinks=False).st_ino
            except FileNotFoundError:
                return None

    def create(self, parts: Parts) -> int:
        """Make a container whose parent exists; the cgroup's id."""
        if not parts:
            raise Refused("EEXIST", "the container / exists: it is the cgroup root")
        try:
            with self.opened(parts[:-1]) as parent:
                self._make(parent, parts)
        except Refused as error:
            if error.code != "ENOENT":
                raise
            message = (
                f"container {join(parts)} was not made: its parent {join(parts[:-1])} does not exist; use --parents"
            )
            raise Refused("ENOENT", message) from None
        return self.identity(parts)

    def _make(self, parent: int, parts: Parts) -> None:
        above = self.directories(parts[:-1])
        place = self.names.directories(parts, self._identify)
        taken = Refused("EEXIST", f"container {join(parts)} exists already")
        if place is None:
            self._make_elsewhere(parent, above, parts)
        elif place[-1] != parts[-1] or not _mkdir(parent, parts[-1], parts):
            raise taken

    def _make_elsewhere(self, parent: int, above: Parts, parts: Parts) -> None:
        """The directory of that name is that of a renamed container, so it gets another, which nobody can ask for."""
        candidates = (f"-{number}.{parts[-1]}".encode()[:COMPONENT_BYTES] for number in itertools.count(2))
        name = next(name for raw in candidates if _mkdir(parent, name := raw.decode(errors="ignore"), parts))
        made = open_below(parent, name)
        try:
            attributes.put(made, NAME, parts[-1])
            self.names.rename((*above, name), os.fstat(made).st_ino, parts[-1])
        except OSError:
            os.rmdir(name, dir_fd=parent)
            raise
        finally:
            os.close(made)

    def children(self, parts: Parts) -> list[str]:
        """Names of the containers directly below."""
        with self.opened(parts) as directory:
            return sorted(name for _, name in self._below(parts, directory) if name is not None)

    def _below(self, parts: Parts, directory: int) -> list[tuple[str, str | None]]:
        """Directories and names of what is directly below."""
        above = self.directories(parts)
        found = [(name, self.names.parts((*above, name))) for name in folders(directory) if name not in OWN]
        return [(folder, below[-1] if below else None) for folder, below in found]

    def remove_nameless(self, parts: Parts) -> None:
        """Remove what others made directly below with the name of a renamed container; nothing runs in it any more."""
        with self.opened(parts) as directory:
            for folder in [folder for folder, name in self._below(parts, directory) if name is None]:
                remove_all(directory, folder)

    def remove(self, parts: Parts) -> None:
        """Remove a container that has neither tasks nor children."""
        with self.opened(parts[:-1]) as parent, self.opened(parts) as directory:
            below = [name for name in folders(directory) if name not in OWN]
            if below:
                raise Refused(
                    "EBUSY",
                    f"container {join(parts)} has {_some(len(below), 'child container', 's')}; use --recursive for all",
                )
            tasks = self._processes(directory)
            if tasks:
                raise Refused(
                    "EBUSY",
                    f"container {join(parts)} has {_some(len(tasks), 'process', 'es')}; end them, or use --recursive",
                )
            for own in (LEAF, EXCESS):
                with contextlib.suppress(FileNotFoundError):
                    os.rmdir(own, dir_fd=directory)
            try:
                os.rmdir(self.directories(parts)[-1], dir_fd=parent)
            except OSError as error:
                if error.errno == errno.EBUSY:
                    raise Refused("EBUSY", f"container {join(parts)} is in use again; try once more") from None
                raise

    def _processes(self, directory: int) -> list[int]:
        """Processes directly in a container, in its leaves too."""
        processes = read_ids(directory, PROCS)
        for own in (LEAF, EXCESS):
            with contextlib.suppress(FileNotFoundError):
                processes += read_ids(directory, f"{own}/{PROCS}")
        return processes

    def processes(self, parts: Parts) -> list[int]:
        """Processes of the container and everything below it."""
        with self.opened(parts) as directory:
            return sorted(walk_ids(directory, PROCS))

    def tasks(self, parts: Parts) -> list[int]:
        """Threads of the container and everything below it."""
        with self.opened(parts) as directory:
            return sorted(walk_ids(directory, THREADS))

    def attach(self, parts: Parts, process: int) -> None:
        """Move a process, with all its threads."""
        with self.opened(parts) as directory:
            try:
                write_file(directory, PROCS, str(process))
            except OSError as error:
                # It has children that controllers are enabled for, so cgroup v2 wants tasks in a leaf.
                if error.errno not in (errno.EBUSY, errno.EOPNOTSUPP):
                    raise _attach_refused(error, parts, process) from None
                self._attach_to_leaf(directory, parts, process)

    def _attach_to_leaf(self, directory: int, parts: Parts, process: int) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(LEAF, 0o755, dir_fd=directory)
        try:
            write_file(directory, f"{LEAF}/{PROCS}", str(process))
        except OSError as error:
            with contextlib.suppress(OSError):
                os.rmdir(LEAF, dir_fd=directory)
            raise _attach_refused(error, parts, process) from None

    def kill(self, parts: Parts) -> int:
        """SIGKILL to every process of the container and below; returns when all are gone, with their number."""
        with self.opened(parts) as directory:
            killed = len(walk_ids(directory, PROCS))
            if not killed:
                return 0
            write_file(directory, KILL, "1")
            if not wait_until_empty(directory, _KILL_SECONDS):
                raise Refused(
                    "EBUSY",
                    f"tasks of container {join(parts)} did not end within {_KILL_SECONDS:.0f} s of SIGKILL; "
                    "they may wait for a device",
                )
            return killed


def _mkdir(parent: int, name: str, parts: Parts) -> bool:
    """Make a directory for a container; False if there is one."""
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError:
        return False
    except OSError as error:
        limit = "cgroup.max.depth or cgroup.max.descendants of a parent allows no more"
        hint = limit if error.errno == errno.EAGAIN else ""
        raise Refused.of_errno(error.errno or errno.EIO, f"container {join(parts)} was not made", hint) from None
    return True


def _some(number: int, noun: str, plural: str) -> str:
    return f"{number} {noun}{plural if number != 1 else ''}"


def _attach_refused(error: OSError, parts: Parts, process: int) -> Refused:
    if error.errno == errno.ESRCH:
        return Refused("ESRCH", f"there is no task {process}")
    return Refused.of_errno(error.errno or errno.EIO, f"task {process} was not attached to {join(parts)}")
