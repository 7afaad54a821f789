# SPDX-License-Identifier: Apache-2.0
"""Metrics of limits, for prometheus-client.

In: states of containers that have or had limits, with their cgroup paths. Out: one sample a container and metric;
sizes are bytes. No limit and what is unknown have no sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from containeragent.limits.limiting import Limiting
from containeragent.limits.model import LimitState

_PREFIX = "containeragent_"


@dataclass(frozen=True)
class _Series:
    name: str
    help: str
    value: Callable[[LimitState, int], float | None]
    counter: bool = False


def _limit_bytes(state: LimitState, page_size: int) -> float | None:
    return None if state.limits.page_limit is None else state.limits.page_limit * page_size


_SERIES = (
    _Series("task_limit", "Most threads at a time.", lambda state, page: state.limits.task_limit),
    _Series(
        "task_limit_hits",
        "Times that a task limit was hit, in it or below.",
        lambda state, page: state.hits.tasks,
        True,
    ),
    _Series("page_limit_bytes", "Memory limit in bytes.", _limit_bytes),
    _Series(
        "page_limit_hits",
        "Times that a page limit was hit, in it or below.",
        lambda state, page: state.hits.pages,
        True,
    ),
    _Series(
        "throttled_seconds", "Time that the page limit stopped it.", lambda state, page: state.throttled_seconds, True
    ),
)
PER_CONTAINER = len(_SERIES)


class LimitsCollector(Collector):
    """What is done about limits, and by whom they are held; a few series, however many containers there are."""

    def __init__(self, limiting: Limiting) -> None:
        self._limiting = limiting

    def describe(self) -> Iterable[Metric]:
        """Nothing: so the registry does not collect when it registers."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """One reading."""
        text = "Steps taken above page limits; of dry runs, those that were not."
        steps = CounterMetricFamily(_PREFIX + "limit_steps", text, labels=["step", "dry_run"])
        for (kind, dry_run), number in sorted(self._limiting.enforcer.steps.items()):
            steps.add_metric([kind, str(dry_run).lower()], number)
        yield steps
        text = "Containers with limits, by what holds those: kernel, agent, or none, where they do not hold any more."
        modes = GaugeMetricFamily(_PREFIX + "limited_containers", text, labels=["limit", "mode"])
        for (limit, mode), number in sorted(self._limiting.held().items()):
            modes.add_metric([limit, mode], number)
        yield modes


def families(states: Sequence[tuple[str, LimitState]], page_size: int) -> Iterator[Metric]:
    """All of them; `states` are by cgroup path."""
    for series in _SERIES:
        kind = CounterMetricFamily if series.counter else GaugeMetricFamily
        family = kind(_PREFIX + series.name, series.help, labels=["cgroup"])
        for path, state in states:
            value = series.value(state, page_size)
            if value is not None:
                family.add_metric([path], value)
        yield family
