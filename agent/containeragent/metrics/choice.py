# SPDX-License-Identifier: Apache-2.0
"""Which containers a scrape shows, so that the number of series is bounded.

A pattern says what is asked for, tiny containers need a least age, and there is a cap.

In: a snapshot and how many series each container has. Out: positions, and how many are left out by reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from containeragent.counters.ends import End
from containeragent.counters.snapshot import Column, Snapshot

SERIES_CAP, YOUNG, EXCLUDED = "series_cap", "young", "excluded"
TINY_BYTES, TINY_TASKS = 1 << 20, 1  # never had more than that


@dataclass(frozen=True)
class Choice:
    """`min_age_seconds` is for tiny containers without limits: younger ones are left out."""

    series_cap: int
    min_age_seconds: float = 0.0
    is_wanted: Callable[[str], bool] = lambda path: True

    def is_young(self, snapshot: Snapshot, page_size: int) -> npt.NDArray[np.bool_]:
        """Of each container. Those that were there before the programs are old."""
        oldest_ns = time.monotonic_ns() - int(self.min_age_seconds * 1e9)
        tiny = (snapshot.peak_tasks <= TINY_TASKS) & (snapshot.peak_pages * page_size <= TINY_BYTES)
        return tiny & (snapshot.born_ns > oldest_ns)  # UNKNOWN is below any time

    def was_young(self, end: End, page_size: int) -> bool:
        """The same of one that is gone: whether it was tiny, and did not live as long."""
        tiny = end.peak_tasks <= TINY_TASKS and end.peak_pages * page_size <= TINY_BYTES
        return tiny and end.born_at is not None and end.died_at - end.born_at < self.min_age_seconds

    def heaviest(self, snapshot: Snapshot, candidates: npt.NDArray[np.intp], series: Column) -> list[int]:
        """As many of the candidates as fit under the cap, but one at least; `series` is how many each has."""
        if series.sum() <= self.series_cap:
            return list(candidates.tolist())
        weight = sum(np.maximum(snapshot.total[name][candidates], 0) for name in ("anon", "file", "tasks"))
        order = np.argsort(weight, kind="stable")[::-1]
        fitting = int(np.searchsorted(np.cumsum(series[order]), self.series_cap, side="right"))
        return sorted(candidates[order[: max(1, fitting)]].tolist())
