# SPDX-License-Identifier: Apache-2.0
"""A terminal and signals come in, keys and what happened go out; the terminal is as it was whatever ends the view."""

import contextlib
import os
import select
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Iterator

from containerctl.client import Failure
from containerctl.top import screen
from containerctl.top.keys import Keys

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WATCHED = (*_ENDING, signal.SIGWINCH, signal.SIGTSTP)


class Terminal:
    """Of standard input and output. `ended_by` is the signal that wants an end; 0 for none."""

    def __init__(self) -> None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM", "dumb") == "dumb":
            raise Failure("ENOTTY", "top draws on a terminal, and this is none; for scripts there is top --batch")
        self._in, self._out = sys.stdin.fileno(), sys.stdout.fileno()
        self._keys = Keys()
        self.ended_by = 0
        self.resized = True
        self._woken, self.waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Ours meanwhile, for keys without Enter and drawing."""
        before = {number: signal.signal(number, _noted) for number in _WATCHED}
        wakeup = signal.set_wakeup_fd(self.waker, warn_on_full_buffer=False)
        self._saved = termios.tcgetattr(self._in)
        try:
            self._enter()
            yield
        finally:
            with contextlib.suppress(OSError, termios.error):  # it may be gone
                self._leave()
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _enter(self) -> None:
        tty.setcbreak(self._in, termios.TCSANOW)
        self.write(screen.ENTER)

    def _leave(self) -> None:
        try:
            self.write(screen.LEAVE)
        finally:
            termios.tcsetattr(self._in, termios.TCSAFLUSH, self._saved)

    def write(self, text: str) -> None:
        """All of it."""
        raw = text.encode(sys.stdout.encoding, "replace")
        while raw:
            raw = raw[os.write(self._out, raw) :]

    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        try:
            found = os.get_terminal_size(self._out)
        except OSError:
            found = shutil.get_terminal_size()
        return max(20, found.columns), max(6, found.lines)

    def wait(self, seconds: float) -> list[str]:
        """Until a key, a signal, whoever writes to `waker`, or so long; keys."""
        ready, _, _ = select.select([self._in, self._woken], [], [], max(0.0, seconds))
        if self._woken in ready:
            for number in os.read(self._woken, 4096):
                self._heard(number)
        if self._in not in ready:
            return []
        try:
            raw = os.read(self._in, 4096)
        except OSError:
            raw = b""
        if not raw:  # the terminal is gone
            self.ended_by = self.ended_by or signal.SIGHUP
        return self._keys.feed(raw)

    def _heard(self, number: int) -> None:
        if number in _ENDING:
            self.ended_by = number
        elif number == signal.SIGWINCH:
            self.resized = True
        elif number == signal.SIGTSTP:
            self._stop()

    def _stop(self) -> None:
        """Ctrl-Z: the shell has its terminal until we are told to go on."""
        self._leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, _noted)
        self._enter()
        self.resized = True


def _noted(_number: int, _frame: object) -> None:
    """The wakeup descriptor has it."""
