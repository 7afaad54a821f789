# SPDX-License-Identifier: Apache-2.0
"""Lines of a screen come in, the few bytes that change a terminal from the last ones go out.

Control sequences are those of ECMA-48 and xterm (ctlseqs).
"""

from functools import lru_cache

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.style import Style

from containerctl.top.draw import Line

# The alternate screen, no cursor, no wrapping at the last column
ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
# Terminals that know them show all of it at once, others ignore them
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"


class Screen:
    """Remembers what the terminal shows."""

    def __init__(self, colors: ColorSystem | None) -> None:
        self._colors = colors
        self._shown: list[Line] = []

    def forget(self) -> None:
        """Everything is to be drawn anew."""
        self._shown = []

    def change(self, lines: list[Line], width: int) -> str:
        """What to send; nothing when nothing is different."""
        parts: list[str] = []
        if len(self._shown) != len(lines):
            parts.append("\x1b[2J")
            self._shown = [[] for _ in lines]
        for at, (before, line) in enumerate(zip(self._shown, lines, strict=True)):
            if before != line:
                parts += self._line(at + 1, before, line, width)
        self._shown = lines
        return _BEGIN + "".join(parts) + _END if parts else ""

    def _line(self, at: int, before: Line, line: Line, width: int) -> list[str]:
        """Only fields that differ, where the fields lie alike; else the whole line."""
        widths = [cell_len(field.text) for field in line]
        if widths != [cell_len(field.text) for field in before]:
            # After the last column the cursor stands on it: erasing to the end would take it too
            rest = "\x1b[K" if sum(widths) < width else ""
            return [f"\x1b[{at}H", *(_styled(*field, self._colors) for field in line), rest]
        parts, column, beside = [], 1, False
        for wide, old, field in zip(widths, before, line, strict=True):
            if old != field:
                move = "" if beside else f"\x1b[{at};{column}H"
                parts.append(move + _styled(*field, self._colors))
            beside, column = old != field, column + wide
        return parts


@lru_cache(maxsize=4096)
def _styled(text: str, style: str, colors: ColorSystem | None) -> str:
    return Style.parse(style).render(text, color_system=colors) if style and colors else text
