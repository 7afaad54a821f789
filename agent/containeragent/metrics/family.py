# SPDX-License-Identifier: Apache-2.0
"""A metric family, and its lines in Prometheus' text format and in OpenMetrics.

In: label sets as text, which are made once and kept, and values in the same order. Out: text. What is unknown (None)
has no line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from containeragent.counters.snapshot import UNKNOWN, Column

PREFIX = "containeragent_"
Value = int | float | None
Of = TypeVar("Of")
Key = TypeVar("Key", bound=tuple[str, ...])

_PIECE = 1000  # lines: small enough to take memory that is there already, and not to hold the interpreter long
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

    `values` may be a column of a snapshot. `created` are seconds since the epoch as text, "" where it is unknown since
    when a counter counts.
    """

    name: str
    help: str
    labels: Sequence[str]
    values: Sequence[Value] | Column
    counter: bool = False
    created: Sequence[str] = ()

    def text(self, openmetrics: bool) -> Iterator[str]:
        """Its lines, HELP and TYPE first, in pieces. The text format has no times of creation."""
        sample = PREFIX + self.name + ("_total" if self.counter else "")
        family = PREFIX + self.name if openmetrics else sample
        yield f"# HELP {family} {self.help}\n# TYPE {family} {'counter' if self.counter else 'gauge'}\n"
        for start in range(0, len(self.labels), _PIECE):
            piece = slice(start, start + _PIECE)
            labels, values, created = self.labels[piece], _known(self.values[piece]), self.created[piece]
            if None in values:
                labels, created = [
                    [one for one, value in zip(column, values, strict=False) if value is not None]
                    for column in (labels, created)
                ]
                values = [value for value in values if value is not None]
            if openmetrics and created:
                yield self._with_created(labels, values, created)
            else:
                yield "".join([f"{sample}{one} {value}\n" for one, value in zip(labels, values, strict=True)])

    def _with_created(self, labels: Sequence[str], values: Sequence[Value], created: Sequence[str]) -> str:
        total, began = f"{PREFIX}{self.name}_total", f"{PREFIX}{self.name}_created"
        rows = zip(labels, values, created, strict=True)
        return "".join(
            [
                f"{total}{one} {value}\n{began}{one} {since}\n" if since else f"{total}{one} {value}\n"
                for one, value, since in rows
            ]
        )


def _known(values: Sequence[Value] | Column) -> Sequence[Value]:
    """With None for UNKNOWN."""
    if not isinstance(values, np.ndarray):
        return values
    found: list[Value] = values.tolist()
    return [None if value == UNKNOWN else value for value in found] if (values == UNKNOWN).any() else found


@dataclass(frozen=True)
class Series(Generic[Of]):
    """A metric that has a value a container: `values` reads those of many, sizes in bytes of pages of that size."""

    name: str
    help: str
    values: Callable[[Of, int], Sequence[Value] | Column]
    counter: bool = False


def single(name: str, text: str, value: Value, counter: bool = False) -> Family:
    """One value without labels; none when it is unknown."""
    return Family(name, text, [""], [value], counter)


def labelled(name: str, text: str, names: Sequence[str], values: Mapping[Key, Value], counter: bool = False) -> Family:
    """Values by the values of these labels."""
    labels = [label_set(dict(zip(names, key, strict=True))) for key in values]
    return Family(name, text, labels, list(values.values()), counter)
