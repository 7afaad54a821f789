# SPDX-License-Identifier: Apache-2.0
"""Text of families: what is kept is what would be written, whatever changes."""

from __future__ import annotations

import gzip
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from containeragent.counters.snapshot import UNKNOWN
from containeragent.metrics.family import Family
from containeragent.metrics.rendering import Renderer, compressed

NUMBER = 2500
LABELS = [f'{{cgroup="/c{number}"}}' for number in range(NUMBER)]
CREATED = ["" if number % 3 else f"{number}.5" for number in range(NUMBER)]


def family(values: Any, labels: Sequence[str] = LABELS, created: Sequence[str] = CREATED) -> Family:
    """A counter."""
    return Family("forks", "Forks.", labels, values, counter=True, created=created)


def values() -> Any:
    """Of each container; some unknown."""
    found = np.arange(NUMBER, dtype=np.int64) * 1_000_003
    found[7::100] = UNKNOWN
    return found


def text(renderer: Renderer, one: Family, openmetrics: bool) -> bytes:
    """A scrape of it alone."""
    return b"".join(renderer.rendered([one], openmetrics))


@pytest.mark.parametrize("openmetrics", [False, True])
@pytest.mark.parametrize("kind", [np.asarray, lambda column: column.tolist()])
def test_kept_text_is_what_would_be_written(openmetrics: bool, kind: Any) -> None:
    """After each kind of change, and after none."""
    renderer, last = Renderer(), values()
    changed = last.copy()
    changed[NUMBER - 1] += 1
    others = [*LABELS[:-1], '{cgroup="/other"}']
    later = [*CREATED[:-1], "99"]
    for one in (
        *[family(kind(last))] * 3,
        *[family(kind(changed))] * 3,
        *[family(kind(changed), labels=others)] * 3,
        *[family(kind(changed), labels=others, created=later)] * 3,
        family(kind(last)),
        replace(family(kind(last)), values=[None] * NUMBER),
        *[family(kind(last))] * 3,
    ):
        assert text(renderer, one, openmetrics) == text(Renderer(), one, openmetrics)
        assert text(renderer, one, not openmetrics) == text(Renderer(), one, not openmetrics)


def test_unknown_values_have_no_line() -> None:
    """Nor a time of creation; all others have theirs, in order."""
    lines = text(Renderer(), family(values()), True).decode().splitlines()[2:-1]
    expected = [
        line
        for at in range(NUMBER)
        if at % 100 != 7
        for line in (
            f"containeragent_forks_total{LABELS[at]} {at * 1_000_003}",
            *([f"containeragent_forks_created{LABELS[at]} {CREATED[at]}"] if CREATED[at] else []),
        )
    ]
    assert lines == expected


def test_only_what_did_not_change_is_kept() -> None:
    """Memory is for what is of use."""
    renderer, column = Renderer(), values()
    for number in range(5):
        text(renderer, family(column + number), False)
        assert renderer._kept["forks"].text == ()
    for _ in range(2):
        text(renderer, family(column), False)
    assert sum(map(len, renderer._kept["forks"].text)) > 50_000
    text(renderer, family(column + 1), False)
    assert renderer._kept["forks"].text == ()


@pytest.mark.parametrize("sizes", [[], [0], [1, 0, 1], [700_000], [23] * 10_000, [70_000, 3] * 20])
def test_compressed_is_the_same_in_pieces_worth_sending(sizes: list[int]) -> None:
    """However the text comes; what does not compress too."""
    chance = random.Random(23)
    text = [chance.randbytes(size) for size in sizes]
    pieces = list(compressed(text))
    assert gzip.decompress(b"".join(pieces)) == b"".join(text)
    assert len(pieces) <= 1 + sum(sizes) // 65536
