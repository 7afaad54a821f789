# SPDX-License-Identifier: Apache-2.0
"""What a measurement found, as text and as JSON."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from statistics import quantiles

Cell = str | int | float


@dataclass
class Table:
    """Rows have a value for each column; units are in the columns' names."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *row: Cell) -> None:
        """A row, said at once to who waits: the table may take minutes."""
        self.rows.append(row)
        print(f"  {self.title}: {', '.join(map(_shown, row[:3]))}", file=sys.stderr, flush=True)

    def document(self) -> dict[str, object]:
        """For --json."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"title": self.title, "rows": rows, "notes": self.notes}

    def text(self) -> str:
        """For people: columns as wide as they need."""
        lines = [self.columns, *(tuple(map(_shown, row)) for row in self.rows)]
        widths = [max(len(line[at]) for line in lines) for at in range(len(self.columns))]
        body = ["  ".join(_aligned(cell, width, at) for at, (cell, width) in enumerate(zip(line, widths, strict=True)))
                for line in lines]  # fmt: skip
        return "\n".join([self.title, *body, *self.notes, ""])


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column else cell.ljust(width)


def _shown(cell: Cell) -> str:
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return low, middle, high


def median_p99_max(values: list[float]) -> tuple[float, float, float]:
    """Of many."""
    cuts = quantiles(values, n=100, method="inclusive")
    return cuts[49], cuts[98], max(values)
