# SPDX-License-Identifier: Apache-2.0
"""Pages that were freed unseen, out of the counts.

In: after each look, the frames that are free and yet have an owner word. Out: words taken out by the programs in
bpf/stale.c. A frame that is free with the same word in two looks is marked, looked at once more, and settled; whatever
is done to it meanwhile, its count stays right.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from containeragent.runnable import Runnable

log = logging.getLogger(__name__)

Freed = Mapping[int, int]  # frame -> word
_FRAMES_AT_ONCE = 4096  # some 20 ms


class StaleWords:
    """The caller looks, one look at a time."""

    def __init__(self, mark: Runnable, settle: Runnable) -> None:
        self._mark = mark
        self._settle = settle
        self._before: Freed = {}

    def mend(self, freed: Freed, is_freed: Callable[[int], bool]) -> None:
        """Take in what the newest look found; `is_freed` looks at one frame now."""
        again = [(frame, word) for frame, word in freed.items() if self._before.get(frame) == word]
        self._before = freed
        marked = [pair for pair in again[:_FRAMES_AT_ONCE] if self._mark(*pair)]
        mended = sum(self._settle(frame, word, is_freed(frame)) for frame, word in marked)
        if mended:
            log.info("%d pages that were freed unseen are out of the counts", mended)
