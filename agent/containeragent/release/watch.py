# SPDX-License-Identifier: Apache-2.0
"""The kernel's word that something in the cgroup tree may have become empty: inotify on cgroup.events, which the kernel
touches when the first task comes into a subtree and when the last one leaves it, and on directories, for removals.

In: cgroups to watch, by descriptor. Out: batches of changes, in a thread that sleeps until there are any. What is not
watched costs nothing. The kernel tells at most every 10 ms of one file (kernel/cgroup/cgroup.c,
CGROUP_FILE_NOTIFY_MIN_INTV), so a change says only: look. A watched cgroup's own end is not told, and its watch stays
until it is forgotten here.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from inotify_simple import INotify, flags

from containeragent.cgroups.occupancy import EVENTS
from containeragent.errors import Refused

log = logging.getLogger(__name__)

_SYSCTL = "fs.inotify.max_user_watches"


@dataclass
class Changes:
    """Watches of files that changed; watches of directories with the names that are gone from them.

    `missed`: there were more than the kernel kept, so anything may have changed.
    """

    files: set[int] = field(default_factory=set)
    removed: list[tuple[int, str]] = field(default_factory=list)
    missed: bool = False


class Watch:
    """Nothing is opened before the first cgroup is watched."""

    def __init__(self, told: Callable[[Changes], None]) -> None:
        """`told` is called in the thread."""
        self._told = told
        self._inotify: INotify | None = None
        self._stop = -1
        self._thread = threading.Thread(target=self._run, name="releases", daemon=True)

    def file(self, directory: int) -> int:
        """Watch the cgroup's events; the watch's number."""
        return self._add(f"/proc/self/fd/{directory}/{EVENTS}", flags.MODIFY)

    def directory(self, directory: int) -> int:
        """Watch for removals of what is right below."""
        return self._add(f"/proc/self/fd/{directory}", flags.DELETE | flags.ONLYDIR)

    def _add(self, path: str, mask: int) -> int:
        try:
            return int(self._opened().add_watch(path, mask))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EMFILE):
                limit = _SYSCTL if error.errno == errno.ENOSPC else "fs.inotify.max_user_instances"
                raise Refused("ENOSPC", f"the kernel watches no more files for this user; raise {limit}") from None
            raise

    def _opened(self) -> INotify:
        if self._inotify is None:
            self._inotify = INotify()
            self._stop = os.eventfd(0, os.EFD_CLOEXEC)
            self._thread.start()
        return self._inotify

    def forget(self, watch: int) -> None:
        """Watch it no longer. One that the kernel has forgotten is no error."""
        if self._inotify is not None:
            with contextlib.suppress(OSError):
                self._inotify.rm_watch(watch)

    def close(self) -> None:
        """Returns when the thread has ended."""
        if self._inotify is not None:
            os.eventfd_write(self._stop, 1)
            self._thread.join()
            self._inotify.close()
            os.close(self._stop)
            self._inotify = None

    def _run(self) -> None:
        assert self._inotify is not None
        poller = select.poll()
        poller.register(self._inotify.fileno(), select.POLLIN)
        poller.register(self._stop, select.POLLIN)
        while not any(descriptor == self._stop for descriptor, _ in poller.poll()):
            try:
                self._told(self._read(self._inotify))
            except Exception:
                log.exception("a release was not handled")

    @staticmethod
    def _read(inotify: INotify) -> Changes:
        changes = Changes()
        for event in inotify.read(timeout=0):
            if event.mask & flags.MODIFY:
                changes.files.add(event.wd)
            elif event.mask & flags.DELETE:
                changes.removed.append((event.wd, event.name))
            elif event.mask & flags.Q_OVERFLOW:
                changes.missed = True
        return changes
