# SPDX-License-Identifier: Apache-2.0
"""A few threads that do what is to be done about released containers, in their order, so that nobody waits for it.

In: ids of containers. Out: a call for each, in one of the threads. These threads give up what root or the unit gave the
agent beyond its user: programs that they start can get no rights back (capabilities(7), ambient; prctl(2),
PR_SET_NO_NEW_PRIVS).
"""

from __future__ import annotations

import ctypes
import logging
import queue
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

AT_ONCE = 4
MOST_WAITING = 65536
_STOP_SECONDS = 5.0
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4  # linux/prctl.h


class Workers:
    """Threads begin with the first id."""

    def __init__(self, work: Callable[[int], None], at_once: int = AT_ONCE, most_waiting: int = MOST_WAITING) -> None:
        self._work = work
        self._at_once = at_once
        self._queue: queue.Queue[int] = queue.Queue(most_waiting)
        self._threads: list[threading.Thread] = []
        self._stopped = False

    @property
    def waiting(self) -> int:
        """Ids that no thread has taken yet."""
        return self._queue.qsize()

    def put(self, cgroup_id: int) -> bool:
        """False if there is no room. From one thread at a time."""
        try:
            self._queue.put_nowait(cgroup_id)
        except queue.Full:
            return False
        if len(self._threads) < self._at_once:
            thread = threading.Thread(target=self._run, name=f"release-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return True

    def close(self) -> None:
        """What waits is left for the next agent; what runs has a moment to end, and is left alone then."""
        self._stopped = True
        deadline = time.monotonic() + _STOP_SECONDS
        while True:  # wake them
            try:
                self._queue.get_nowait()
            except queue.Empty:
                break
        for _ in self._threads:
            self._queue.put(0)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        _give_up_rights()
        while True:
            cgroup_id = self._queue.get()
            if self._stopped:
                return
            try:
                self._work(cgroup_id)
            except Exception:
                log.exception("a release was not handled")


def _give_up_rights() -> None:
    """Of this thread, as far as what it starts is concerned."""
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    for option, argument in ((_PR_SET_NO_NEW_PRIVS, 1), (_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)):
        if libc.prctl(option, ctypes.c_ulong(argument), zero, zero, zero):
            raise OSError(ctypes.get_errno(), f"prctl {option}")
