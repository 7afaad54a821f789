# SPDX-License-Identifier: Apache-2.0
"""What takes long is waited for aloud, on a terminal alone."""

from __future__ import annotations

import io
import threading
import time

import pytest

from containerctl import waiting
from containerctl.commands import Settings


class Terminal(io.StringIO):
    """Remembers what was written."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def said(monkeypatch: pytest.MonkeyPatch, terminal: bool, seconds: float) -> str:
    """While something takes so long, where aloud is after 0.05 s."""
    stderr = Terminal(terminal)
    monkeypatch.setattr("sys.stderr", stderr)
    monkeypatch.setattr(waiting, "AFTER_SECONDS", 0.05)
    before = threading.active_count()
    with waiting.waiting("waiting for the agent"):
        time.sleep(seconds)
    assert threading.active_count() == before
    return stderr.getvalue()


def test_long_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the line is gone afterwards."""
    text = said(monkeypatch, True, 0.4)
    assert "waiting for the agent for 0 s" in text and text.endswith("\r\x1b[K")


def test_short_or_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a byte."""
    assert said(monkeypatch, True, 0) == "" and said(monkeypatch, False, 0.2) == ""


def test_a_terminal_that_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for is not disturbed."""

    def broken(*_: object) -> int:
        raise OSError

    monkeypatch.setattr(Terminal, "write", broken)
    assert said(monkeypatch, True, 0.2) == ""


def test_the_live_view_is_not_written_into() -> None:
    """It draws on the same terminal."""
    assert Settings().client().tells and not Settings().client(tells=False).tells
