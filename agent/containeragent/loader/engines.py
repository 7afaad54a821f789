# SPDX-License-Identifier: Apache-2.0
"""The engines that the loader knows: their sources and maps, and which one this host gets.

Both count tasks and cgroups by raw tracepoints, into the same maps; they differ in how they see pages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from containeragent.host import functions
from containeragent.host.btf import Btf
from containeragent.loader import fentry_layout, sources


@dataclass(frozen=True)
class Engine:
    """`maps` outlive the programs, besides those that every engine has; `first` are hooks to attach before others."""

    name: str
    sources: tuple[str, ...]
    maps: tuple[str, ...]
    first: tuple[str, ...] = ()
    header: Callable[[Btf], str] = lambda _btf: ""

    def __str__(self) -> str:
        return self.name


TRACEPOINT = Engine("tracepoint", sources.TRACEPOINT, ("moves", "taken"))
# A page that moves takes its word along before any page has one; a word without a count is worse than a page unseen.
FENTRY = Engine(
    "fentry",
    sources.FENTRY,
    ("turns",),
    first=(*functions.FUNCTIONS["MIGRATE_HOOK"], *functions.FUNCTIONS["STAT_HOOK"]),
    header=fentry_layout.header,
)
ALL = {engine.name: engine for engine in (TRACEPOINT, FENTRY)}


def choose(wanted: str, present: str | None, btf: Btf) -> tuple[Engine, str]:
    """The engine to load, and why it is not fentry ("" when it is).

    "auto" is the one that counts at `present`, whose counters it goes on with; else fentry where it loads.
    """
    if wanted == TRACEPOINT.name:
        return TRACEPOINT, "engine tracepoint was asked for"
    if wanted == FENTRY.name:
        functions.require(btf)
        return FENTRY, ""
    answer = functions.probe(btf)
    if not answer.loads:
        return TRACEPOINT, answer.reason
    if present == TRACEPOINT.name:
        return TRACEPOINT, "it loads, but these counters began with engine tracepoint"
    return FENTRY, ""
