# SPDX-License-Identifier: Apache-2.0
"""Pins that agents of the tests left whole, for the next ones: a first load takes half a minute in a guest."""

from __future__ import annotations

import atexit
import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path


class Spares:
    """By what decides how they were loaded."""

    _DECIDING = ("--engine", "--slots")

    def __init__(self) -> None:
        self._folders: dict[tuple[str, ...], list[Path]] = {}

    def _key(self, options: Sequence[str]) -> tuple[str, ...]:
        return tuple(word for pair in pairwise(options) if pair[0] in self._DECIDING for word in pair)

    def take(self, options: Sequence[str]) -> Path | None:
        """Of an agent with such options."""
        folders = self._folders.get(self._key(options))
        return folders.pop() if folders else None

    def give(self, options: Sequence[str], folder: Path) -> None:
        """Nobody uses it, and it is as an agent with such options left it after its first start."""
        self._folders.setdefault(self._key(options), []).append(folder)

    def close(self) -> None:
        """Remove them."""
        for folders in self._folders.values():
            while folders:
                shutil.rmtree(folders.pop())


spares = Spares()
atexit.register(spares.close)
