# SPDX-License-Identifier: Apache-2.0
"""Notify on release: what happens when nothing is left in a container.

In: containers with flags, and the kernel's word that something may have left them. Out: for each time that a container
becomes empty (no task, no container below it), one event, and one run of the release agent or its removal. Who comes
back into it meanwhile is left alone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping

from containeragent.cgroups import occupancy
from containeragent.cgroups.naming import Names
from containeragent.cgroups.occupancy import Occupancy
from containeragent.cgroups.tree import Parts, Tree
from containeragent.counters.source import Source
from containeragent.errors import Refused
from containeragent.events.bus import Bus
from containeragent.events.event import RELEASE_DONE, RELEASE_FAILED, RELEASED
from containeragent.release import flags as kept, program
from containeragent.release.flags import NEW, Flags, Mark
from containeragent.release.watch import Changes, Watch
from containeragent.release.watched import Watched, WatchedContainers
from containeragent.release.workers import Workers

log = logging.getLogger(__name__)

# What became of releases, as the metrics have it.
TOLD, RAN, FAILED, REMOVED = "told", "done", "failed", "removed"
OCCUPIED, GONE, DROPPED = "occupied", "gone", "dropped"
RESULTS = (TOLD, RAN, FAILED, REMOVED, OCCUPIED, GONE, DROPPED)
_GONE = ("ENOENT", "ENODEV")
Remove = Callable[[Parts, int], None]


class Releases:
    """Of one tree. From any thread; changes of containers are the service's, one at a time."""

    def __init__(self, tree: Tree, names: Names, source: Source, bus: Bus, release_agent: str = "") -> None:
        self._tree = tree
        self._names = names
        self._source = source
        self._bus = bus
        self._program = release_agent
        self._remove: Remove | None = None
        self._lock = threading.RLock()
        self._watch = Watch(self._told)
        self._watched = WatchedContainers(tree, self._watch)
        self._root = Flags()
        self._workers = Workers(self._work)
        self._counts: Counter[str] = Counter()

    def start(self, remove: Remove) -> None:
        """Take up what is kept on the cgroups; what was released while no agent was there is handled now.

        `remove` removes a container if it has that id still and nothing is in it.
        """
        self._remove = remove
        if self._program:
            with contextlib.suppress(Refused):
                self._check_program()
        with self._lock:
            for directories, directory in self._tree.walk():
                with contextlib.suppress(OSError):  # it is gone
                    self._take_up(directories, os.fstat(directory).st_ino, *kept.read(directory))
            self._look(self._watched.all())

    def _check_program(self) -> None:
        try:
            program.check(self._program)
        except Refused as refused:
            log.error("%s", refused.message)
            raise

    def _take_up(self, directories: Parts, cgroup_id: int, flags: Flags, mark: Mark | None) -> None:
        if not directories:
            self._root = flags
        elif flags.any:
            try:
                self._watched.add(directories, cgroup_id, flags, mark)
            except Refused as refused:
                if refused.code not in _GONE:
                    log.error("the release of %s is not noticed: %s", self._names.name(directories), refused.message)

    def flags(self, cgroup_id: int) -> Flags:
        """Of any cgroup but the cgroup root."""
        watched = self._watched.get(cgroup_id)
        return Flags() if watched is None else watched.flags

    def of(self, parts: Parts) -> Flags:
        """Of a container."""
        return self.flags(self._tree.identity(parts)) if parts else self._root

    def counts(self) -> Mapping[str, int]:
        """How often each of RESULTS was the end of a release."""
        return {result: self._counts[result] for result in RESULTS}

    @property
    def waiting(self) -> int:
        """Releases that nobody has come to yet."""
        return self._workers.waiting

    def created(self, parts: Parts, notify: bool | None, remove: bool) -> None:
        """A container was made: give it its flags. `notify` is the parent's when it is None."""
        flags = Flags(self.of(parts[:-1]).notify if notify is None else notify, remove)
        if flags.any:
            self._set(parts, flags, NEW)

    def set(self, parts: Parts, notify: bool | None, remove: bool | None) -> Flags:
        """Change flags; None leaves one as it is. Those of the cgroup root are what new containers inherit."""
        was = self.of(parts)
        flags = Flags(was.notify if notify is None else notify, was.remove if remove is None else remove)
        if not parts:
            if flags.remove:
                raise Refused("EBUSY", "the container / is the cgroup root, which is never removed")
            with self._tree.opened(parts) as directory:
                kept.write_flags(directory, flags)
            self._root = flags
            return flags
        with self._tree.opened(parts) as directory:
            empty = occupancy.look(directory).empty
        identity = self._tree.identity(parts)
        mark = kept.mark_of(self._source.snapshot().reading(identity)) if empty else None
        self._set(parts, flags, mark)
        return flags

    def _set(self, parts: Parts, flags: Flags, mark: Mark | None) -> None:
        with self._lock, self._tree.opened(parts) as directory:
            identity = self._tree.identity(parts)
            known = self._watched.get(identity)
            if not flags.any:
                if known:
                    self._watched.drop(known)
            elif known:
                known.flags = flags
            else:
                known = self._watched.add(self._tree.directories(parts), identity, flags, mark)
                kept.write_mark(directory, mark)
                if not self._is_empty(known) or known.occupied:  # it may have changed before it was watched
                    self._look([known])
            kept.write_flags(directory, flags)

    def came(self, parts: Parts) -> None:
        """Something came into a container: a task, or a container below it. The kernel may not tell, or late."""
        with self._lock, contextlib.suppress(Refused):
            watched = self._watched.get(self._tree.identity(parts)) if parts else None
            if watched is not None:
                self._look([watched])

    def _told(self, changes: Changes) -> None:
        with self._lock:
            self._look(self._watched.changed(changes))

    def _look(self, containers: list[Watched]) -> None:
        empty = [watched for watched in containers if self._is_empty(watched)]
        if not empty:
            return
        self._source.changed()  # the counters of this moment: an exit that is counted later is one more release
        snapshot = self._source.snapshot()
        for watched in empty:
            mark = kept.mark_of(snapshot.reading(watched.cgroup_id))
            released = watched.mark is None or watched.mark.is_before(mark)
            watched.mark = mark
            if released:
                self._released(watched)

    def _is_empty(self, watched: Watched) -> bool:
        found = self._seen(watched)
        if found is not None and found.has_children and self._watched.watch_directory(watched.directories):
            found = self._seen(watched)  # the last of them may have gone before they were watched
        if found is None:
            return False
        if not found.empty:
            self._occupied(watched)
        return found.empty

    def _seen(self, watched: Watched) -> Occupancy | None:
        """None when it is gone; whoever watches its parent says so."""
        try:
            with self._tree.opened_directory(watched.directories) as directory:
                return occupancy.look(directory)
        except Refused:
            return None

    def _occupied(self, watched: Watched) -> None:
        if watched.mark is not None:
            watched.mark = None
            self._keep_mark(watched)

    def _keep_mark(self, watched: Watched) -> None:
        with contextlib.suppress(Refused), self._tree.opened_directory(watched.directories) as directory:
            kept.write_mark(directory, watched.mark)

    def _released(self, watched: Watched) -> None:
        action = "remove" if watched.flags.remove else "program" if self._program else "nothing"
        self._publish(RELEASED, watched, action=action)
        if action == "nothing":
            self._counts[TOLD] += 1
            self._keep_mark(watched)
        elif not self._workers.put(watched.cgroup_id):
            self._counts[DROPPED] += 1
            log.error("%d releases wait; that of %s is left out", self.waiting, "/".join(watched.directories))

    def _work(self, cgroup_id: int) -> None:
        """In a worker's thread."""
        with self._lock:
            watched = self._watched.get(cgroup_id)
            if watched is None or self._seen(watched) is None:
                self._counts[GONE] += 1
                return
            if not self._is_empty(watched):
                self._counts[OCCUPIED] += 1
                return
        result = self._removed(watched) if watched.flags.remove else self._ran(watched)
        with self._lock:
            self._counts[result] += 1
            if not watched.occupied:
                self._keep_mark(watched)

    def _removed(self, watched: Watched) -> str:
        assert self._remove is not None
        try:
            self._remove(self._names.parts(watched.directories) or (), watched.cgroup_id)
        except Refused as refused:
            if refused.code == "EBUSY":
                return OCCUPIED
            if refused.code in _GONE:
                return GONE
            self._publish(RELEASE_FAILED, watched, program=None, exit_status=None, error=refused.message)
            return FAILED
        return REMOVED

    def _ran(self, watched: Watched) -> str:
        outcome = program.run(self._program, self._names.name(watched.directories))
        status = {"program": self._program, "exit_status": outcome.exit_status}
        if outcome.error is not None:
            self._publish(RELEASE_FAILED, watched, **status, error=outcome.error)
            return FAILED
        self._publish(RELEASE_DONE, watched, **status, seconds=round(outcome.seconds, 3))
        return RAN

    def _publish(self, kind: str, watched: Watched, **details: object) -> None:
        directories = watched.directories
        self._bus.publish(kind, self._names.name(directories), self._names.path(directories), **details)

    def close(self) -> None:
        """Nothing more is noticed; what runs has a moment to end."""
        self._watch.close()
        self._workers.close()
