# SPDX-License-Identifier: Apache-2.0
"""How often something may be said: so many in a span of time, and then how many were not said.

In: keys, as they come. Out: whether to say it; later, the numbers held back. Keys are forgotten when their span is
over. Beyond so many keys at a time, further ones are not limited here.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
_MOST_KEYS = 10_000


@dataclass
class _Span:
    ends: float
    said: int = 0
    held_back: int = 0


class Limiter(Generic[Key]):
    """`burst` times a key in `seconds`."""

    def __init__(self, burst: int, seconds: float) -> None:
        self._burst = burst
        self._seconds = seconds
        self._spans: dict[Key, _Span] = {}

    def allows(self, key: Key, now: float) -> bool:
        """Whether to say it; counts it if not. Call over() before, so that spans end."""
        span = self._spans.get(key)
        if span is None:
            if len(self._spans) >= _MOST_KEYS:
                return True
            span = self._spans[key] = _Span(now + self._seconds)
        if span.said >= self._burst:
            span.held_back += 1
            return False
        span.said += 1
        return True

    def over(self, now: float, all_spans: bool = False) -> list[tuple[Key, int]]:
        """Keys whose span is over and that were held back, with how often; each once."""
        ended = [key for key, span in self._spans.items() if all_spans or span.ends <= now]
        spans = [(key, self._spans.pop(key).held_back) for key in ended]
        return [(key, number) for key, number in spans if number]

    def next_end(self) -> float | None:
        """When the next span is over; None when there is none."""
        return min((span.ends for span in self._spans.values()), default=None)
