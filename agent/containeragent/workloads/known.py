# SPDX-License-Identifier: Apache-2.0
"""Workloads by path, looked up once in a while.

A container's files may be written after its cgroup was made, and it may be renamed: what is known is looked up again
after some minutes, what has no name yet after some seconds. Users' files are read by a thread of its own: their homes
may be on a file system that hangs.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable

from containeragent.workloads.human_names import HumanNames
from containeragent.workloads.patterns import ROOT_USER, Workload, of_path, whose_files
from containeragent.workloads.user_names import UserNames

NAMED_SECONDS = 300.0
NAMELESS_SECONDS = 10.0
_MOST = 65536  # then all are forgotten
_MOST_ASKED = 1024  # of users' containers at a time; others are asked about later
_REST = 20  # times as long as an answer took: whatever is in users' files, reading them takes no more than 5 % of a CPU


class Workloads:
    """From any thread: at worst something is looked up twice."""

    def __init__(
        self, names: HumanNames, of_users: UserNames | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._names = names
        self._of_users = of_users or UserNames()
        self._clock = clock
        self._known: dict[str, tuple[Workload | None, float]] = {}  # by path; until when it holds
        self._asked: queue.Queue[tuple[str, int, Workload]] = queue.Queue(_MOST_ASKED)
        self._answering: threading.Thread | None = None

    def of(self, cgroup: str) -> Workload | None:
        """Whose the cgroup of that path is; None where nothing is known."""
        known = self._known.get(cgroup)
        now = self._clock()
        if known is not None and now < known[1]:
            return known[0]
        found = of_path(cgroup)
        user = None if found is None or found.runtime == "systemd" else whose_files(cgroup)
        if found is not None and user is not None:
            if user == ROOT_USER:
                found = self._names.complete(found)
            elif found.id:
                self._ask(cgroup, user, found)
                found = known[0] if known is not None else found  # the name of before, until the answer is there
        self._keep(cgroup, found, now)
        return found

    def _keep(self, cgroup: str, found: Workload | None, now: float) -> None:
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[cgroup] = found, now + (NAMED_SECONDS if found is None or found.name else NAMELESS_SECONDS)

    def _ask(self, cgroup: str, user: int, workload: Workload) -> None:
        if self._answering is None:
            self._answering = threading.Thread(target=self._answer, name="names", daemon=True)
            self._answering.start()
        with contextlib.suppress(queue.Full):
            self._asked.put_nowait((cgroup, user, workload))

    def _answer(self) -> None:
        while True:
            cgroup, user, workload = self._asked.get()
            begin = time.monotonic()
            self._keep(cgroup, self._of_users.complete(user, workload), self._clock())
            time.sleep(min(1.0, _REST * (time.monotonic() - begin)))
