# SPDX-License-Identifier: Apache-2.0
"""Page frames: how many there can be, and where struct page is."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from containeragent.errors import Refused
from containeragent.loader.frames import frames_spanned, struct_page_base

ZONES = """\
Node 0, zone      DMA
  per-node stats
      nr_inactive_anon 1
  pages free     3840
        spanned  4095
        present  3998
  start_pfn:           1
Node 0, zone   Normal
  pages free     100
        spanned  1310720
        present  1310720
  start_pfn:           1048576
Node 0, zone  Movable
  pages free     0
        spanned  0
        present  0
  start_pfn:           9999999
Node 1, zone   Normal
        spanned  524288
  start_pfn:           2359296
"""

STRUCT_BYTES = 64
BASE = 0xFFFFEA0000000000


def test_highest_frame_of_any_zone() -> None:
    """Empty zones name a first frame too; they do not count."""
    assert frames_spanned(ZONES) == 2359296 + 524288


def test_order_of_zones_does_not_matter() -> None:
    """The highest one may come first."""
    parts = ZONES.split("Node ")[1:]
    assert frames_spanned("".join("Node " + part for part in reversed(parts))) == 2359296 + 524288


@pytest.mark.parametrize("text", ["", "Node 0, zone DMA\n", "Node 0, zone DMA\n  spanned 0\n  start_pfn: 5\n"])
def test_no_zone(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(Refused) as refused:
        frames_spanned(text)
    assert refused.value.code == "ENOTSUP"


@given(st.lists(st.integers(0, 2**34), min_size=2, max_size=600))
def test_base(frames: list[int]) -> None:
    """Addresses and frames of the same pages, in the same order, whatever that is."""
    pages = [BASE + frame * STRUCT_BYTES for frame in frames]
    assert struct_page_base(pages, frames, STRUCT_BYTES) == BASE


@given(st.integers(9, 2**30), st.integers(2, 500), st.data())
def test_another_allocation_in_between(first: int, count: int, data: st.DataObject) -> None:
    """One more address, from elsewhere, shifts all that follow, also where frames are contiguous: never a wrong one."""
    frames = list(range(first, first + count))
    pages = [BASE + frame * STRUCT_BYTES for frame in frames]
    pages.insert(data.draw(st.integers(0, count)), BASE + 7 * STRUCT_BYTES)
    assert struct_page_base(pages, frames, STRUCT_BYTES) is None
    assert struct_page_base(pages[:count], frames, STRUCT_BYTES) in (None, BASE)


def test_nothing_seen() -> None:
    """No pages, no answer."""
    assert struct_page_base([], [], STRUCT_BYTES) is None
