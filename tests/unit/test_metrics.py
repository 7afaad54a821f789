# SPDX-License-Identifier: Apache-2.0
"""The metrics over a source that only a test fills."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import pytest
from prometheus_client import generate_latest, parser

from containeragent import metrics
from containeragent.cgroups.naming import Names
from containeragent.containers.audit import Line
from containeragent.containers.ended import Ended
from containeragent.counters.ends import End
from containeragent.counters.snapshot import Snapshot
from containeragent.events.bus import Bus
from containeragent.limits.model import Hits, Limits, LimitState
from containeragent.workloads.patterns import of_path
from tests.unit.snapshots import PAGE_BYTES, FakeSource, end, snapshot

PATHS: dict[int, str | None] = {1: "/", 2: "/containers", 3: "/containers/web", 4: '/x"\\\n', 5: None}
PATHS |= {6: "/docker/" + "a" * 64, 7: "/system.slice/ssh.service"}

NO_STATES: Mapping[int, LimitState] = {}


def paths_of(cgroup_ids: Sequence[int]) -> list[str | None]:
    """Those above, and made up ones."""
    return [PATHS.get(number, f"/c{number}") for number in cgroup_ids]


def scraped(
    now: Snapshot, series_cap: int = 50000, ended: Sequence[End] = (), limits: Mapping[int, LimitState] = NO_STATES
) -> dict[str, dict[str, float]]:
    """Values by name and cgroup ("" where there is none), after the text format and back."""
    fake, names, bus = FakeSource(now), Names("/containers"), Bus()
    fake.ended = list(ended)
    source = fake.as_source()
    dead = Ended(source, names, bus, 300)
    collector = metrics.ContainerCollector(
        source, names, paths_of, series_cap, bus=bus, ended=dead, workload_of=of_path, limits=lambda _: limits
    )
    text = generate_latest(metrics.registry(collector)).decode()
    found: dict[str, dict[str, float]] = {}
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name.removeprefix("containeragent_"), {})[sample.labels.get("cgroup", "")] = (
                sample.value
            )
    return found


def test_values() -> None:
    """Pages become bytes."""
    found = scraped(snapshot((1, 9), (3, 2)))
    assert found["tasks"] == {"/": 9, "/containers/web": 2}
    assert found["tasks_peak"] == {"/": 10, "/containers/web": 3}
    assert found["forks_total"] == {"/": 32, "/containers/web": 25} and found["exits_total"]["/"] == 33
    for kind in ("anon", "file", "shmem"):
        assert found[f"{kind}_bytes"] == {"/": 90 * PAGE_BYTES, "/containers/web": 20 * PAGE_BYTES}
    assert found["memory_peak_bytes"]["/"] == 270 * PAGE_BYTES
    assert found["containers"] == {"": 2} and found["containers_dropped"] == {"": 0}


@pytest.mark.parametrize("cgroup_id", [6, 7])
def test_info_says_whose_a_cgroup_is(cgroup_id: int) -> None:
    """Unless it is managed, or nobody's that is known."""
    collector = metrics.ContainerCollector(
        FakeSource(snapshot((3, 1), (cgroup_id, 1))).as_source(),
        Names("/containers"),
        paths_of,
        999,
        workload_of=of_path,
    )
    families = {family.name: family for family in collector.collect()}
    managed, other = families["containeragent_container_info"].samples
    assert not any(managed.labels[key] for key in ("runtime", "container_id", "unit"))
    expected = {6: ("docker", "a" * 64, "", ""), 7: ("systemd", "", "", "ssh.service")}[cgroup_id]
    assert tuple(other.labels[key] for key in ("runtime", "container_id", "container", "unit")) == expected


def test_about_itself() -> None:
    """The kernel side's own troubles, and the programs'."""
    found = scraped(snapshot((1, 9), slots_exhausted=3, slots_dead=2, slots=16))
    assert (found["slots_exhausted_total"], found["slots_dead"], found["slots"]) == ({"": 3}, {"": 2}, {"": 16})
    assert found["bpf_program_runs_total"] == {"": 7} and found["bpf_program_missed_total"] == {"": 1}
    assert found["bpf_program_run_seconds_total"] == {"": 3}
    assert found["build_info"] == found["engine_info"] == {"": 1} and found["collect_seconds"][""] >= 0


def test_any_name_survives_the_text_format() -> None:
    """Quotes, backslashes, newlines."""
    assert scraped(snapshot((4, 1)))["tasks"] == {'/x"\\\n': 1}


def test_one_that_is_gone_is_left_out() -> None:
    """It has no path any more."""
    assert scraped(snapshot((1, 1), (5, 1)))["tasks"] == {"/": 1}


@pytest.mark.parametrize("number, cap", [(5, 20), (5, 49), (50, 100), (3, 1)])
def test_the_cap(number: int, cap: int) -> None:
    """At most so many series of containers, but one container; the heaviest stay, the rest is counted."""
    found = scraped(snapshot(*((10 + at, at) for at in range(number))), cap)
    kept = found["tasks"]
    series = sum(len(values) for values in found.values() if "" not in values)
    assert series <= cap or len(kept) == 1
    assert sorted(kept.values()) == sorted(range(number))[-len(kept) :]
    assert found["containers_dropped"] == {"": number - len(kept)} and found["containers"] == {"": number}


def test_no_container() -> None:
    """Families are there, empty."""
    assert "tasks" not in scraped(snapshot())


def test_a_registry_of_its_own() -> None:
    """Nothing of the Python process, and registering reads nothing."""
    collector = metrics.ContainerCollector(FakeSource(snapshot()).as_source(), Names("/x"), paths_of, 1)
    assert all(family.name.startswith("containeragent_") for family in metrics.registry(collector).collect())


def test_limits() -> None:
    """Of who has them; what is unknown has no sample; they count against the cap."""
    limits = {3: LimitState(Limits(5, 10), "kernel", "kernel", Hits(None, 7), Hits(0, 0), 1.5)}
    found = scraped(snapshot((1, 9), (3, 2)), limits=limits)
    assert found["task_limit"] == {"/containers/web": 5} and "task_limit_hits_total" not in found
    assert found["page_limit_bytes"] == {"/containers/web": 10 * PAGE_BYTES}
    assert found["page_limit_hits_total"] == {"/containers/web": 7}
    assert found["throttled_seconds_total"] == {"/containers/web": 1.5}


def drifted(most: int) -> dict[str, list[tuple[str, str, float]]]:
    """Samples by family: cgroup, counter, value."""
    audit = {
        "/web": [
            Line("tasks", 3, 2, 1, "cgroup.threads", False, None),
            Line("anon", 3, 3, 0, "memory.stat", False, None),
            Line("file", 3, 9, -6, "memory.stat", True, None),
            Line("mapped", 3, 9, -6, "kpageflags", False, 12.0),
            Line("active", None, 9, None, "memory.stat", False, None),
        ],
        "/db": [Line("shmem", 3, 8, -5, "memory.stat", False, None)],
    }
    return {
        family.name: [(s.labels["cgroup"], s.labels.get("counter", ""), s.value) for s in family.samples]
        for family in metrics.drift_families(audit, most)
    }


def test_drift_is_what_is_wrong_at_rest() -> None:
    """Not what moved, nor what is old, nor what is unknown."""
    found = drifted(50)
    assert found["containeragent_drift_tasks"] == [("/web", "", 1)]
    assert found["containeragent_drift_pages"] == [("/db", "shmem", -5), ("/web", "anon", 0)]


@pytest.mark.parametrize("most, left", [(1, 1), (0, 0), (-5, 0)])
def test_drift_fits_into_the_cap(most: int, left: int) -> None:
    """The largest stays."""
    found = drifted(most)
    assert found["containeragent_drift_pages"] == [("/db", "shmem", -5)][:left]
    assert found["containeragent_drift_tasks"] == []


def test_the_dead_keep_their_last_values() -> None:
    """One a path, the newest, and none whose path lives; what is unknown of them is absent; not those of others."""
    ended = [
        end(70, "/containers/gone", forks=1, died_at=time.time() - 9),
        end(71, "/containers/gone", forks=23, peak_pages=50, local={"anon": 5, "file": 6, "shmem": 1}),
        end(72, "/containers/web", forks=99),
        end(73, "/user.slice", managed=False),
    ]
    found = scraped(snapshot((3, 2)), ended=ended)
    assert found["forks_total"] == {"/containers/web": 25, "/containers/gone": 23}
    assert found["anon_bytes"]["/containers/gone"] == 5 * PAGE_BYTES
    assert found["memory_peak_bytes"]["/containers/gone"] == 50 * PAGE_BYTES
    assert "active_bytes" not in found and found["file_mapped_bytes"].keys() == {"/containers/web"}
    assert found["died_timestamp_seconds"] == {"/containers/gone": pytest.approx(time.time(), abs=30)}
    assert found["container_info"].keys() == {"/containers/web", "/containers/gone"}


def test_the_dead_come_after_the_living_in_the_cap() -> None:
    """The newest first; the others are counted."""
    ended = [end(70 + number, f"/containers/{number}", died_at=time.time() - number) for number in range(4)]
    found = scraped(snapshot((3, 2)), 3 * metrics._PER_CONTAINER, ended)
    assert found["forks_total"].keys() == {"/containers/web", "/containers/0", "/containers/1"}
    assert found["containers_dropped"] == {"": 2}
