# SPDX-License-Identifier: Apache-2.0
"""/metrics as a scraper reads it: names, labels, values that agree with the API, counters that never go back."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import parser
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics

from tests.e2e.conftest import MakeAgent
from tests.e2e.support.agent import Agent
from tests.e2e.support.http import scrape
from tests.e2e.support.processes import PYTHON, SLEEP, inside
from tests.e2e.support.waiting import until

FORKS = "import os\nfor _ in range(23):\n os.waitpid(os.fork() or os._exit(0), 0)"
PER_CONTAINER = (
    "tasks tasks_peak forks_total exits_total anon_bytes file_bytes shmem_bytes memory_peak_bytes container_info"
).split()
ABOUT_ITSELF = (
    "build_info engine_info containers bpf_program_runs_total bpf_program_run_seconds_total bpf_program_missed_total "
    "events_lost_total slots_exhausted_total containers_dropped collect_seconds"
).split()
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def families(agent: Agent) -> list[Metric]:
    """A scrape, parsed."""
    return list(parser.text_string_to_metric_families(scrape(agent.address)[0]))


def series(agent: Agent, only_counters: bool = False) -> Series:
    """Every sample by name and labels."""
    wanted = [family for family in families(agent) if family.type == "counter" or not only_counters]
    return {
        (sample.name.removeprefix("containeragent_"), frozenset(sample.labels.items())): sample.value
        for family in wanted
        for sample in family.samples
    }


def of_cgroup(samples: Series, name: str, cgroup: str) -> float:
    """One container's value."""
    return samples[name, frozenset({("cgroup", cgroup)})]


def test_every_name_is_there(agent: Agent) -> None:
    """Those of the design that this version has; all of ours begin alike; each has a help text."""
    found = families(agent)
    names = {sample.name for family in found for sample in family.samples}
    assert names >= {f"containeragent_{name}" for name in PER_CONTAINER + ABOUT_ITSELF}
    assert all(name.startswith("containeragent_") for name in names)
    assert all(family.documentation for family in found)
    assert len({family.name for family in found}) == len(found)


def test_values_are_those_of_the_api(agent: Agent) -> None:
    """Sizes in bytes."""
    folder = agent.create("web")
    cgroup = f"{agent.cgroup}/web"
    with inside(folder, SLEEP), inside(folder, [*PYTHON, FORKS]) as storm:
        storm.wait(60)
        until(lambda: agent.show("/web"), lambda shown: shown["exits"] == 24, "rest")
        shown, samples = agent.show("/web"), series(agent)
        assert of_cgroup(samples, "tasks", cgroup) == shown["num_tasks"] == 1
        assert of_cgroup(samples, "forks_total", cgroup) == 23 and of_cgroup(samples, "exits_total", cgroup) == 24
        assert of_cgroup(samples, "tasks_peak", cgroup) == shown["peak_tasks"]
        for kind in ("anon", "file", "shmem"):
            assert of_cgroup(samples, f"{kind}_bytes", cgroup) == shown[f"num_{kind}_pages"] * shown["page_size"]
        assert of_cgroup(samples, "memory_peak_bytes", cgroup) == shown["peak_pages"] * shown["page_size"]


def test_names_are_on_container_info(agent: Agent) -> None:
    """Other series carry the cgroup alone."""
    agent.create("web")
    infos = [dict(labels) for name, labels in series(agent) if name == "container_info"]
    names = [{key: value for key, value in info.items() if key in ("cgroup", "name", "managed")} for info in infos]
    assert {"cgroup": f"{agent.cgroup}/web", "name": "/web", "managed": "true"} in names
    assert {"cgroup": "/", "name": "/", "managed": "false"} in names
    labels = {key for name, pairs in series(agent) if name in PER_CONTAINER[:-1] for key, _ in pairs}
    assert labels == {"cgroup"}


def test_labels_are_escaped(agent: Agent) -> None:
    """Quotes, backslashes and bytes that are not UTF-8, which only others can put into a name."""
    os.mkdir(os.fsencode(agent.root) + b'/caf\xff"\\')
    assert of_cgroup(series(agent), "tasks", agent.cgroup + '/caf\\xff"\\') == 0


def test_counters_never_go_back(agent: Agent) -> None:
    """Nor do series disappear while their cgroup lives."""
    folder = agent.create("web")
    before = series(agent, only_counters=True)
    with inside(folder, [*PYTHON, FORKS]) as storm:
        storm.wait(60)
    after = series(agent, only_counters=True)
    ours = [key for key in before if ("cgroup", f"{agent.cgroup}/web") in key[1] or not dict(key[1]).get("cgroup")]
    assert len(ours) > 20 and all(after[key] >= before[key] for key in ours)
    assert of_cgroup(after, "forks_total", f"{agent.cgroup}/web") == 23


def test_openmetrics(agent: Agent) -> None:
    """What Prometheus asks for first."""
    text, kind = scrape(agent.address, "application/openmetrics-text")
    assert kind.startswith("application/openmetrics-text") and text.endswith("# EOF\n")
    parsed = openmetrics.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    found = {family.name: family.type for family in parsed}
    assert found["containeragent_forks"] == "counter" and found["containeragent_tasks"] == "gauge"


def test_the_cap_drops_and_counts(make_agent: MakeAgent) -> None:
    """At most so many series of containers; those with the most tasks and memory stay."""
    agent = make_agent("--series-cap", "20").start()
    for number in range(5):
        agent.create(f"c{number}")
    samples = series(agent)
    of_containers = [labels for name, labels in samples if name in PER_CONTAINER or dict(labels).get("cgroup")]
    assert 0 < len(of_containers) <= 20
    # Drift may be of a container whose counters were left out.
    cgroups = {dict(labels)["cgroup"] for name, labels in samples if name in PER_CONTAINER}
    assert "/" in cgroups
    counted, dropped = samples["containers", frozenset()], samples["containers_dropped", frozenset()]
    assert dropped == counted - len(cgroups) and counted >= 7


def test_slots_run_out(make_agent: MakeAgent) -> None:
    """Refused in one line, and nothing half made; it is told, and a place that becomes free is used again."""
    agent = make_agent("--slots", "16").start()
    made = 0
    while agent.api.call("POST", "/v1/containers", body={"name": f"/c{made}"}).status == 201:
        made += 1
        assert made < 16
    refused = agent.ctl("--json", "create", "--parents", "one/more")
    refused.refused("slots are in use", "--slots")
    assert refused.json()["error"]["code"] == "ENOSPC"
    assert sorted(agent.names()) == sorted(f"/c{number}" for number in range(made))
    assert sorted(entry.name for entry in Path(agent.root).iterdir() if entry.is_dir()) == sorted(
        f"c{number}" for number in range(made)
    )
    agent.ctl("rm", "c0").ok()
    until(lambda: agent.ctl("create", "again").status, lambda status: status == 0, "a free slot")
