# SPDX-License-Identifier: Apache-2.0
"""The page of a real agent in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.support import cgroups
from tests.e2e.support.agent import Agent
from tests.page.browser import chromium, page as opened


@pytest.fixture(scope="session")
def page_agent() -> Iterator[Agent]:
    """An agent of these tests' own."""
    made = Agent()
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture
def agent(page_agent: Agent) -> Iterator[Agent]:
    """Without any container before and after."""
    yield page_agent
    cgroups.empty(page_agent.root)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all."""
    with chromium() as made:
        yield made


@pytest.fixture
def page(browser: Browser, agent: Agent) -> Iterator[Page]:
    """A window on the agent's page, not yet there."""
    with opened(browser) as made:
        yield made
