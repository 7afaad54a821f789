# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus scrapes the agent: values, recording rules, alerts, and every query of the dashboard."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.support.agent import Agent
from tests.e2e.support.processes import SLEEP, inside
from tests.e2e.support.waiting import until
from tests.prometheus.conftest import Prometheus
from tests.prometheus.dashboard import DASHBOARD, filled

VARIABLES = {"$instance": ".*", "$cgroup": ".*", "$__rate_interval": "5s", "$__range": "1m"}


def queries() -> Iterator[tuple[str, str]]:
    """Titles and expressions, with Grafana's variables filled in."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], filled(target["expr"], VARIABLES)


def limited(agent: Agent, name: str, tasks: int = 4) -> Any:
    """A container with limits and a task in it."""
    folder = agent.create(name)
    answer = agent.api.call(
        "POST", "/v1/container/limits", {"name": "/" + name}, {"task_limit": tasks, "page_limit": "64M"}
    )
    assert answer.status == 200, answer.document
    return inside(folder, SLEEP)


def test_values_arrive(agent: Agent, prometheus: Prometheus) -> None:
    """Those of the API, and the recording rules made of them."""
    cgroup = f'{{cgroup="{agent.cgroup}/web"}}'
    with limited(agent, "web"):
        until(lambda: prometheus.value(f"containeragent_tasks{cgroup}"), lambda value: value == 1, "the task")
        rule = f"cgroup:containeragent_task_limit:ratio{cgroup}"
        until(lambda: prometheus.value(rule), lambda value: value == 0.25, "1 of 4 tasks")
        anon = agent.show("/web")["num_anon_pages"] * agent.show("/web")["page_size"]
        assert prometheus.value(f"containeragent_anon_bytes{cgroup}") == anon
        assert prometheus.value('up{job="containeragent"}') == 1
    assert prometheus.query('ALERTS{alertstate="firing"}') == []


def test_a_hostile_name_is_a_label_like_others(agent: Agent, prometheus: Prometheus) -> None:
    """Whatever somebody calls a cgroup: Prometheus takes the scrape, and has it by one label."""
    folder = os.fsencode(agent.root) + b'/evil"} 1 # EOF \\\x1b[31m\xff'
    os.mkdir(folder)
    try:
        name = agent.cgroup + '/evil"} 1 # EOF \\\\x1b[31m\\xff'
        found = until(
            lambda: [one["metric"]["cgroup"] for one in prometheus.query('containeragent_tasks{cgroup=~".*evil.*"}')],
            bool,
            "the cgroup",
        )
        assert found == [name]
        assert prometheus.value('up{job="containeragent"}') == 1
    finally:
        os.rmdir(folder)


def test_all_rules_are_evaluated(prometheus: Prometheus) -> None:
    """None fails."""
    assert len(rules_of(prometheus)) == 20
    until(lambda: {rule["health"] for rule in rules_of(prometheus)}, lambda health: health == {"ok"}, "rules")


def rules_of(prometheus: Prometheus) -> list[dict[str, Any]]:
    """Of all groups."""
    return [rule for group in prometheus.get("/api/v1/rules")["groups"] for rule in group["rules"]]


def test_every_query_of_the_dashboard_has_an_answer(agent: Agent, prometheus: Prometheus) -> None:
    """With a limited container at least one sample each."""
    found = list(queries())
    assert len(found) > 20
    with limited(agent, "web"):
        for title, expression in found:
            until(lambda expression=expression: prometheus.query(expression), bool, title, 60)  # type: ignore[misc]


def test_the_largest_share_is_of_either_limit(agent: Agent, prometheus: Prometheus) -> None:
    """Here of pages, which the panel once left out."""
    (expression,) = (expression for title, expression in queries() if title == "Largest share of a limit")
    with limited(agent, "web", tasks=100_000):
        shown = agent.show("/web")
        share = shown["num_anon_pages"] / shown["page_limit"]
        assert share > 1 / 100_000
        until(lambda: prometheus.value(expression), lambda value: value == share, "the share")


@pytest.mark.parametrize("variable", [entry for entry in DASHBOARD["templating"]["list"] if entry["type"] == "query"])
def test_the_dashboards_variables(agent: Agent, prometheus: Prometheus, variable: dict[str, Any]) -> None:
    """label_values of a metric and a label that are there."""
    match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"])
    assert match
    expression = match[1].replace("$instance", ".*")
    until(lambda: {sample["metric"].get(match[2]) for sample in prometheus.query(expression)} - {None}, bool, match[2])
