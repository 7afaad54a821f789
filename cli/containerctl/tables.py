# SPDX-License-Identifier: Apache-2.0
"""Tables for people: rich's on a terminal, aligned text in a pipe."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import click

from containerctl.output import escape, on_terminal

if TYPE_CHECKING:
    from rich.console import Console

_GAP = 2  # columns between two of a table
_LEAST = 24  # columns in which a text, folded, can be read


class Cell(NamedTuple):
    """A table's cell that is coloured on a terminal; `style` is one of rich's."""

    text: str
    style: str


def table(headers: Sequence[str], rows: Sequence[Sequence[str | Cell]], right: frozenset[str] = frozenset()) -> None:
    """Draw a table whose columns named in `right` are numbers; texts are escaped here."""
    lines = [[Cell(header, "bold") for header in headers], *([_safe(cell) for cell in row] for row in rows)]
    widths = [max(columns_of(cell.text) for cell in column) for column in zip(*lines, strict=True)]
    columns = [_Column(width, header in right) for header, width in zip(headers, widths, strict=True)]
    if on_terminal():
        _draw(columns, lines)
        return
    for line in lines:
        cells = (column.filled(cell.text) for column, cell in zip(columns, line, strict=True))
        click.echo((" " * _GAP).join(cells).rstrip())


@dataclass(frozen=True)
class _Column:
    width: int
    is_number: bool

    def filled(self, text: str) -> str:
        gap = " " * (self.width - columns_of(text))
        return gap + text if self.is_number else text + gap


def columns_of(text: str) -> int:
    """How many columns it takes on a terminal: of East Asian texts two a character, combining ones none."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.category(character) in ("Mn", "Me") for character in text)


def _safe(cell: str | Cell) -> Cell:
    return Cell(escape(cell), "") if isinstance(cell, str) else Cell(escape(cell.text), cell.style)


def _draw(columns: Sequence[_Column], lines: Sequence[Sequence[Cell]]) -> None:
    # Only here: importing rich costs more than a whole request to the agent.
    from rich.console import Console

    console = Console()
    least = [column.width if column.is_number else min(column.width, _LEAST) for column in columns]
    fits = sum(least) + _GAP * (len(least) - 1) <= console.width
    (_draw_beside if fits else _draw_below)(console, columns, lines)


def _draw_beside(console: Console, columns: Sequence[_Column], lines: Sequence[Sequence[Cell]]) -> None:
    from rich.table import Table
    from rich.text import Text

    drawing = Table(box=None, pad_edge=False, show_header=False, padding=(0, _GAP, 0, 0))
    for column in columns:
        number = column.is_number
        drawing.add_column(justify="right" if number else "left", overflow="fold", no_wrap=number)
    for line in lines:
        # Text, not str: a name like "[red]" is no markup
        drawing.add_row(*(Text(cell.text, style=cell.style) for cell in line))
    console.print(drawing)


def _draw_below(console: Console, columns: Sequence[_Column], lines: Sequence[Sequence[Cell]]) -> None:
    """Too wide for this terminal: a row's texts on one line, its numbers on the next."""
    from rich.text import Text

    gap = Text(" " * _GAP)
    for line in lines:
        cells = list(zip(columns, line, strict=True))
        console.print(
            gap.join(Text(cell.text, cell.style) for column, cell in cells if not column.is_number), overflow="fold"
        )
        numbers = [Text(column.filled(cell.text), cell.style) for column, cell in cells if column.is_number]
        if numbers:
            console.print(gap + gap.join(numbers), overflow="fold")
