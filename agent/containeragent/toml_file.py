# SPDX-License-Identifier: Apache-2.0
"""A TOML file that knows in which line each of its keys stands.

tomllib tells no lines. A key stands in the first statement with which it is there, and a part of a file that ends
within a statement is no TOML: so lines are found by reading beginnings of the file, only when somebody asks.
"""

from __future__ import annotations

import bisect
import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from containeragent.errors import Refused
from containeragent.events.event import printable

Key = str | int  # an index in a list of tables
_MOST_LEVELS = 16
_MOST_READ_AGAIN = 4 << 20  # characters of a file, to tell lines: a second or two
_WHERE = re.compile(r" \((?:at line (\d+), column \d+|at end of document)\)$")


@dataclass(frozen=True)
class TomlFile:
    """`values` is what tomllib makes of the text."""

    path: Path
    text: str
    values: dict[str, Any]
    _left: list[int] = field(default_factory=lambda: [_MOST_READ_AGAIN], repr=False, compare=False)

    def place(self, *keys: Key) -> str:
        """FILE:LINE of a key, by the keys of the tables that it is in; FILE alone where finding that takes too long."""
        try:
            return f"{shown(self.path)}:{self._line(keys)}"
        except _TooLong:
            return shown(self.path)

    def mistake(self, message: str, *keys: Key) -> Refused:
        """What is wrong with a key."""
        return Refused("EINVAL", printable(f"{self.place(*keys)}: {message}"))

    def _line(self, keys: tuple[Key, ...]) -> int:
        """Of the statement's beginning, when it has several lines."""
        self._reads([])
        lines = [line + "\n" for line in self.text.split("\n")]

        def whole(most: int) -> int:
            """How many lines the longest beginning of the file has that ends with a statement."""
            return next(number for number in range(most, -1, -1) if self._reads(lines[:number]) is not None)

        numbers = range(len(lines) + 1)
        with_key = bisect.bisect_left(numbers, True, key=lambda number: _has(self._reads(lines[: whole(number)]), keys))
        return whole(with_key - 1) + 1

    def _reads(self, lines: list[str]) -> dict[str, Any] | None:
        """None of what ends within a statement."""
        text = "".join(lines)
        self._left[0] -= len(text)
        if self._left[0] < 0:
            raise _TooLong
        try:
            return tomllib.loads(text)
        except (ValueError, RecursionError):
            return None


class _TooLong(Exception):
    """A line is not worth the time."""


def _has(values: Any, keys: tuple[Key, ...]) -> bool:
    for key in keys:
        try:
            values = values[key]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def shown(path: Path) -> str:
    """A path on one line, whatever is in it."""
    return printable(str(path))


def parse(path: Path, raw: bytes) -> TomlFile:
    """Refused with the line where it is no TOML."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise Refused("EINVAL", f"{shown(path)}:{line}: this is not UTF-8") from None
    try:
        file = TomlFile(path, text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        found = _WHERE.search(str(error))
        line = int(found[1]) if found and found[1] else max(1, len(text.split("\n")))
        raise Refused("EINVAL", f"{shown(path)}:{line}: {_WHERE.sub('', str(error))}") from None
    except ValueError:  # of int(), which says no line
        raise Refused("EINVAL", f"{shown(path)}: a number in it has thousands of digits") from None
    except RecursionError:
        raise Refused("EINVAL", f"{shown(path)}: it is nested too deeply") from None
    for keys, why in _unfit(file.values):
        raise file.mistake(why, *keys)
    return file


def _unfit(value: Any, keys: tuple[Key, ...] = ()) -> Iterator[tuple[tuple[Key, ...], str]]:
    """What nobody could even print."""
    if len(keys) > _MOST_LEVELS:
        yield keys, "it is nested too deeply"
    elif isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _unfit(below, (*keys, key))
    elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        yield keys, "this number has more than the 64 bits that TOML knows"


def no_such_key(key: str, known: Iterable[str]) -> str:
    """What to say of one that nobody knows."""
    names = list(known)
    near = difflib.get_close_matches(key, names, 1)
    return f"there is no key {key!r}; " + (f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}")
