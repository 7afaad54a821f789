# SPDX-License-Identifier: Apache-2.0
"""Which words of free frames are taken out, and when."""

from __future__ import annotations

from typing import cast

from containeragent.counters.stale import StaleWords
from containeragent.runnable import Runnable


class Words:
    """Owner words and the two programs on them."""

    def __init__(self, words: dict[int, int]) -> None:
        self.words = words
        self.settled: list[tuple[int, int, bool]] = []
        self.used: set[int] = set()  # frames that are not free when they are looked at for the last time
        self.stale = StaleWords(cast(Runnable, self.mark), cast(Runnable, self.settle))

    def mark(self, frame: int, word: int) -> int:
        """Only if it is still there."""
        return self.words.get(frame) == word

    def settle(self, frame: int, word: int, was_free: bool) -> int:
        """Noted."""
        self.settled.append((frame, word, was_free))
        return was_free

    def look(self, freed: dict[int, int]) -> list[tuple[int, int, bool]]:
        """What is settled after a look that found these."""
        self.settled = []
        self.stale.mend(freed, lambda frame: frame not in self.used)
        return self.settled


def test_the_second_look_takes_them_out() -> None:
    """A frame that is there once may have been freed just then; another word is another page."""
    words = Words({1: 17, 2: 17, 3: 17})
    assert words.look({1: 17, 2: 18}) == []
    assert words.look({1: 17, 2: 17, 3: 17}) == [(1, 17, True)]
    assert words.look({2: 17}) == [(2, 17, True)]
    assert words.look({1: 17, 3: 17}) == []


def test_what_changed_since_the_look_is_left() -> None:
    """A word that is gone is not marked; a frame that is in use gets its word back."""
    words = Words({1: 17, 2: 18})
    words.used = {2}
    words.look({1: 16, 2: 18})
    assert words.look({1: 16, 2: 18}) == [(2, 18, False)]


def test_not_all_at_once() -> None:
    """A look stays short; the rest is left to the next one."""
    words = Words(dict.fromkeys(range(5000), 17))
    words.look(words.words)
    assert len(words.look(words.words)) == 4096
