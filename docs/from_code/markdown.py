# SPDX-License-Identifier: Apache-2.0
"""Markdown of a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def code(text: object) -> str:
    """As code; nothing for nothing."""
    return f"`{text}`" if str(text) else ""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """With a line feed behind it."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
