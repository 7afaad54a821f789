# SPDX-License-Identifier: Apache-2.0
"""Limits as users set them: what is shown, what is refused."""

from __future__ import annotations

import pytest

from tests.e2e.support.agent import Agent
from tests.e2e.support.command import NOBODY


@pytest.mark.parametrize(
    "option, value",
    [
        ("--task-limit", "-1"), ("--task-limit", "1.5"), ("--task-limit", "1" + "0" * 30), ("--task-limit", "5M"),
        ("--page-limit", "0"), ("--page-limit", "1K"), ("--page-limit", "10Q"), ("--page-limit", "-5M"),
        ("--page-limit", "1" + "0" * 30), ("--kill-after", "-1"), ("--kill-after", "soon"),
    ],
)  # fmt: skip
def test_bad_limits(agent: Agent, option: str, value: str) -> None:
    """One line; no container is made of them, none is changed."""
    agent.ctl("create", "a", f"{option}={value}").refused(value[:8])
    assert agent.names() == []
    agent.create("/web")
    before = agent.show("/web")
    agent.ctl("limit", "web", f"{option}={value}").refused(value[:8])
    assert agent.show("/web") == before


def test_who_may_limit_what(agent: Agent) -> None:
    """Only root, and only what is managed."""
    agent.create("/web")
    agent.ctl("limit", "web", "--task-limit", "5", uid=NOBODY).refused("only root")
    agent.ctl("limit", "nowhere", "--task-limit", "5").refused("no container /nowhere")
    agent.ctl("limit", "web").refused("no limit was given", status=2)
    assert agent.api.call("POST", "/v1/container/limits", {"name": "/web"}, {"cpu": 1}).code() == "EINVAL"
