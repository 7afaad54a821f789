# SPDX-License-Identifier: Apache-2.0
"""In a guest (tests/vm) nothing may skip, what fails says why at once, because a guest may be lost before the end, and
tests/guest is collected there alone: it takes the whole machine. A test that hangs fails, and says where."""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Generator
from typing import Any

import hypothesis
import pytest

IN_GUEST = "CONTAINERAGENT_GUEST" in os.environ

# How long an example takes says nothing on a busy machine.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

# What the agent obeys is writable for its owner alone, whatever the shell's umask is.
os.umask(0o022)

# What tests start is to end by these, also where somebody runs them in the background or under nohup.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)

collect_ignore = [] if IN_GUEST else ["guest"]


_HANGS_SECONDS = 3600 if IN_GUEST else 1800  # far beyond what `until` waits for anything
_MORE_SECONDS = 300  # for taking away what it made, each time


def pytest_configure(config: pytest.Config) -> None:
    """The one mark for all."""
    config.addinivalue_line("markers", "seconds(most): may take longer than others until it is said to hang")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """A bound for each test with its fixtures, whatever waits there: a socket, a process, a thread."""
    mark = item.get_closest_marker("seconds")
    seconds = mark.args[0] if mark else _HANGS_SECONDS

    def hangs(*_: Any) -> None:
        faulthandler.dump_traceback(2, all_threads=True)
        pytest.fail(f"not done after {seconds} s; where every thread is stands in the captured stderr")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.setitimer(signal.ITIMER_REAL, seconds, _MORE_SECONDS)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def pytest_unconfigure() -> None:
    """The interpreter waits for threads at its end, but not without end."""
    faulthandler.dump_traceback_later(_MORE_SECONDS, exit=True, file=2)


def _failed_if_skipped(report: Any) -> None:
    if IN_GUEST and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and nothing may skip here: {report.longrepr}"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """The last lines of a failure."""
    if IN_GUEST and report.failed:
        print("", *report.longreprtext.splitlines()[-3:], sep="\n! ", flush=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """A skipped test."""
    report = yield
    _failed_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    """A skipped file."""
    report = yield
    _failed_if_skipped(report)
    return report
