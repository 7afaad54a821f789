# SPDX-License-Identifier: Apache-2.0
"""Waits for the kernel to count hits of limits: the files pids.events and memory.events tell when they change.

In: files to watch. Out: calls with the ids of cgroups whose files changed. Nothing is done while nothing happens; in a
storm there is one call in PAUSE_SECONDS.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
from collections.abc import Callable, Sequence

from inotify_simple import INotify, flags

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.05


class HitsWatcher:
    """One thread; `changed` is called in it."""

    def __init__(self, changed: Callable[[set[int]], None]) -> None:
        self._changed = changed
        self._inotify = INotify()
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._cgroups: dict[int, int] = {}  # watch -> cgroup id
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="limit-hits", daemon=True)
        self._thread.start()

    def watch(self, cgroup_id: int, directory: int, files: Sequence[str]) -> None:
        """Files of the cgroup behind a descriptor; what is not there, or watched already, is left."""
        for file in files:
            with contextlib.suppress(FileNotFoundError), self._lock:
                number = self._inotify.add_watch(f"/proc/self/fd/{directory}/{file}", flags.MODIFY)
                self._cgroups[number] = cgroup_id

    def forget(self, cgroup_id: int) -> None:
        """A watch would keep what is left of a removed cgroup."""
        with self._lock:
            for number in [number for number, watched in self._cgroups.items() if watched == cgroup_id]:
                del self._cgroups[number]
                with contextlib.suppress(OSError):
                    self._inotify.rm_watch(number)

    def close(self) -> None:
        """Returns when the thread has ended."""
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        self._inotify.close()
        os.close(self._stop)

    def _run(self) -> None:
        both, stop = select.poll(), select.poll()
        both.register(self._inotify.fileno(), select.POLLIN)
        for poller in (both, stop):
            poller.register(self._stop, select.POLLIN)
        while self._stop not in [descriptor for descriptor, _ in both.poll()]:
            self._read()
            if stop.poll(PAUSE_SECONDS * 1000):
                return

    def _read(self) -> None:
        events = self._inotify.read(timeout=0)
        with self._lock:
            found = {self._cgroups[event.wd] for event in events if event.wd in self._cgroups}
        try:
            if found:
                self._changed(found)
        except Exception:
            log.exception("hits of %d cgroups cannot be read", len(found))
