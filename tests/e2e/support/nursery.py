# SPDX-License-Identifier: Apache-2.0
"""Tasks that fork when they are told to, from one interpreter, so that a new one costs no start of another."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from types import TracebackType

from tests.e2e.support.processes import PYTHON
from tests.e2e.support.waiting import PATIENCE_SECONDS, until

# Words in: `new`, or `fork PID`. Words out: the pid of the new task, or the name of the errno. Who has nothing to read
# any more ends, so nobody outlives the nursery; init or the nursery reaps them.
_PROGRAM = """
import errno, os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
tasks = {}

def serve(orders):
    while os.read(orders, 1):
        try:
            child = os.fork()
        except OSError as error:
            os.write(1, (errno.errorcode[error.errno] + "\\n").encode())
            continue
        if not child:
            signal.pause()
        os.write(1, f"{child}\\n".encode())  # it may have been ended by now
    os._exit(0)

for line in sys.stdin:
    word, _, pid = line.strip().partition(" ")
    if word == "fork":
        os.write(tasks[int(pid)], b"f")
        continue
    orders, tell = os.pipe()
    child = os.fork()
    if not child:
        os.close(tell)
        for other in tasks.values():
            os.close(other)
        os.write(1, f"{os.getpid()}\\n".encode())
        serve(orders)
    os.close(orders)
    tasks[child] = tell
"""


class Nursery:
    """All of them are ended when it is closed: by descriptors, because others may get the ids of those that ended."""

    def __init__(self, user: int | None = None) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [*PYTHON, _PROGRAM], stdin=pipe, stdout=pipe, text=True, bufsize=1, cwd="/", user=user
        )
        self._held: dict[int, int] = {}
        self.workers: set[int] = set()  # those that fork when they are told

    def __enter__(self) -> Nursery:
        return self

    def _ask(self, line: str) -> str:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        assert select.select([self._process.stdout], [], [], PATIENCE_SECONDS)[0], f"no answer to {line!r}"
        return self._process.stdout.readline().strip()

    def _hold(self, pid: int) -> int:
        with contextlib.suppress(ProcessLookupError):  # it was ended at once
            self._held[pid] = os.pidfd_open(pid)
        return pid

    def new(self) -> int:
        """A task that is in no container."""
        self.workers.add(pid := self._hold(int(self._ask("new"))))
        return pid

    def fork(self, parent: int) -> int | None:
        """A child of one that `new` made and that lives; None when the kernel denied it (EAGAIN)."""
        answer = self._ask(f"fork {parent}")
        return None if answer == "EAGAIN" else self._hold(int(answer))

    def is_gone(self, pid: int) -> bool:
        """Whether one of them has ended."""
        return pid not in self._held or bool(select.select([self._held[pid]], [], [], 0)[0])

    def end(self, pid: int) -> None:
        """SIGKILL, and wait until it is gone."""
        if pid in self._held:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._held[pid], signal.SIGKILL)
            until(lambda: self.is_gone(pid), bool, f"the end of task {pid}")
            os.close(self._held.pop(pid))

    def end_all(self) -> None:
        """But the nursery itself."""
        for pid in sorted(self._held):
            self.end(pid)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.end_all()
        finally:
            self._process.kill()
            self._process.communicate(timeout=PATIENCE_SECONDS)
