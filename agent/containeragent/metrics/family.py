# SPDX-License-Identifier: Apache-2.0
"""A metric family, and its lines in Prometheus' text format and in OpenMetrics.

In: label sets as text, which are made once and kept, and values in the same order. Out: text. What is unknown (None)
has no line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

PREFIX = "containeragent_"
Value = int | float | None
Of = TypeVar("Of")
Key = TypeVar("Key", bound=tuple[str, ...])

_UNSAFE = re.compile('[\\\\"\x00-\x1f\x7f-\x9f\ud800-\udfff]')
_ESCAPES = {"\\": r"\\", '"': r"\"", "\n": r"\n"}


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    return _ESCAPES.get(char) or "\\\\" + char.encode("unicode_escape").decode()[1:]


def label_set(labels: Mapping[str, str]) -> str:
    """As it stands behind a name. Control characters and halves of surrogates become text: a terminal may read this."""
    shown = ",".join(f'{name}="{_UNSAFE.sub(_escaped, value)}"' for name, value in labels.items())
    return f"{{{shown}}}" if shown else ""


@dataclass(frozen=True)
class Family:
    """`name` is without our prefix, and of a counter without `_total`.

    `created` are seconds since the epoch as text, "" where it is unknown since when a counter counts.
    """

    name: str
    help: str
    labels: Sequence[str]
    values: Sequence[Value]
    counter: bool = False
    created: Sequence[str] = ()

    def lines(self, openmetrics: bool) -> str:
        """With HELP and TYPE. The text format has no times of creation."""
        sample = PREFIX + self.name + ("_total" if self.counter else "")
        family = PREFIX + self.name if openmetrics else sample
        head = f"# HELP {family} {self.help}\n# TYPE {family} {'counter' if self.counter else 'gauge'}\n"
        if openmetrics and self.created:
            return head + self._with_created()
        pairs = zip(self.labels, self.values, strict=True)
        return head + "".join([f"{sample}{labels} {value}\n" for labels, value in pairs if value is not None])

    def _with_created(self) -> str:
        name = PREFIX + self.name
        return "".join(
            [
                f"{name}_total{labels} {value}\n{name}_created{labels} {created}\n"
                if created
                else f"{name}_total{labels} {value}\n"
                for labels, value, created in zip(self.labels, self.values, self.created, strict=True)
                if value is not None
            ]
        )


@dataclass(frozen=True)
class Series(Generic[Of]):
    """A metric that has a value a container: `values` reads those of many, sizes in bytes of pages of that size."""

    name: str
    help: str
    values: Callable[[Of, int], Sequence[Value]]
    counter: bool = False


def single(name: str, text: str, value: Value, counter: bool = False) -> Family:
    """One value without labels; none when it is unknown."""
    return Family(name, text, [""], [value], counter)


def labelled(name: str, text: str, names: Sequence[str], values: Mapping[Key, Value], counter: bool = False) -> Family:
    """Values by the values of these labels."""
    labels = [label_set(dict(zip(names, key, strict=True))) for key in values]
    return Family(name, text, labels, list(values.values()), counter)
