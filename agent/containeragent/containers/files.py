# SPDX-License-Identifier: Apache-2.0
"""Files that are charged to containers.

In: open files that callers hand over. Out: entries that the kernel side keeps (counters/charged.py), documents, and
events of files that come and go.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterable, Sequence

from containeragent.cgroups import names
from containeragent.cgroups.naming import Names
from containeragent.cgroups.tree import Parts, Tree
from containeragent.containers.caller import Caller
from containeragent.containers.changes import Changes
from containeragent.containers.lookup import Lookup
from containeragent.containers.permissions import Permissions
from containeragent.containers.view import Document
from containeragent.counters.charged import ChargedFile, ChargedFiles, FileKey
from containeragent.counters.source import Source
from containeragent.errors import Refused
from containeragent.events.bus import Bus
from containeragent.events.event import FILE_ADDED, FILE_REMOVED
from containeragent.host import file_systems

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}
_DELETED = " (deleted)"  # fs/d_path.c, of a file without a name


def path_of(descriptor: int) -> str:
    """An open file's path as the kernel knows it, which no caller can make up."""
    path = os.readlink(f"/proc/self/fd/{descriptor}")
    return path.removesuffix(_DELETED) if not os.fstat(descriptor).st_nlink else path


def _check_kind(descriptor: int, path: str) -> None:
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        raise Refused("EINVAL", f"{path} is {_KINDS.get(kind, 'no file')}; only regular files can be charged")
    without = file_systems.without_pages(descriptor)
    if without:
        raise Refused("ENOTSUP", f"file {path} cannot be charged: files of {without} have no page cache")


def _check_owned(descriptor: int, path: str, caller: Caller) -> None:
    """Whoever gets a file's pages, somebody else is without them."""
    if caller.uid and os.fstat(descriptor).st_uid != caller.uid:
        raise Refused("EACCES", f"only root and its owner may charge file {path} to a container; use sudo")


def _enter(files: ChargedFiles, entries: Iterable[ChargedFile]) -> None:
    """Those that are missing, of containers that are there."""
    for entry in entries:
        if files.lives(entry.cgroup_id) and files.entry(entry.key) is None:
            files.charge(entry.key, entry.mapping, entry.cgroup_id, entry.path)


class Files:
    """Of the containers of one tree."""

    def __init__(
        self,
        source: Source,
        tree: Tree,
        name_rules: Names,
        changes: Changes,
        lookup: Lookup,
        *,
        permissions: Permissions,
        paths_of: Callable[[Sequence[int]], Sequence[str | None]],
        bus: Bus,
    ) -> None:
        """`paths_of` gives the paths of cgroups by their ids."""
        self._source = source
        self._tree = tree
        self._names = name_rules
        self._changes = changes
        self._lookup = lookup
        self._permissions = permissions
        self._paths_of = paths_of
        self._bus = bus
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] = ()
        self._seen_in: ChargedFiles | None = None
        self._known: dict[FileKey, ChargedFile] = {}

    def _files(self) -> ChargedFiles:
        if self._source.files is None:
            engine = self._source.engine.tasks
            hint = "the kernel alone decides whose pages are; `containerctl doctor` says why BPF is refused"
            raise Refused("ENOTSUP", f"engine {engine} cannot charge files to containers: {hint}")
        return self._source.files

    def _container(self, name: str, parts: Parts, caller: Caller) -> int:
        self._lookup.check_managed(parts, name, "files")
        self._permissions.demand("charge", parts, caller)
        return self._tree.identity(parts)

    def add(self, name: str, descriptor: int | None, caller: Caller) -> Document:
        """Charge an open file to a container. Pages that are cached already count there when this returns."""
        files, parts = self._files(), names.parse(name)
        if descriptor is None:
            raise Refused("EINVAL", "no open file came with the request (SCM_RIGHTS); use containerctl file add")
        path = path_of(descriptor)
        _check_kind(descriptor, path)  # a file system may be slow to answer, so nobody waits for this
        _check_owned(descriptor, path, caller)
        with self._changes.one():
            cgroup_id = self._container(name, parts, caller)
            moved, entry = self._charge(files, descriptor, cgroup_id, path)
            self._publish(FILE_ADDED, entry, moved_pages=moved)
        return self._document(entry, names.join(parts)) | {"moved_pages": moved}

    def _charge(self, files: ChargedFiles, descriptor: int, cgroup_id: int, path: str) -> tuple[int, ChargedFile]:
        self._source.settled()
        try:
            with files.found(descriptor) as (key, mapping):
                owner = files.entry(key)
                if owner and owner.cgroup_id != cgroup_id and files.lives(owner.cgroup_id):
                    raise Refused("EBUSY", f"file {path} is charged to {self._name(owner.cgroup_id)}; remove it there")
                moved = files.charge(key, mapping, cgroup_id, path)
        except OSError as error:
            raise Refused("ENOTSUP", f"file {path} cannot be charged: it cannot be mapped ({error.strerror})") from None
        entry = ChargedFile(key, cgroup_id, path, mapping)
        with self._lock:
            self._known[key] = entry
        return moved, entry

    def _name(self, cgroup_id: int) -> str:
        (path,) = self._paths_of([cgroup_id])
        return f"container {self._names.managed(path) or path}" if path else "a container that is being removed"

    def remove(self, name: str, descriptor: int | None, path: str, caller: Caller) -> Document:
        """End the charge of an open file, or of one by the path that it was added with; its cached pages stay."""
        files, parts = self._files(), names.parse(name)
        with self._changes.one():
            cgroup_id = self._container(name, parts, caller)
            entry = self._entry(files, cgroup_id, descriptor, path)
            if entry is None:
                message = f"file {path} is not charged to container {names.join(parts)}; see containerctl file ls"
                raise Refused("ENOENT", message)
            with self._lock:
                self._known.pop(entry.key, None)
                files.release(entry.key)
            self._publish(FILE_REMOVED, entry, reason="removed")
        return {"name": names.join(parts), "path": entry.path}

    def _entry(self, files: ChargedFiles, cgroup_id: int, descriptor: int | None, path: str) -> ChargedFile | None:
        """The open file itself; else, as another may have its name by now, the one that was added with this path."""
        if descriptor is not None and stat.S_ISREG(os.fstat(descriptor).st_mode):
            try:
                with files.found(descriptor) as (key, _):
                    entry = files.entry(key)
                if entry and entry.cgroup_id == cgroup_id:
                    return entry
            except OSError:
                pass
        named = (entry for entry in files.entries() if (entry.cgroup_id, entry.path) == (cgroup_id, path))
        return next(named, None)

    def has(self, parts: Parts, descriptor: int) -> bool:
        """Whether an open file is charged to a container."""
        return self._entry(self._files(), self._tree.identity(parts), descriptor, "") is not None

    def of(self, name: str) -> Document:
        """A container's files, by path."""
        parts = names.parse(name)
        cgroup_id, files = self._tree.identity(parts), self._files()
        entries = sorted(
            (entry for entry in files.entries() if entry.cgroup_id == cgroup_id), key=lambda entry: entry.path
        )
        name = names.join(parts)
        documents = [self._document(entry, name) for entry in entries]
        return {"name": name, "page_size": self._source.page_size, "files": documents}

    def _document(self, entry: ChargedFile, name: str) -> Document:
        cached = self._files().cached(entry)
        return {
            "path": entry.path,
            "container": name,
            "device": entry.key.device_name,
            "inode": entry.key.inode,
            "cached_pages": cached and cached.pages,
            "removed": cached and not cached.links,
        }

    def _publish(self, kind: str, entry: ChargedFile, **details: object) -> None:
        (path,) = self._paths_of([entry.cgroup_id])
        if path is not None:
            self._bus.publish(kind, self._names.managed(path) or path, path, path=entry.path, **details)

    def upkeep(self) -> None:
        """Tell of files that are no more, and forget those of containers that are. Counting anew begins with all."""
        files = self._source.files
        if files is None or (files is self._seen_in and files.generation == self._seen):
            return
        anew, self._seen_in, self._seen = files is not self._seen_in, files, files.generation
        with self._lock:
            if anew:
                _enter(files, self._known.values())
            files.prune()
            now = {entry.key: entry for entry in files.entries()}
            gone = [entry for key, entry in self._known.items() if key not in now]
            self._known = now
        for entry in gone:
            self._publish(FILE_REMOVED, entry, reason="the file is no more")
