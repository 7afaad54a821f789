# SPDX-License-Identifier: Apache-2.0
"""The metrics, as DESIGN names them, for prometheus-client.

In: snapshots and the kernel's figures for our programs. Out: a Collector; sizes are bytes. The number of series is
bounded: over the cap, containers with the least memory and tasks are left out and counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from containeragent import __version__
from containeragent.cgroups.naming import Names
from containeragent.containers.audit import Audit
from containeragent.containers.ended import Ended
from containeragent.containers.view import Dead
from containeragent.counters.ends import last_snapshot
from containeragent.counters.snapshot import UNKNOWN, Snapshot
from containeragent.counters.source import Source
from containeragent.events.bus import Bus
from containeragent.limits import metrics as limit_metrics
from containeragent.limits.model import LimitState
from containeragent.release.releases import Releases
from containeragent.workloads.patterns import Workload

_PREFIX = "containeragent_"
Numbers = npt.NDArray[np.int64]
_WORKLOAD = ("runtime", "container_id", "container", "unit", "pod_uid", "pod", "namespace")
Labels = list[tuple[int, list[str]]]  # position in a snapshot, label values


@dataclass(frozen=True)
class _Series:
    """One metric with a value a container; `counter` ones end in _total."""

    name: str
    help: str
    values: Callable[[Snapshot, int], Numbers]
    counter: bool = False


def _bytes(column: str) -> Callable[[Snapshot, int], Numbers]:
    def values(snapshot: Snapshot, page_size: int) -> Numbers:
        pages = snapshot.total[column]
        return np.where(pages == UNKNOWN, UNKNOWN, pages * page_size)

    return values


_SERIES = (
    _Series("tasks", "Threads in the cgroup and below it.", lambda s, page: s.total["tasks"]),
    _Series("tasks_peak", "Highest number of threads so far.", lambda s, page: s.peak_tasks),
    _Series("forks", "Threads ever started.", lambda s, page: s.forks, counter=True),
    _Series("exits", "Threads ever ended.", lambda s, page: s.exits, counter=True),
    _Series("anon_bytes", "Anonymous memory in bytes.", _bytes("anon")),
    _Series("file_bytes", "Page cache in bytes, tmpfs and shared memory included.", _bytes("file")),
    _Series("shmem_bytes", "tmpfs and shared memory in bytes.", _bytes("shmem")),
    _Series("file_mapped_bytes", "Page cache that is mapped by someone, in bytes.", _bytes("mapped")),
    _Series("active_bytes", "Memory on active lists, in bytes.", _bytes("active")),
    _Series(
        "memory_peak_bytes",
        "Highest anonymous memory plus page cache so far, in bytes.",
        lambda s, page: np.where(s.peak_pages == UNKNOWN, UNKNOWN, s.peak_pages * page),
    ),
    _Series(
        "pages_partial",
        "1 if pages from before the load are missing from the figures.",
        lambda s, page: s.partial.astype(np.int64),
    ),
)
_PER_CONTAINER = len(_SERIES) + 1  # and _container_info, or of a dead one _died_timestamp_seconds too


class ContainerCollector(Collector):
    """Everything in one scrape. A container that vanishes meanwhile is left out."""

    def __init__(
        self,
        source: Source,
        names: Names,
        paths_of: Callable[[Sequence[int]], list[str | None]],
        series_cap: int,
        drift: Callable[[], Audit] = dict,
        *,
        bus: Bus | None = None,
        ended: Ended | None = None,
        workload_of: Callable[[str], Workload | None] = lambda _: None,
        limits: Callable[[Snapshot], Mapping[int, LimitState]] = lambda _: {},
        releases: Releases | None = None,
    ) -> None:
        self._source = source
        self._names = names
        self._paths_of = paths_of
        self._series_cap = series_cap
        self._limits = limits
        self._drift = drift
        self._bus = bus or Bus()
        self._releases = releases
        self._ended = ended or Ended(source, names, self._bus, 0)
        self._workload_of = workload_of

    def describe(self) -> Iterable[Metric]:
        """Nothing: so the registry does not collect when it registers."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """One reading of everything."""
        started = time.perf_counter()
        snapshot = self._source.snapshot()
        limits = self._limits(snapshot)
        limits_series = len(limits) * limit_metrics.PER_CONTAINER
        most = max(1, (self._series_cap - limits_series) // _PER_CONTAINER)
        chosen = _choose(snapshot, most)
        paths = self._paths_of(snapshot.cgroup_ids)
        labels = [(at, [path]) for at in chosen if (path := paths[at]) is not None]
        dead = self._dead({path for path in paths if path is not None})
        shown = dead[: max(0, most - len(chosen))]
        last = last_snapshot([one.end for one in shown], snapshot.health)
        dead_labels = [(at, [one.cgroup]) for at, one in enumerate(shown)]
        for series in _SERIES:
            yield _family(series, self._source.page_size, (snapshot, labels), (last, dead_labels))
        yield self._info(labels + dead_labels)
        yield _died(shown)
        ids = snapshot.cgroup_ids
        limited = [(path, limits[ids[at]]) for at, (path,) in labels if ids[at] in limits]
        limited += [(one.cgroup, one.limits) for one in shown if one.limits is not None]
        yield from limit_metrics.families(limited, self._source.page_size)
        left = self._series_cap - (len(labels) + len(shown)) * _PER_CONTAINER - limits_series
        yield from drift_families(self._drift(), left)
        dropped = len(snapshot) - len(chosen) + len(dead) - len(shown)
        yield from self._about_itself(snapshot, dropped, sum(map(self._is_managed, paths)))
        yield _gauge("collect_seconds", "Time this scrape took to collect.", time.perf_counter() - started)

    def _dead(self, living: set[str]) -> list[Dead]:
        """The managed ones that are gone a short while, newest first, one a path and none whose path is taken again."""
        newest_first = sorted(self._ended.dead(False), key=lambda one: one.end.died_at, reverse=True)
        by_path: dict[str, Dead] = {}
        for one in newest_first:
            if one.cgroup not in living:
                by_path.setdefault(one.cgroup, one)
        return list(by_path.values())

    def _info(self, labels: Labels) -> Metric:
        text = "Names of the cgroup, and whose it is; an empty label does not apply, or is not known."
        info = GaugeMetricFamily(_PREFIX + "container_info", text, labels=["cgroup", "name", "managed", *_WORKLOAD])
        for _, (path,) in labels:
            name = self._names.managed(path)
            known = [path, path if name is None else name, "false" if name is None else "true"]
            info.add_metric(known + _workload_labels(self._workload_of(path) if name is None else None), 1)
        return info

    def _is_managed(self, path: str | None) -> bool:
        name = None if path is None or self._names.is_leaf(path) else self._names.managed(path)
        return name not in (None, "/")

    def _about_itself(self, snapshot: Snapshot, dropped: int, managed: int) -> Iterator[Metric]:
        health, engine = snapshot.health, self._source.engine
        yield _labelled("build_info", "Version of the agent.", {"version": __version__})
        why = {"reason": self._source.reason} if self._source.reason else {}
        yield _labelled(
            "engine_info", "What counts tasks and pages; why, where it is a fallback.", asdict(engine) | why
        )
        if snapshot.pages_seen_at is not None:
            age = time.monotonic() - snapshot.pages_seen_at
            yield _gauge("rescan_age_seconds", "Age of what no event tells: mapped and active memory.", age)
        yield _gauge("containers", "Cgroups that are counted.", len(snapshot))
        yield _gauge("containers_managed", "Containers under the cgroup root, it left out.", managed)
        yield from self._of_releases()
        yield _gauge("containers_dropped", "Cgroups left out of this scrape by series_cap.", dropped)
        if health.slots is not None:
            yield _gauge("slots", "Cgroups that can be told apart at the same time.", health.slots)
        yield _gauge("slots_dead", "Slots of removed cgroups whose pages are not freed yet.", health.slots_dead)
        yield _counter(
            "slots_exhausted", "Cgroups that got no slot and count with their parent.", health.slots_exhausted
        )
        lost = CounterMetricFamily(_PREFIX + "events_lost", "Events that could not be counted.", labels=["event"])
        lost.add_metric(["task"], health.tasks_lost)
        lost.add_metric(["page"], health.pages_lost)
        lost.add_metric(["unclaimed_page"], health.pages_unclaimed)
        lost.add_metric(["notice"], health.notices_lost)
        lost.add_metric(["final_record"], self._ended.missed + self._ended.dropped)
        lost.add_metric(["follower"], self._bus.lost)
        yield lost
        yield from self._programs()

    def _of_releases(self) -> Iterator[Metric]:
        if self._releases is None:
            return
        ended = CounterMetricFamily(_PREFIX + "releases", "Containers that became empty.", labels=["result"])
        for result, number in self._releases.counts().items():
            ended.add_metric([result], number)
        yield ended
        yield _gauge("releases_waiting", "Released containers that nobody has come to yet.", self._releases.waiting)

    def _programs(self) -> Iterator[Metric]:
        runs = CounterMetricFamily(
            _PREFIX + "bpf_program_runs", "Runs, while kernel.bpf_stats_enabled is set.", labels=["program"]
        )
        seconds = CounterMetricFamily(
            _PREFIX + "bpf_program_run_seconds",
            "Time in runs, while kernel.bpf_stats_enabled is set.",
            labels=["program"],
        )
        missed = CounterMetricFamily(
            _PREFIX + "bpf_program_missed",
            "Runs that the kernel left out because the program was running.",
            labels=["program"],
        )
        for name, program in self._source.programs().items():
            runs.add_metric([name], program.runs)
            seconds.add_metric([name], program.run_time_ns / 1e9)
            missed.add_metric([name], program.missed)
        return iter((runs, seconds, missed))


def _choose(snapshot: Snapshot, most: int) -> list[int]:
    """Positions of the containers to export."""
    if len(snapshot) <= most:
        return list(range(len(snapshot)))
    weight = sum(np.maximum(snapshot.total[name], 0) for name in ("anon", "file", "tasks"))
    return sorted(np.argsort(weight)[::-1][:most].tolist())


def drift_families(audit: Audit, most: int) -> tuple[Metric, Metric]:
    """Differences to the kernel at rest; of more than `most`, the largest. Absent: unknown, or it was moving."""
    tasks = GaugeMetricFamily(_PREFIX + "drift_tasks", "Tasks counted less those of the kernel.", labels=["cgroup"])
    text = "Pages counted less those of the kernel, at the last audit (drift_seconds)."
    pages = GaugeMetricFamily(_PREFIX + "drift_pages", text, labels=["cgroup", "counter"])
    known = [(path, line) for path, lines in audit.items() for line in lines if line.at_rest]
    for path, line in sorted(known, key=lambda entry: -abs(entry[1].difference or 0))[: max(0, most)]:
        family, labels = (tasks, [path]) if line.counter == "tasks" else (pages, [path, line.counter])
        family.add_metric(labels, float(line.difference or 0))
    return tasks, pages


def _family(series: _Series, page_size: int, *parts: tuple[Snapshot, Labels]) -> Metric:
    kind = CounterMetricFamily if series.counter else GaugeMetricFamily
    family = kind(_PREFIX + series.name, series.help, labels=["cgroup"])
    for snapshot, labels in parts:
        values = series.values(snapshot, page_size).tolist()
        for at, label in labels:
            if values[at] != UNKNOWN:
                family.add_metric(label, values[at])
    return family


def _workload_labels(workload: Workload | None) -> list[str]:
    """As kubelet and cAdvisor call them."""
    if workload is None:
        return [""] * len(_WORKLOAD)
    unit, container = (workload.name, "") if workload.runtime == "systemd" else ("", workload.name)
    return [workload.runtime, workload.id, container, unit, workload.pod_uid, workload.pod, workload.namespace]


def _died(dead: Sequence[Dead]) -> Metric:
    text = "When the cgroup was removed; its last values stay for grace_seconds."
    family = GaugeMetricFamily(_PREFIX + "died_timestamp_seconds", text, labels=["cgroup"])
    for one in dead:
        family.add_metric([one.cgroup], one.end.died_at)
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(_PREFIX + name, text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(_PREFIX + name, text, value=value)


def _labelled(name: str, text: str, labels: dict[str, str]) -> Metric:
    family = GaugeMetricFamily(_PREFIX + name, text, labels=list(labels))
    family.add_metric(list(labels.values()), 1)
    return family


def registry(*collectors: Collector) -> CollectorRegistry:
    """A registry of its own, without prometheus-client's process metrics."""
    made = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        made.register(collector)
    return made
