# SPDX-License-Identifier: Apache-2.0
"""Tests that take the whole machine: only where it is a guest of tests/vm, which says so in the environment.

The agent is installed and started once for all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support.processes import SLEEP, inside
from tests.guest.support.installation import AGENT, ROOT, ctl, run, traces

collect_ignore_glob = [] if os.environ.get("CONTAINERAGENT_GUEST") else ["test_*"]


@pytest.fixture(scope="session")
def before() -> Iterator[dict[str, Any]]:
    """What there was before it was installed and started."""
    found = traces()
    run("make", "install")
    run("systemctl", "enable", "--now", AGENT)
    yield found
    if Path("/usr/local/lib/containeragent").exists():
        run("make", "uninstall")


@pytest.fixture
def web(before: dict[str, Any]) -> Iterator[int]:
    """A container /web with one task that is at rest, and an empty one."""
    ctl("create", "web")
    ctl("create", "empty")
    with inside(ROOT / "web", SLEEP) as process:
        try:
            yield process.pid
        finally:
            for name in ("web", "empty"):
                ctl("rm", name, "--recursive")
