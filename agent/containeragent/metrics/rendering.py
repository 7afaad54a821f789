# SPDX-License-Identifier: Apache-2.0
"""Families become the bytes of a scrape, piece by piece; of one that is as it was, those of the scrape before.

Most containers of a large host do nothing between two scrapes. What is kept is at most one scrape's text: of a family
that changes all the time only its values are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from isal import isal_zlib

from containeragent.metrics.family import Family

_GZIP = 16 + isal_zlib.MAX_WBITS
_FEW = 100  # lines that are not worth it
_SENT_BYTES = 65536


@dataclass(frozen=True)
class _Kept:
    """What a family was, and its text where it was the same twice."""

    family: Family
    openmetrics: bool
    text: tuple[bytes, ...] = ()

    def is_as(self, family: Family, openmetrics: bool) -> bool:
        mine = self.family
        same = self.openmetrics == openmetrics and mine.labels is family.labels and mine.created is family.created
        return same and _equal(mine.values, family.values)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and np.array_equal(one, other)
    return not isinstance(other, np.ndarray) and one == other


class Renderer:
    """From any thread."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def rendered(self, families: Iterable[Family], openmetrics: bool) -> Iterator[bytes]:
        """The text of a scrape."""
        for family in families:
            if len(family.labels) < _FEW:
                yield "".join(family.text(openmetrics)).encode()
            else:
                yield from self._text(family, openmetrics)
        if openmetrics:
            yield b"# EOF\n"

    def _text(self, family: Family, openmetrics: bool) -> Iterable[bytes]:
        kept = self._kept.get(family.name)
        if kept is None or not kept.is_as(family, openmetrics):
            self._kept[family.name] = _Kept(family, openmetrics)
            return (piece.encode() for piece in family.text(openmetrics))
        if not kept.text:
            text = tuple(piece.encode() for piece in family.text(openmetrics))
            kept = self._kept[family.name] = _Kept(family, openmetrics, text)
        return kept.text


def compressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same with gzip, in pieces that are worth sending. zlib takes four times as long, for more bytes."""
    stream, packed = isal_zlib.compressobj(1, wbits=_GZIP), bytearray()
    for chunk in chunks:
        packed += stream.compress(chunk)
        if len(packed) >= _SENT_BYTES:
            yield bytes(packed)
            packed.clear()
    yield bytes(packed) + stream.flush()
