# SPDX-License-Identifier: Apache-2.0
"""What docs/ says, against an agent."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from docs.from_code import metrics
from tests.e2e.support import command, session
from tests.e2e.support.agent import Agent
from tests.e2e.support.http import scrape

PAGES = command.REPOSITORY / "docs"
WITH_SESSIONS = sorted(page for page in PAGES.rglob("*.md") if session.steps(page, {}))


@pytest.mark.parametrize("page", WITH_SESSIONS, ids=lambda page: str(page.relative_to(PAGES)))
def test_a_session_goes_as_the_page_says(agent: Agent, page: Path) -> None:
    """Each command shows what stands below it; numbers may differ."""
    environment = command.environment() | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CONTAINERAGENT_SOCKET": str(agent.socket),
    }
    usual = {"127.0.0.1:9917": agent.address, "/containers/": f"{agent.cgroup}/"}  # places that tests do not use
    wanted = session.steps(page, usual)
    for step, seen in zip(wanted, session.run(wanted, environment, command.COMMAND_SECONDS), strict=True):
        print("$", step.typed, *seen, sep="\n")
        assert session.alike(step.shown, seen), f"$ {step.typed}\n" + "\n".join(seen)


def test_every_metric_is_in_the_reference_as_it_is_served(agent: Agent) -> None:
    """With its type, its help and its labels; some of those are only on some hosts."""
    agent.create("web")
    described = {metrics.name(family).removesuffix("_total"): family for family in metrics.families()}
    for served in text_string_to_metric_families(scrape(agent.address)[0]):
        ours = described[served.name]
        assert (served.type == "counter", served.documentation) == (ours.counter, ours.help), served.name
        for sample in served.samples:
            assert set(sample.labels) <= set(metrics.labels(ours)), served.name
