# SPDX-License-Identifier: Apache-2.0
"""A third-party subsystem in a process of its own, so that nothing it does harms the agent.

In: calls. Out: replies within a time limit. One that hangs is killed; one that hung or died is started again at the
next call, without its memory; after LIVES in a row it stays off.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict

from containeragent.checks import Check, answer
from containeragent.errors import Refused
from containeragent.subsystems.perform import FAILED, Reply, Request, short

log = logging.getLogger(__name__)

LIVES = 3
START_SECONDS = 10.0
_END_SECONDS = 1.0
_MOST_BYTES = 1 << 20  # of a reply
START = "start"  # the request that comes first


class _Lost(Exception):
    """The process hung, died, or answered what is no reply."""


class Remote:
    """One of others. `target` is MODULE:CLASS."""

    built_in = False
    flat = False

    def __init__(self, name: str, target: str, seconds: float) -> None:
        self.name = name
        self.hooks: frozenset[str] = frozenset()
        self.lives = 0
        self.off = ""
        self._target = target
        self._seconds = seconds
        self._in_a_row = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Import it, in its process."""
        with self._lock:
            try:
                self._start()
            except _Lost as error:
                self._kill()
                raise Refused("EIO", f"subsystem {self.name} ({self._target}) cannot be used: {error}") from None

    def call(self, asked: Request) -> Reply:
        """Within the time limit, and that of the call before."""
        if not self._lock.acquire(timeout=self._seconds):
            return Reply(code=FAILED, reason=f"it was busy for {self._seconds:g} s")
        try:
            if self.off:
                return Reply(code=FAILED, reason=self.off)
            if self._process is None:
                self._start()
            reply = self._ask(asked, self._seconds)
            self._in_a_row = 0
            return reply
        except _Lost as error:
            return self._lost(str(error))
        finally:
            self._lock.release()

    def checks(self) -> Iterable[Check]:
        """Whether it is on."""
        hint = "mend it, and start the agent anew"
        return [answer(f"subsystem {self.name}", not self.off, self.off or f"on, {self._target}", hint)]

    def close(self) -> None:
        """End its process."""
        with self._lock:
            self.off = self.off or "the agent stops"
            if self._socket:
                self._socket.close()
            if self._process:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_END_SECONDS)
            self._kill()

    def _lost(self, reason: str) -> Reply:
        self._kill()
        self.lives += 1
        self._in_a_row += 1
        if self._in_a_row >= LIVES:
            self.off = f"it was lost {LIVES} times in a row and stays off until the agent starts anew; last, {reason}"
            log.error("subsystem %s: %s", self.name, self.off)
        return Reply(code=FAILED, reason=reason)

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        for secret in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):  # not a sign of life of the agent's
            environment.pop(secret, None)
        line = [sys.executable, "-P", "-m", "containeragent.subsystems.worker", self.name, self._target]
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [*line, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=2,  # what it prints goes where the agent's log goes
                    pass_fds=[theirs.fileno()],
                    env=environment,
                    cwd="/",
                    start_new_session=True,  # Ctrl-C is for the agent
                )
            except OSError as error:
                ours.close()
                raise _Lost(f"its process cannot be started: {error.strerror or error}") from None
        self._socket = ours
        reply = self._ask({"call": START}, START_SECONDS)
        if reply.code:
            raise _Lost(reply.reason)
        self.hooks = frozenset(reply.value)

    def _ask(self, asked: Request, seconds: float) -> Reply:
        assert self._socket
        deadline = time.monotonic() + seconds
        try:
            self._socket.settimeout(seconds)
            self._socket.sendall(json.dumps(asked).encode() + b"\n")
            return _reply(self._line(self._socket, deadline))
        except TimeoutError:
            raise _Lost(f"it did not return from {asked['call']} within {seconds:g} s and was killed") from None
        except OSError as error:
            raise _Lost(f"its process cannot be asked: {error.strerror}") from None

    def _line(self, connection: socket.socket, deadline: float) -> bytes:
        line = bytearray()
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
            piece = connection.recv(65536)
            if not piece:
                raise _Lost(self._end())
            line += piece
            if len(line) > _MOST_BYTES:
                raise _Lost(f"it answered more than {_MOST_BYTES} bytes")
        return bytes(line)

    def _end(self) -> str:
        assert self._process
        try:
            status = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            return "its process closed the connection"
        return f"its process was ended by signal {-status}" if status < 0 else f"its process ended with {status}"

    def _kill(self) -> None:
        if self._socket:
            self._socket.close()
        if self._process:
            self._process.kill()
            self._process.wait()
        self._process = self._socket = None


def encoded(reply: Reply) -> bytes:
    """For the wire."""
    return json.dumps(asdict(reply), allow_nan=False).encode() + b"\n"


def _reply(line: bytes) -> Reply:
    try:
        return Reply(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        raise _Lost(f"it answered nonsense: {short(repr(line[:80]))}") from None
