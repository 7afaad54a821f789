# SPDX-License-Identifier: Apache-2.0
"""In a guest (tests/vm) nothing may skip, what fails says why at once, because a guest may be lost before the end, and
tests/guest is collected there alone: it takes the whole machine."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import hypothesis
import pytest

IN_GUEST = "CONTAINERAGENT_GUEST" in os.environ

# How long an example takes says nothing on a busy machine.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

collect_ignore = [] if IN_GUEST else ["guest"]


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
