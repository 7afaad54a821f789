# SPDX-License-Identifier: Apache-2.0
"""Metrics of the subsystems: whether they are on, and how often they failed. No call goes to them for that."""

from __future__ import annotations

from collections.abc import Iterator

from containeragent.metrics.family import Family, labelled
from containeragent.subsystems.registry import Registry


def families(registry: Registry) -> Iterator[Family]:
    """Of one registry."""
    up = {(member.name,): 0 if member.off else 1 for member in registry.members}
    up |= {(name,): 0 for name in registry.refused}
    yield labelled("subsystem_up", "1 if the subsystem is called, else 0.", ["subsystem"], up)
    text = "Calls since the agent's start in which the subsystem failed: it raised, hung, died, or answered nonsense."
    failures = {key: registry.failures.get(key[0], 0) for key in up}
    yield labelled("subsystem_failures", text, ["subsystem"], failures, counter=True)
