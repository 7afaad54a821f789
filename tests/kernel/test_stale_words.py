# SPDX-License-Identifier: Apache-2.0
"""Pages that were freed unseen (engine tracepoint): words of free frames are taken out of the counts by two looks, and
nothing that is really there is, however many pages come and go meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from containeragent.counters.records import BLOCK_PAGES, OWNER_ANON
from containeragent.host import page_flags
from containeragent.runnable import Runnable
from tests.kernel.conftest import MakeContainer
from tests.kernel.support.containers import Container
from tests.kernel.support.counting import Counting
from tests.kernel.support.running import Running
from tests.kernel.support.waiting import until

FREE_BLOCKS = 3  # with so many words each

pytestmark = pytest.mark.one_engine("tracepoint")
Look = Callable[[Container], dict[str, int]]


def _free_blocks(blocks: int) -> list[int]:
    """Some blocks of page frames that are free as a whole."""
    with Path("/proc/kpageflags").open("rb", buffering=0) as file:
        flags = np.frombuffer(file.read(blocks * BLOCK_PAGES * 8), dtype=np.uint64)
    whole = flags[: len(flags) // BLOCK_PAGES * BLOCK_PAGES].reshape(-1, BLOCK_PAGES)
    return [int(block) for block in np.flatnonzero(((whole & page_flags.BUDDY) != 0).all(axis=1))[-FREE_BLOCKS:]]


def leave_words(counting: Counting, container: Container) -> int:
    """As if pages of the container had been freed unseen: their words are still there, and counted. How many."""
    descriptors = {name: counting.pins.get("programs", name) for name in ("seed_block", "publish_seeded")}
    enter, publish = (Runnable(descriptor) for descriptor in descriptors.values())
    slot = counting.slot(container)

    def entered() -> int:
        return int(counting.maps.rows["adjust_anon"][:, slot].sum())

    before = entered()
    counting.maps.seed_words[:] = 0
    counting.maps.seed_words[3:26] = slot | OWNER_ANON
    for block in _free_blocks(counting.stamp.blocks):
        enter(block)
        publish(slot, 23)
    for descriptor in descriptors.values():
        os.close(descriptor)
    return entered() - before


def _until_none_is_left(counting: Counting, container: Container, look: Look) -> None:
    def left() -> int:
        look(container)
        return counting.pages(container).anon

    assert until(left, lambda pages: not pages, pause_seconds=0.3) == 0


def test_two_looks_take_them_out(counting: Counting, make_container: MakeContainer) -> None:
    """Not one: the frame may have been freed, and taken again, in between."""
    container = make_container("freed")
    with counting.looking() as look:
        look(container)
        assert leave_words(counting, container) == counting.pages(container).anon == FREE_BLOCKS * 23
        look(container)
        left = counting.pages(container).anon  # the kernel itself may have taken some of the frames, which mends them
        assert left > 0
        look(container)
        assert counting.pages(container).anon < left
        _until_none_is_left(counting, container, look)


def test_while_pages_come_and_go(counting: Counting, make_container: MakeContainer) -> None:
    """Looks without a pause while frames are taken and freed by the thousand, many of them with such words."""
    freed, busy = make_container("freed"), make_container("busy")
    left = 0
    with counting.looking() as look, Running(busy, "anon", "storm", 3, 10) as running:
        for rest in running.rests():
            if rest.label == "faulting":
                for _ in range(20):
                    left += leave_words(counting, freed)
                    look(freed)
            counting.assert_pages_at_rest(busy) if rest.label == "calm" else None
        _until_none_is_left(counting, freed, look)
    assert left > 20 * 23
    counting.assert_pages_at_rest(busy)
    assert counting.pages(busy).anon == 0
