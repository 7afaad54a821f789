# SPDX-License-Identifier: Apache-2.0
"""The metrics of containers over a source that only a test fills, read back by prometheus-client's parsers."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pytest
from prometheus_client import parser
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser

from containeragent.cgroups.naming import Names
from containeragent.containers.audit import Line, differences
from containeragent.containers.ended import Ended
from containeragent.counters.ends import End
from containeragent.counters.snapshot import Snapshot
from containeragent.events.bus import Bus
from containeragent.limits.model import Hits, Limits, LimitState
from containeragent.metrics import about_itself
from containeragent.metrics.choice import Choice
from containeragent.metrics.containers import ContainerMetrics
from containeragent.metrics.drift import Drift
from containeragent.metrics.family import PREFIX, Family
from containeragent.metrics.labels import Labels
from containeragent.metrics.rendering import Renderer
from containeragent.metrics.series import PER_CONTAINER, PER_DEAD
from containeragent.workloads.patterns import Workload, of_path
from tests.unit.snapshots import PAGE_BYTES, FakeSource, end, snapshot

PATHS: dict[int, str | None] = {1: "/", 2: "/containers", 3: "/containers/web", 4: '/x"\\\n', 5: None}
PATHS |= {6: "/docker/" + "a" * 64, 7: "/system.slice/ssh.service", 8: "/\x1b[31m\udcff"}
CAP = 50000
ALL = Choice(CAP)
NO_STATES: Mapping[int, LimitState] = {}
LIMITED = LimitState(Limits(5, 10), "kernel", "kernel", Hits(None, 7), Hits(0, 0), 1.5)
Found = dict[str, dict[str, float]]


def paths_of(cgroup_ids: Sequence[int]) -> list[str | None]:
    """Those above, and made up ones."""
    return [PATHS.get(number, f"/c{number}") for number in cgroup_ids]


def families(
    now: Snapshot,
    choice: Choice = ALL,
    ended: Sequence[End] = (),
    *,
    limits: Mapping[int, LimitState] = NO_STATES,
    paths: Callable[[Sequence[int]], list[str | None]] = paths_of,
    workload_of: Callable[[str], Workload | None] = of_path,
) -> list[Family]:
    """One scrape, with what the agent says of itself."""
    fake, names, bus = FakeSource(now), Names("/containers"), Bus()
    fake.ended = list(ended)
    source = fake.as_source()
    dead = Ended(source, names, bus, 300)
    labels = Labels(names, paths, workload_of, choice.is_wanted)
    containers = ContainerMetrics(source, labels, choice, ended=dead, limits=lambda _: limits)
    return [*containers.families(now), *about_itself.families(source, now, bus, dead)]


def parsed(found: Iterable[Family], openmetrics: bool = False) -> list[Metric]:
    """As others read it."""
    text = b"".join(Renderer().rendered(found, openmetrics)).decode()
    if openmetrics:
        return list(openmetrics_parser.text_string_to_metric_families(text))  # type: ignore[no-untyped-call]
    return list(parser.text_string_to_metric_families(text))


def by_name(metrics: Iterable[Metric], label: str = "cgroup") -> Found:
    """Values by name and that label, "" where there is none."""
    found: Found = {}
    for sample in (sample for family in metrics for sample in family.samples):
        found.setdefault(sample.name.removeprefix(PREFIX), {})[sample.labels.get(label, "")] = sample.value
    return found


def scraped(
    now: Snapshot, choice: Choice = ALL, ended: Sequence[End] = (), limits: Mapping[int, LimitState] = NO_STATES
) -> Found:
    """The same by name and cgroup."""
    return by_name(parsed(families(now, choice, ended, limits=limits)))


def dropped(found: Iterable[Family]) -> dict[str, float]:
    """By reason, those that are not 0."""
    numbers = by_name(parsed(found), "reason")["containers_dropped"]
    return {reason: number for reason, number in numbers.items() if number}


def born(now: Snapshot, *seconds_ago: float | None) -> Snapshot:
    """With these ages."""
    times = [now.born_ns[0] if ago is None else time.monotonic_ns() - int(ago * 1e9) for ago in seconds_ago]
    return dataclasses.replace(now, born_ns=np.array(times, dtype=np.int64))


@pytest.mark.parametrize("openmetrics", [False, True])
def test_values(openmetrics: bool) -> None:
    """Pages become bytes."""
    found = by_name(parsed(families(snapshot((1, 9), (3, 2))), openmetrics))
    assert found["tasks"] == {"/": 9, "/containers/web": 2}
    assert found["tasks_peak"] == {"/": 10, "/containers/web": 3}
    assert found["forks_total"] == {"/": 32, "/containers/web": 25} and found["exits_total"]["/"] == 33
    for kind in ("anon", "file", "shmem"):
        assert found[f"{kind}_bytes"] == {"/": 90 * PAGE_BYTES, "/containers/web": 20 * PAGE_BYTES}
    assert found["memory_peak_bytes"]["/"] == 270 * PAGE_BYTES
    assert found["containers"] == {"": 2} and found["containers_managed"] == {"": 1}
    assert "active_bytes" not in found  # unknown


def test_a_counter_says_since_when_in_openmetrics() -> None:
    """Where that is known; the text format has no such lines."""
    now = born(snapshot((1, 9), (3, 2)), None, 50)
    found = by_name(parsed(families(now, limits={3: LIMITED}), openmetrics=True))
    created = {name for name in found if name.endswith("_created")}
    assert created == {
        f"{name}_created" for name in ("forks", "exits", "page_limit_hits", "throttled_seconds")
    }  # hits of tasks are unknown
    for name in created:
        assert found[name] == {"/containers/web": pytest.approx(time.time() - 50, abs=5)}
    assert "created" not in b"".join(Renderer().rendered(families(now), False)).decode()


@pytest.mark.parametrize("cgroup_id", [6, 7])
def test_info_says_whose_a_cgroup_is(cgroup_id: int) -> None:
    """Unless it is managed, or nobody's that is known."""
    found = {metric.name: metric for metric in parsed(families(snapshot((3, 1), (cgroup_id, 1))))}
    managed, other = found[PREFIX + "container_info"].samples
    assert not any(managed.labels[key] for key in ("runtime", "container_id", "unit"))
    assert (managed.labels["name"], managed.labels["managed"], other.labels["managed"]) == ("/web", "true", "false")
    expected = {6: ("docker", "a" * 64, "", ""), 7: ("systemd", "", "", "ssh.service")}[cgroup_id]
    assert tuple(other.labels[key] for key in ("runtime", "container_id", "container", "unit")) == expected


def test_about_itself() -> None:
    """The kernel side's own troubles, and the programs'."""
    found = scraped(snapshot((1, 9), slots_exhausted=3, slots_dead=2, slots=16))
    assert (found["slots_exhausted_total"], found["slots_dead"], found["slots"]) == ({"": 3}, {"": 2}, {"": 16})
    assert found["bpf_program_runs_total"] == {"": 7} and found["bpf_program_missed_total"] == {"": 1}
    assert found["bpf_program_run_seconds_total"] == {"": 3}
    assert found["build_info"] == found["engine_info"] == {"": 1}


@pytest.mark.parametrize("openmetrics", [False, True])
def test_any_name_survives_the_format(openmetrics: bool) -> None:
    """Quotes, backslashes, newlines; what a terminal would take for its own, and what is no character, as text."""
    found = by_name(parsed(families(snapshot((4, 1), (8, 2))), openmetrics))
    assert found["tasks"] == {'/x"\\\n': 1, "/\\x1b[31m\\udcff": 2}
    assert found["container_info"].keys() == found["tasks"].keys()


def test_one_that_is_gone_is_left_out() -> None:
    """It has no path any more."""
    found = families(snapshot((1, 1), (5, 1)))
    assert by_name(parsed(found))["tasks"] == {"/": 1} and dropped(found) == {"no_path": 1}


def _broken_paths(cgroup_ids: Sequence[int]) -> list[str | None]:
    if 9 in cgroup_ids:
        raise OSError(36, "File name too long")
    return paths_of(cgroup_ids)


def _broken_workloads(path: str) -> Workload | None:
    if path == "/c9":
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    return of_path(path)


@pytest.mark.parametrize(
    "paths, workload_of, reason", [(_broken_paths, of_path, "no_path"), (paths_of, _broken_workloads, "failed")]
)
def test_one_about_which_something_fails_breaks_nothing(
    paths: Callable[[Sequence[int]], list[str | None]],
    workload_of: Callable[[str], Workload | None],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is left out, counted, and told once."""
    labels = Labels(Names("/containers"), paths, workload_of, lambda _: True)
    for _ in range(3):
        found = labels.of((1, 9, 3), np.zeros(3, dtype=np.int64))
        assert [label and label.cgroup for label in found.labels] == ["/", None, "/containers/web"]
        assert found.missing[reason] == 1 and found.wanted.tolist() == [True, False, True]
    assert [record.message for record in caplog.records] == ["cgroup 9 is left out of the metrics"]
    whole = families(snapshot((1, 1), (9, 1), (3, 1)), paths=paths, workload_of=workload_of)
    assert by_name(parsed(whole))["tasks"].keys() == {"/", "/containers/web"} and dropped(whole) == {reason: 1}


def test_two_of_the_same_text_are_one() -> None:
    """Bytes that are no UTF-8 are shown as others can be called; a scrape must not have a series twice."""
    found = families(snapshot((50, 1), (51, 2)), paths=lambda ids: ["/caf\\xff"] * len(ids))
    assert by_name(parsed(found))["tasks"] == {"/caf\\xff": 1} and dropped(found) == {"failed": 1}


@pytest.mark.parametrize("number, cap", [(5, 40), (5, 79), (50, 200), (3, 1)])
def test_the_cap(number: int, cap: int) -> None:
    """At most so many series of containers, but one container; the heaviest stay, the rest is counted."""
    now = born(snapshot(*((10 + at, at) for at in range(number))), *[1000.0] * number)
    found = families(now, Choice(cap))
    values = by_name(parsed(found))
    kept = values["tasks"]
    for openmetrics in (False, True):
        series = sum(len(one) for one in by_name(parsed(found, openmetrics)).values() if "" not in one)
        assert series <= cap or len(kept) == 1
    assert sorted(kept.values()) == sorted(range(number))[-len(kept) :]
    left_out = number - len(kept)
    assert dropped(found) == ({"series_cap": left_out} if left_out else {}) and values["containers"] == {"": number}


def test_tiny_ones_need_an_age() -> None:
    """Not those with memory or tasks, nor with limits, nor that were there before the programs."""
    now = born(snapshot((20, 0), (21, 0), (22, 0), (23, 0), (24, 2), (25, 10)), 1, 11, None, 2, 3, 4)
    found = families(now, Choice(CAP, min_age_seconds=10), limits={23: LIMITED})
    assert by_name(parsed(found))["tasks"].keys() == {"/c21", "/c22", "/c23", "/c24", "/c25"}
    assert dropped(found) == {"young": 1}


def test_tiny_ones_that_are_gone_needed_an_age() -> None:
    """Their last values are not shown, or every short-lived container would be series for grace_seconds."""
    now = time.time()
    ended = [
        end(70, "/containers/short", born_at=now - 1, peak_tasks=1),
        end(71, "/containers/long", born_at=now - 100, peak_tasks=1),
        end(72, "/containers/large", born_at=now - 1, peak_tasks=1, peak_pages=257),
        end(73, "/containers/before", born_at=None, peak_tasks=1),
    ]
    found = families(snapshot((3, 2)), Choice(CAP, min_age_seconds=10), ended)
    shown = by_name(parsed(found))["died_timestamp_seconds"].keys()
    assert shown == {"/containers/long", "/containers/large", "/containers/before"}
    assert dropped(found) == {"young": 1}


def test_only_what_is_asked_for() -> None:
    """Of the living and of the dead."""
    choice = Choice(CAP, is_wanted=lambda path: path.endswith("web"))
    found = families(snapshot((1, 1), (3, 2), (7, 3)), choice, [end(70, "/containers/a/web"), end(71, "/containers/b")])
    assert by_name(parsed(found))["tasks"].keys() == {"/containers/web", "/containers/a/web"}
    assert dropped(found) == {"excluded": 3}


def test_no_container() -> None:
    """Families are there, empty."""
    assert "tasks" not in scraped(snapshot())


def test_limits() -> None:
    """Of who has them; what is unknown has no sample; they count against the cap."""
    found = scraped(snapshot((1, 9), (3, 2)), limits={3: LIMITED})
    assert found["task_limit"] == {"/containers/web": 5} and "task_limit_hits_total" not in found
    assert found["page_limit_bytes"] == {"/containers/web": 10 * PAGE_BYTES}
    assert found["page_limit_hits_total"] == {"/containers/web": 7}
    assert found["throttled_seconds_total"] == {"/containers/web": 1.5}
    assert scraped(snapshot((1, 9), (3, 2)), Choice(2 * PER_CONTAINER))["tasks"].keys() == {"/", "/containers/web"}
    assert scraped(snapshot((1, 9), (3, 2)), Choice(2 * PER_CONTAINER), limits={3: LIMITED})["tasks"].keys() == {"/"}


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
        for family in parsed(Drift().families(differences(audit.items()), most))
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


def test_drift_is_of_the_newest_audit() -> None:
    """What is kept of one goes with it."""
    audits, drift = ({("tasks", 1): ["/web"]}, {("tasks", 0): ["/web"]}), Drift()
    found = [list(drift.families(audit, 9)[0].values) for audit in (audits[0], audits[0], audits[1])]
    assert found == [[1], [1], [0]]


def test_drift_is_rendered_once_an_audit() -> None:
    """The same families, whose text is kept, until there is another audit or other room."""
    found, drift = {("anon", 5): ["/web"], ("tasks", 23): ["/web"]}, Drift()
    first = drift.families(found, 9)
    assert drift.families(found, 2) is first
    assert [len(family.labels) for family in drift.families(found, 1)] == [1, 0]


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
    now = time.time()
    ended = [end(70 + age, f"/containers/{age}", born_at=now - 99, died_at=now - age) for age in range(4)]
    found = families(snapshot((3, 2)), Choice(PER_CONTAINER + 2 * PER_DEAD), ended)
    assert by_name(parsed(found))["forks_total"].keys() == {"/containers/web", "/containers/0", "/containers/1"}
    assert dropped(found) == {"series_cap": 2}


def test_each_help_text_says_its_unit() -> None:
    """Where the name has one; and where figures of containers come from."""
    for family in families(snapshot((3, 2)), limits={3: LIMITED}):
        for unit in ("bytes", "seconds"):
            assert not family.name.endswith("_" + unit) or unit in family.help, family.name
        if family.labels and family.labels[0].startswith("{cgroup=") and family.name != "died_timestamp_seconds":
            assert "Source: " in family.help, family.name
        assert not set(family.help) & set('\\"\n')


def test_labels_that_are_made_anew_are_forgotten() -> None:
    """Memory is bounded by who lives."""
    labels = Labels(Names("/containers"), paths_of, of_path, lambda _: True)
    for start in range(100, 10_000, 1000):
        labels.of(range(start, start + 1000), np.zeros(1000, dtype=np.int64))
    assert len(labels._known) <= 3001


def test_labels_are_kept_until_something_changes() -> None:
    """The same cgroups are not looked at again, until one is renamed, comes, or its workload may have got a name."""
    asked: list[str] = []

    def workload_of(path: str) -> Workload | None:
        asked.append(path)
        return of_path(path)

    names, nobody = Names("/containers"), np.zeros(3, dtype=np.int64)
    labels = Labels(names, paths_of, workload_of, lambda _: True)
    ids = (1, 3, 6)
    first = labels.of(ids, nobody)
    assert labels.of(ids, nobody) is first and len(asked) == 3
    names.rename(("web",), 3, "shop")
    renamed = labels.of(ids, nobody)
    assert renamed is not first and renamed.labels[1] and 'name="/shop"' in renamed.labels[1].info
    asked.clear()
    assert labels.of((1, 3, 6, 7), np.zeros(4, dtype=np.int64)).labels[:3] == renamed.labels and len(asked) == 1
    docker = renamed.labels[2]
    assert docker and docker.good_until < time.monotonic() + 11  # it has no name yet
    docker.good_until = 0.0
    labels.of((1, 3, 6), nobody)
    assert asked[1:] == [PATHS[6]]
