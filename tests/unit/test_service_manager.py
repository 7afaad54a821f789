# SPDX-License-Identifier: Apache-2.0
"""What systemd is told, over real sockets; and the journal's priorities."""

from __future__ import annotations

import io
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from containeragent.service_manager import (
    JournalFormatter,
    PatientHandler,
    ServiceManager,
    goes_to_journal,
    priority,
)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A datagram socket that nobody waits on for long."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.settimeout(5)
        yield made


def heard(listener: socket.socket) -> list[str]:
    """The lines of one message."""
    return listener.recv(4096).decode().split("\n")


@pytest.mark.parametrize("abstract", [False, True])
def test_a_life(listener: socket.socket, tmp_path: Path, abstract: bool) -> None:
    """Ready with a status, signs of life, a reload, the end."""
    name = f"@containeragent-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    listener.bind("\0" + name[1:] if abstract else name)
    manager = ServiceManager({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())})
    assert manager.watchdog_seconds == 2.0
    manager.starting()
    assert heard(listener) == ["EXTEND_TIMEOUT_USEC=30000000"]
    manager.ready("12 cgroups")
    assert heard(listener) == ["READY=1", "STATUS=12 cgroups"]
    manager.alive()
    assert heard(listener) == ["WATCHDOG=1"]
    manager.reloading()
    told, moment = heard(listener)
    assert told == "RELOADING=1" and 0 <= time.monotonic() - int(moment.removeprefix("MONOTONIC_USEC=")) / 1e6 < 60
    manager.stopping()
    assert heard(listener)[0] == "STOPPING=1"


@pytest.mark.parametrize(
    "environment, seconds",
    [
        ({}, None),
        ({"WATCHDOG_USEC": "500000"}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),  # another process is meant
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog(environment: dict[str, str], seconds: float | None) -> None:
    """As sd_watchdog_enabled(3) reads it."""
    assert ServiceManager(environment).watchdog_seconds == seconds


def test_no_sign_of_life_where_none_is_wanted(listener: socket.socket, tmp_path: Path) -> None:
    """Only what was asked for is sent."""
    listener.bind(str(tmp_path / "notify"))
    manager = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    manager.alive()
    manager.stopping()
    assert heard(listener)[0] == "STOPPING=1"


@pytest.mark.parametrize("name", [None, "", "relative", "vsock:2:3"])
def test_without_a_service_manager(name: str | None, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is sent, and nothing is said about it."""
    manager = ServiceManager({} if name is None else {"NOTIFY_SOCKET": name})
    manager.ready("")
    manager.stopping()
    assert not caplog.records


def test_nobody_listens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The agent goes on, and the log says what was not told."""
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "none")}).ready("x")
    assert "was not told READY=1" in caplog.text


@pytest.mark.parametrize(
    "level, number",
    [(logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7)],
)
def test_priorities(level: int, number: int) -> None:
    """Those of syslog(3), before every line."""
    assert priority(level) == number
    record = logging.LogRecord("x", level, "", 0, "one\ntwo %s", ("words",), None)
    assert JournalFormatter().format(record) == f"<{number}>one\n<{number}>two words"


def test_an_empty_message_is_a_line() -> None:
    """It keeps its priority."""
    assert JournalFormatter().format(logging.LogRecord("x", logging.INFO, "", 0, "", (), None)) == "<6>"


def test_journal_stream(tmp_path: Path) -> None:
    """The device and inode must be those of the stream that is written to."""
    with (tmp_path / "log").open("w") as stream:
        found = os.fstat(stream.fileno())
        assert goes_to_journal(stream, {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
        assert not goes_to_journal(stream, {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + 1}"})
        assert not goes_to_journal(stream, {})
    assert not goes_to_journal(io.StringIO(), {"JOURNAL_STREAM": "1:2"})


class Full(io.StringIO):
    """Has room for so many characters more."""

    room = 1000

    def write(self, text: str) -> int:
        """As much as fits."""
        written = super().write(text[: self.room])
        self.room -= written
        if written < len(text):
            raise OSError(28, "No space left on device")
        return written


def test_lines_that_find_no_room() -> None:
    """They are counted, and the next one that finds room says so before; what is torn ends there."""
    stream = Full()
    handler = PatientHandler(stream)
    handler.setFormatter(JournalFormatter())
    stream.room = 9
    for word in ("one", "two", "three"):
        handler.emit(logging.makeLogRecord({"msg": word, "levelno": logging.INFO}))
    stream.room = 1000
    for word in ("four", "five"):
        handler.emit(logging.makeLogRecord({"msg": word, "levelno": logging.INFO}))
    notice = "<4>2 lines of this log could not be written when they came: No space left on device"
    assert stream.getvalue().splitlines() == ["<6>one", "<6", notice, "<6>four", "<6>five"]
