# SPDX-License-Identifier: Apache-2.0
"""Agents for the tests: one for the session that most share, and fresh ones for those that end or break theirs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import IN_GUEST
from tests.e2e.support import cgroups
from tests.e2e.support.agent import Agent

# What the kernel's controllers do: where cgroup v2 has them, as in the guests.
_NEED = {"test_kernel_limits.py": {"pids", "memory"}, "test_cpuset.py": {"cpuset"}}
_there = set((cgroups.mount_point() / "cgroup.controllers").read_text().split())
collect_ignore = [file for file, needed in _NEED.items() if not needed <= _there]
# What has nothing to do with a kernel, and would take an emulated guest half an hour.
collect_ignore += ["test_fuzzed_api.py"] if IN_GUEST else []

MakeAgent = Callable[..., Agent]


@pytest.fixture(scope="session")
def session_agent() -> Iterator[Agent]:
    """It lets in root and the group of user 65534."""
    made = Agent("--socket-group", "nogroup")
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture
def agent(session_agent: Agent) -> Iterator[Agent]:
    """The session's, without any container before and after."""
    yield session_agent
    cgroups.empty(session_agent.root)


@pytest.fixture
def make_agent() -> Iterator[MakeAgent]:
    """Makes agents, stopped, with options of `containeragent run`."""
    with contextlib.ExitStack() as stack:

        def make(*options: str) -> Agent:
            made = Agent(*options)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def fresh(make_agent: MakeAgent) -> Agent:
    """One that runs, to be ended or broken."""
    return make_agent().start()
