# SPDX-License-Identifier: Apache-2.0
"""Signals to the agent: SIGHUP asks for a reload, SIGTERM and SIGINT for the end; each wakes the main loop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from containeragent.signals import Signals


@pytest.fixture
def signals() -> Iterator[Signals]:
    """With the handlers that were there put back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield Signals()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_reload(signals: Signals) -> None:
    """Once for those that came since; it is not the end."""
    assert signals.wait(0) and not signals.take_reload()
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGHUP)
    assert signals.wait(60) and signals.take_reload() and not signals.take_reload()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end(signals: Signals, number: signal.Signals) -> None:
    """For good, also if it comes with a reload."""
    signal.raise_signal(number)
    signal.raise_signal(signal.SIGHUP)
    assert not signals.wait(60) and not signals.wait(0)


def test_it_wakes(signals: Signals) -> None:
    """Long before the time is up."""
    main = threading.main_thread().ident
    assert main
    timer = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGHUP))
    begin = time.monotonic()
    timer.start()
    assert signals.wait(60) and time.monotonic() - begin < 30 and signals.take_reload()
    timer.join()
