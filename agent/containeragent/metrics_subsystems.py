# SPDX-License-Identifier: Apache-2.0
"""Metrics of the subsystems: whether they are on, and how often they failed. No call goes to them for that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from containeragent.subsystems.registry import Registry


class SubsystemCollector(Collector):
    """Of one registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def describe(self) -> Iterable[Metric]:
        """Nothing: so that it is not collected when it is registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Two families."""
        on = GaugeMetricFamily("containeragent_subsystem_up", "1 if the subsystem is called.", labels=["subsystem"])
        text = "Calls in which the subsystem failed: it raised, hung, died, or answered nonsense."
        failures = CounterMetricFamily("containeragent_subsystem_failures", text, labels=["subsystem"])
        for member in self._registry.members:
            on.add_metric([member.name], 0.0 if member.off else 1.0)
            failures.add_metric([member.name], self._registry.failures.get(member.name, 0))
        for name in self._registry.refused:
            on.add_metric([name], 0.0)
            failures.add_metric([name], self._registry.failures.get(name, 0))
        yield on
        yield failures
