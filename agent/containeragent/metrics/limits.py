# SPDX-License-Identifier: Apache-2.0
"""What is done about limits, and by whom they are held: a few series, however many containers there are."""

from __future__ import annotations

from collections.abc import Iterator

from containeragent.limits.limiting import Limiting
from containeragent.metrics.family import Family, labelled


def families(limiting: Limiting) -> Iterator[Family]:
    """One reading."""
    text = "Steps taken above page limits since the agent's start; of dry runs, those that were not."
    steps = {
        (str(dry_run).lower(), kind): number for (kind, dry_run), number in sorted(limiting.enforcer.steps.items())
    }
    yield labelled("limit_steps", text, ("dry_run", "step"), steps, counter=True)
    text = "Containers with limits, by what holds those: kernel, agent, or none, where they do not hold any more."
    yield labelled("limited_containers", text, ("limit", "mode"), dict(sorted(limiting.held().items())))
