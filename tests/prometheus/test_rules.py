# SPDX-License-Identifier: Apache-2.0
"""Rules and alerts, as promtool judges them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.support.agent import Agent
from tests.e2e.support.http import scrape
from tests.prometheus.conftest import DEPLOY, tool

HERE = Path(__file__).parent


def promtool(*arguments: str, stdin: str = "") -> str:
    """What it says; it must be content."""
    done = subprocess.run([tool("promtool"), *arguments], input=stdin, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", ["rules.yml", "alerts.yml"])
def test_rules_are_valid(name: str) -> None:
    """Without a warning."""
    assert "SUCCESS" in promtool("check", "rules", "--lint-fatal", str(DEPLOY / name))


def test_the_configuration_is_valid() -> None:
    """As it is, with its rules beside it."""
    said = promtool("check", "config", str(DEPLOY / "scrape.yml"))
    assert "SUCCESS: 2 rule files found" in said and "FAILED" not in said


def test_alerts_come_when_they_should() -> None:
    """And not beside that; see alerts_test.yml."""
    promtool("test", "rules", str(HERE / "alerts_test.yml"))


def test_every_alert_is_tested() -> None:
    """By an expected alert."""
    names = [line.split()[-1] for line in (DEPLOY / "alerts.yml").read_text().splitlines() if "- alert:" in line]
    tested = (HERE / "alerts_test.yml").read_text().split("alertname: ")
    expected = {part.split()[0] for part in tested if "exp_alerts" in part}
    assert len(names) > 10 and set(names) == expected


def test_metrics_are_as_prometheus_wants_them(agent: Agent) -> None:
    """Names, units, types and help texts: promtool has nothing to say."""
    assert promtool("check", "metrics", stdin=scrape(agent.address)[0]) == ""
