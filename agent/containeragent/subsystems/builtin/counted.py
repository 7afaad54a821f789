# SPDX-License-Identifier: Apache-2.0
"""What tasks and pages have in common: counters of a Source and a limit, by the names that `show` has for them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from containeragent.counters.snapshot import Reading
from containeragent.counters.source import Source
from containeragent.limits.keeper import Keeper
from containeragent.subsystems.api import Attribute, Container

Counter = tuple[str, Callable[[Reading], Any]]  # help, value


def attributes(source: Source, container: Container, counters: Mapping[str, Counter]) -> list[Attribute]:
    """One for each counter; None where it is unknown."""

    def shown(value: Callable[[Reading], Any]) -> Any:
        reading = source.snapshot().reading(container.id)
        return None if reading is None else value(reading)

    return [Attribute(name, text, functools.partial(shown, value)) for name, (text, value) in counters.items()]


def limit(keeper: Keeper, container: Container, name: str, text: str) -> Attribute:
    """A limit, which is set as `containerctl limit` sets it."""

    def show() -> int | str:
        entry = keeper.entry(container.id)
        found: int | None = getattr(entry.kept.limits, name) if entry else None
        return "max" if found is None else found

    return Attribute(name, text, show, lambda value: keeper.change(keeper.parts_of(container.path), {name: value}))
