# SPDX-License-Identifier: Apache-2.0
"""A look at every page frame, over files that look like the kernel's: who is asked for, and what counts as what."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from containeragent.counters import pagescan
from containeragent.counters.pagescan import KINDS, PageScanner
from containeragent.counters.records import BLOCK_PAGES, OWNER_ANON
from containeragent.counters.stale import Freed, StaleWords
from containeragent.host import page_flags
from containeragent.host.page_flags import (
    ACTIVE,
    ANON,
    BUDDY,
    COMPOUND_HEAD as HEAD,
    COMPOUND_TAIL as TAIL,
    HUGE,
    LRU,
    MMAP,
    NOPAGE,
    SLAB,
    SWAPBACKED,
    SWAPCACHE,
    UNEVICTABLE,
)
from containeragent.runnable import Runnable

BLOCKS, SLOTS = 3 * pagescan._WINDOW_BLOCKS // 2, 16


class Frames:
    """The owner map and what the kernel says, as files; written when a scanner is made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.words = np.zeros(BLOCKS * BLOCK_PAGES, dtype=np.uint32)
        self.flags = np.zeros(BLOCKS * BLOCK_PAGES, dtype=np.uint64)
        self.mapcounts = np.zeros(BLOCKS * BLOCK_PAGES, dtype=np.uint64)

    def put(self, frame: int, slot: int, *flags: int, mapcounts: tuple[int, ...] = ()) -> None:
        """Pages of one owner from a frame on."""
        self.words[frame : frame + len(flags)] = slot | OWNER_ANON
        self.flags[frame : frame + len(flags)] = flags
        self.mapcounts[frame : frame + len(mapcounts)] = mapcounts

    def scanner(self, stale: StaleWords | None = None) -> PageScanner:
        """Over these."""
        (self.folder / "kpageflags").write_bytes(self.flags.tobytes())
        (self.folder / "kpagecount").write_bytes(self.mapcounts.tobytes())
        (self.folder / "owners").write_bytes(self.words.tobytes())
        owners = os.open(self.folder / "owners", os.O_RDONLY)
        try:
            return PageScanner(owners, BLOCKS, self.folder, stale)
        finally:
            os.close(owners)

    def seen(self, slot: int) -> dict[str, int]:
        """What a look finds of a slot, without zeros."""
        scanner = self.scanner()
        try:
            counts = scanner.look(SLOTS)
        finally:
            scanner.close()
        assert counts is not None
        return {kind: int(pages) for kind, pages in zip(KINDS, counts[:, slot], strict=True) if pages}


@pytest.fixture
def frames(tmp_path: Path) -> Frames:
    """Nobody's."""
    return Frames(tmp_path)


@pytest.mark.parametrize(
    "flags, kinds",
    [
        (0, ()),
        (LRU | ACTIVE | MMAP | ANON | SWAPBACKED, ("anon", "active")),
        (MMAP | ANON | SWAPBACKED, ("anon",)),
        (LRU | ANON | SWAPBACKED, ()),
        (LRU | ACTIVE | ANON | SWAPCACHE | SWAPBACKED, ("active",)),
        (MMAP | ANON | UNEVICTABLE | LRU | ACTIVE, ("anon",)),
        (MMAP, ("mapped",)),
        (LRU, ("file",)),
        (LRU | MMAP, ("file", "mapped")),
        (LRU | ACTIVE, ("file", "active")),
        (ACTIVE, ()),
        (UNEVICTABLE | LRU | MMAP, ("file", "mapped")),
        (LRU | SWAPBACKED | MMAP | ACTIVE, ("file", "shmem", "mapped", "active")),
        (LRU | SWAPBACKED | SWAPCACHE, ()),
        (MMAP | HUGE | LRU | ACTIVE, ()),
        (BUDDY, ()),
        (SLAB | MMAP, ()),
        (NOPAGE, ()),
    ],
)
def test_kinds(frames: Frames, flags: int, kinds: tuple[str, ...]) -> None:
    """As memory.stat counts them."""
    frames.put(1000, 3, flags)
    assert frames.seen(3) == dict.fromkeys(kinds, 1)


def test_only_what_is_owned_counts(frames: Frames) -> None:
    """Frames of nobody, and of slots that came after the look began, are nobody's here."""
    frames.flags[:] = LRU
    frames.put(0, 3, LRU)
    frames.put(7, SLOTS, LRU)
    frames.put(BLOCKS * BLOCK_PAGES - 1, 3, LRU)
    frames.put(pagescan._WINDOW_BLOCKS * BLOCK_PAGES - 1, 4, LRU, LRU)
    assert frames.seen(3) == {"file": 2} and frames.seen(4) == {"file": 2}


def test_tails_are_what_their_heads_are(frames: Frames) -> None:
    """Their own words mean something else on some kernels."""
    frames.put(512, 3, LRU | ACTIVE | HEAD, TAIL, TAIL | SWAPBACKED | UNEVICTABLE, TAIL, LRU, HEAD, TAIL | LRU | ACTIVE)
    assert frames.seen(3) == {"file": 5, "active": 4}


def test_of_a_large_folio_the_mapped_pages_are_mapped(frames: Frames) -> None:
    """MMAP is said of all its pages; of a page alone it is right."""
    file, anon, tail = LRU | MMAP | HEAD, LRU | MMAP | ANON | SWAPBACKED | HEAD, MMAP | TAIL
    frames.put(512, 3, file, tail, tail, LRU | MMAP, LRU, mapcounts=(1, 0, 7, 1, 0))
    frames.put(1024, 4, anon, tail | ANON, mapcounts=(0, 1))
    assert frames.seen(3) == {"file": 5, "mapped": 3}
    assert frames.seen(4) == {"anon": 1}


def test_frames_beyond_the_last_are_nothing(frames: Frames) -> None:
    """The owner map ends with a whole block, the kernel's files where memory ends."""
    frames.put(BLOCKS * BLOCK_PAGES - 2, 3, LRU, LRU)
    scanner = frames.scanner()
    os.truncate(frames.folder / "kpageflags", (BLOCKS * BLOCK_PAGES - 1) * 8)
    counts = scanner.look(SLOTS)
    scanner.close()
    assert counts is not None and counts[:, 3].tolist() == [0, 1, 0, 0, 0]


def test_free_frames_with_a_word(frames: Frames) -> None:
    """They are handed on with their words; so is who to ask of one of them again."""
    last = BLOCKS * BLOCK_PAGES - 1
    frames.put(5, 3, BUDDY, LRU, SLAB)
    frames.put(last, 4, BUDDY)
    frames.flags[9] = BUDDY
    found: list[dict[int, int]] = []
    asked: list[bool] = []

    class Stale(StaleWords):
        def mend(self, freed: Freed, is_freed: Callable[[int], bool]) -> None:
            found.append(dict(freed))
            asked.extend(map(is_freed, (5, 6, 7, last)))

    nothing = cast(Runnable, None)
    scanner = frames.scanner(Stale(nothing, nothing))
    scanner.look(SLOTS)
    scanner.close()
    assert found == [{5: 3 | OWNER_ANON, 7: 3 | OWNER_ANON, last: 4 | OWNER_ANON}]
    assert asked == [True, False, True, True]


def test_a_look_ends_when_it_is_closed(frames: Frames) -> None:
    """Instead of reading from descriptors that are gone."""
    frames.put(0, 3, LRU)
    scanner = frames.scanner()
    scanner.close()
    assert scanner.look(SLOTS) is None


@pytest.mark.parametrize("text, told", [("0x0007\n", False), ("0x0000\n", True), ("0x0006\n", True), (None, True)])
def test_who_tells_active(tmp_path: Path, text: str | None, told: bool) -> None:
    """Not the multi-generational LRU."""
    folder = tmp_path / "kernel/mm/lru_gen"
    folder.mkdir(parents=True)
    if text is not None:
        (folder / "enabled").write_text(text)
    assert page_flags.tell_active(tmp_path) is told
