# SPDX-License-Identifier: Apache-2.0
"""What systemd is told, where it started us: readiness, status, signs of life (sd_notify(3)), and how urgent a line of
the log is (sd-daemon(3)).

Two datagrams and a prefix: libsystemd's binding would be one more package of the distribution, or a compiler, for that.
Elsewhere than under systemd nothing is sent and lines stay as they are.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Mapping
from typing import TextIO

log = logging.getLogger(__name__)

_MORE_SECONDS = 30


class ServiceManager:
    """`watchdog_seconds` is the time within which it wants a sign of life, None when it wants none."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self.watchdog_seconds = _watchdog_seconds(environment)

    def starting(self) -> None:
        """It goes on, and may take half a minute more than it might have."""
        self._send(f"EXTEND_TIMEOUT_USEC={_MORE_SECONDS * 1_000_000}")

    def ready(self, status: str) -> None:
        """What was started serves now; `status` is what `systemctl status` shows."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """The configuration is read again; `ready` says that this is done."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def alive(self) -> None:
        """The main loop goes round."""
        if self.watchdog_seconds is not None:
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1\nSTATUS=stopping; counting goes on")

    def _send(self, message: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.sendto(message.encode(), self._address)
        except OSError as error:
            log.warning("the service manager was not told %s: %s", message.partition("\n")[0], error)


def _address(name: str) -> str | None:
    """A path, or an abstract socket, whose name sd_notify(3) writes with @ for the NUL."""
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else None


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """sd_watchdog_enabled(3)."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    wanted_of = environment.get("WATCHDOG_PID", str(os.getpid()))
    if not (microseconds.isascii() and microseconds.isdigit()) or wanted_of != str(os.getpid()):
        return None
    return int(microseconds) / 1e6 or None


def goes_to_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether the stream is the one that systemd connected with the journal (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


# Of syslog(3), which is what the journal takes.
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7


def priority(level: int) -> int:
    """The journal's number for a level of logging."""
    return next((number for least, number in _PRIORITIES if level >= least), _DEBUG)


class JournalFormatter(logging.Formatter):
    """Every line begins with its priority; time and level are the journal's own."""

    def format(self, record: logging.LogRecord) -> str:
        """A record of several lines becomes as many entries."""
        prefix = f"<{priority(record.levelno)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines() or [""])


class PatientHandler(logging.StreamHandler[TextIO]):
    """Where lines find no room (a full disk), the next one that does comes after how many did not."""

    _missing = 0
    _why = ""

    def emit(self, record: logging.LogRecord) -> None:
        """On a line of its own, whatever was written of the one before."""
        try:
            self.stream.write(self._notice() + self.format(record) + self.terminator)
            self.flush()
            self._missing = 0
        except OSError as error:
            self._missing, self._why = self._missing + 1, error.strerror or str(error)
        except Exception:
            self.handleError(record)

    def _notice(self) -> str:
        if not self._missing:
            return ""
        told = {"levelno": logging.WARNING, "levelname": "WARNING"}
        told["msg"] = f"{self._missing} lines of this log could not be written when they came: {self._why}"
        return self.terminator + self.format(logging.makeLogRecord(told)) + self.terminator


def log_to_stderr(environment: Mapping[str, str]) -> None:
    """Everything from INFO on, in the form that stderr's reader understands."""
    handler = PatientHandler(sys.stderr)
    journal = goes_to_journal(sys.stderr, environment)
    handler.setFormatter(JournalFormatter() if journal else logging.Formatter("%(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
