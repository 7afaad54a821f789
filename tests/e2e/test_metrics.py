# SPDX-License-Identifier: Apache-2.0
"""/metrics as a scraper reads it: names, labels, values that agree with the API, counters that never go back."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client import parser
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics

from tests.e2e.conftest import MakeAgent
from tests.e2e.support import command
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


def created(agent: Agent, name: str, cgroup: str) -> float:
    """When a counter began, as OpenMetrics has it."""
    text = scrape(agent.address, "application/openmetrics-text")[0]
    prefix = f'containeragent_{name}_created{{cgroup="{cgroup}"}} '
    return next(float(line.removeprefix(prefix)) for line in text.splitlines() if line.startswith(prefix))


def test_counters_go_on_through_every_end_of_the_agent(make_agent: MakeAgent) -> None:
    """Killed, or with other programs: neither counters nor when they began change."""
    agent = make_agent().start()
    before = time.time()
    folder, cgroup = agent.create("web"), f"{agent.cgroup}/web"
    names = ("forks_total", "exits_total", "tasks_peak", "memory_peak_bytes")
    began, last = 0.0, [0.0] * len(names)
    for step in ("first", "killed", "replaced", "killed"):
        with inside(folder, [*PYTHON, FORKS]) as storm:
            storm.wait(60)
        if step == "killed":
            agent.restart(signal.SIGKILL)
        elif step == "replaced":
            load = command.module("containeragent", "load", "--replace", "--bpffs", str(agent.bpffs))
            command.run(load).ok()
        samples = series(agent)
        now = [of_cgroup(samples, name, cgroup) for name in names]
        assert all(value >= earlier for value, earlier in zip(now, last, strict=True)), step
        assert now[0] == last[0] + 23 and now[1] == last[1] + 24
        last, began = now, began or created(agent, "forks", cgroup)
        assert created(agent, "forks", cgroup) == pytest.approx(began, abs=0.1)
    assert before - 1 < began < time.time()


def test_a_cgroup_nested_too_deep_for_a_path_breaks_nothing(agent: Agent) -> None:
    """Whoever owns a cgroup can make one whose path the kernel cannot say."""
    agent.create("web")
    home, depth = os.open(agent.root, os.O_RDONLY), 0
    try:
        at = os.dup(home)
        for _ in range(18):
            os.mkdir("d" * 250, dir_fd=at)
            below = os.open("d" * 250, os.O_RDONLY, dir_fd=at)
            os.close(at)
            at, depth = below, depth + 1
        os.close(at)
        samples = series(agent)
        assert of_cgroup(samples, "tasks", f"{agent.cgroup}/web") == 0
        assert samples["containers_dropped", frozenset({("reason", "no_path")})] > 0
        assert "/web" in agent.names()
    finally:
        for level in range(depth, 0, -1):
            at = os.dup(home)
            for _ in range(level - 1):
                below = os.open("d" * 250, os.O_RDONLY, dir_fd=at)
                os.close(at)
                at = below
            os.rmdir("d" * 250, dir_fd=at)
            os.close(at)
        os.close(home)


def test_scrapes_while_containers_come_and_go(agent: Agent) -> None:
    """None fails, and each has what lives all the time."""
    agent.create("stays")
    stop = threading.Event()

    def churn() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            folder = agent.root / f"c{number % 50}"
            folder.mkdir()
            folder.rmdir()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(churn)
        try:
            for _ in range(50):
                samples = series(agent)
                assert of_cgroup(samples, "tasks", f"{agent.cgroup}/stays") == 0
        finally:
            stop.set()
        done.result()
    assert not any(value for (name, _), value in samples.items() if name == "collect_failures_total")


def test_only_what_is_asked_for(make_agent: MakeAgent) -> None:
    """By patterns, which match as a whole; young tiny containers have no metrics yet."""
    agent = make_agent("--metrics-include", "/test-.*", "--metrics-exclude", ".*/tmp-.*").start()
    for name in ("web", "tmp-1"):
        agent.create(name)
    cgroups = {dict(labels).get("cgroup") for name, labels in series(agent) if name == "tasks"}
    assert cgroups >= {agent.cgroup, f"{agent.cgroup}/web"} and "/" not in cgroups
    assert f"{agent.cgroup}/tmp-1" not in cgroups
    agent.end()
    agent.options = ("--metrics-min-age-seconds", "3600")
    agent.start()
    agent.create("young")
    samples = series(agent)
    assert ("tasks", frozenset({("cgroup", f"{agent.cgroup}/young")})) not in samples
    assert samples["containers_dropped", frozenset({("reason", "young")})] >= 1
    assert of_cgroup(samples, "tasks", "/") > 0


def test_a_pattern_that_is_none_is_refused(make_agent: MakeAgent) -> None:
    """In one line, before anything is loaded."""
    command.run(command.module("containeragent", "check", "--metrics-include", "(")).refused("metrics_include", "RE2")


def test_the_cap_drops_and_counts(make_agent: MakeAgent) -> None:
    """At most so many series of containers; those with the most tasks and memory stay."""
    agent = make_agent("--series-cap", "35").start()
    for number in range(5):
        agent.create(f"c{number}")
    samples = series(agent)
    of_containers = [labels for name, labels in samples if name in PER_CONTAINER or dict(labels).get("cgroup")]
    assert 0 < len(of_containers) <= 35
    # Drift may be of a container whose counters were left out.
    cgroups = {dict(labels)["cgroup"] for name, labels in samples if name in PER_CONTAINER}
    assert "/" in cgroups
    counted = samples["containers", frozenset()]
    dropped = samples["containers_dropped", frozenset({("reason", "series_cap")})]
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
