# SPDX-License-Identifier: Apache-2.0
"""A command comes in; a process that waits, then becomes that command, and its wait status go out.

It is forked first and released later, so that it can be put into a container before the command's first instruction.
"""

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Iterator
from typing import NoReturn

FORWARDED = frozenset({signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
# Held back rather than handled: sigwait() then sees each one in turn, and no window is left between fork and handler.
# SIGINT is held and dropped, for the terminal sends it to the command as well.
HELD = FORWARDED | {signal.SIGINT, signal.SIGCHLD}


@contextlib.contextmanager
def held_signals() -> Iterator[set[int]]:
    """Hold signals back until the end, then drop what is still waiting; gives the mask that the command is to have."""
    # Who ignores SIGCHLD passes that on, and then the kernel reaps the command before we learn its status.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
    try:
        yield {int(number) for number in before}
    finally:
        while signal.sigtimedwait(HELD, 0):
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Child:
    """A process that waits to become the command. Use inside held_signals()."""

    def __init__(self, command: list[str], mask: set[int]) -> None:
        go_read, self._go = os.pipe()
        self._failure, failure_write = os.pipe()
        for stream in (sys.stdout, sys.stderr):
            # What is buffered would be written by both.
            with contextlib.suppress(OSError, AttributeError):
                stream.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._go)
            os.close(self._failure)
            _become(command, mask, go_read, failure_write)
        os.close(go_read)
        os.close(failure_write)

    def release(self) -> int:
        """Let it become the command. Gives 0, or the errno that says why it could not; then it has ended."""
        # Signals that came before this process was there went to the parent alone.
        for number in signal.sigpending() & (HELD - {signal.SIGCHLD}):
            self._signal(number)
        with contextlib.suppress(BrokenPipeError):
            os.write(self._go, b"g")
        os.close(self._go)
        # The pipe closes by itself at exec (pipe2(2) O_CLOEXEC).
        failure = os.read(self._failure, 16)
        os.close(self._failure)
        if failure:
            os.waitpid(self.pid, 0)
        return int(failure or 0)

    def abandon(self) -> None:
        """End it without ever having been the command."""
        os.close(self._go)
        os.close(self._failure)
        os.waitpid(self.pid, 0)

    def wait(self) -> int:
        """Wait for the command's end, forwarding signals; gives the status of waitpid(2)."""
        while True:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                return status
            number = signal.sigwait(HELD)
            if number in FORWARDED:
                self._signal(number)

    def _signal(self, number: int) -> None:
        # Not reaped yet, so the id is still this process's. EPERM: the command may have become another user's (sudo).
        with contextlib.suppress(PermissionError):
            os.kill(self.pid, number)


def _become(command: list[str], mask: set[int], go_read: int, failure_write: int) -> NoReturn:
    try:
        # End of file: the parent gave up, or is gone.
        if os.read(go_read, 1):
            _restore_signals(mask)
            os.write(failure_write, str(_execute(command)).encode())
    finally:
        # Never back into the parent's code
        os._exit(125)


def _restore_signals(mask: set[int]) -> None:
    """The dispositions that this process was started with: python ignores two signals and handles SIGINT."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    # Ignored by our caller (nohup, a shell's background job) stays ignored.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _execute(command: list[str]) -> int:
    """As execvp(3): search PATH, go on after ENOENT and EACCES, give what is no program to sh. Gives the errno."""
    name = command[0]
    if not name:
        return errno.ENOENT
    folders = [""] if "/" in name else os.get_exec_path()
    reason = errno.ENOENT
    for path in (os.path.join(folder, name) for folder in folders):
        try:
            os.execv(path, command)
        except OSError as error:
            failed = error.errno or errno.EIO
        if failed == errno.ENOEXEC:
            with contextlib.suppress(OSError):
                os.execv("/bin/sh", ["/bin/sh", path, *command[1:]])
        if failed == errno.EACCES or "/" in name:
            reason = failed
        elif failed not in (errno.ENOENT, errno.ENOTDIR):
            return failed
    return reason
