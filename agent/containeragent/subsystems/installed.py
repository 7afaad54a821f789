# SPDX-License-Identifier: Apache-2.0
"""Third-party subsystems that are installed: entry points of a group (packaging.python.org).

Only their names are read here; what is behind them is imported in a process of its own.
"""

from __future__ import annotations

GROUP = "containeragent.subsystems"
ALL = "all"


def found() -> dict[str, str]:
    """MODULE:CLASS by name, sorted by name."""
    from importlib.metadata import entry_points

    return {point.name: point.value for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def wanted(setting: str) -> list[str] | None:
    """Names that the configuration asks for, in that order; None for all that are installed."""
    return None if setting == ALL else [name for name in setting.replace(",", " ").split() if name]
