# SPDX-License-Identifier: Apache-2.0
"""While programs are replaced, an interrupt's pages may be counted in the middle of another free on the same row."""

from __future__ import annotations

import os

import pytest

from containeragent import libbpf
from tests.kernel.support.comparing import compare_pages
from tests.kernel.support.containers import Container
from tests.kernel.support.counting import Counting

pytestmark = pytest.mark.one_engine("tracepoint")


def _as_if_freeing(counting: Counting, container: Container) -> None:
    """The rows of a container at rest look as they do to an interrupt in the middle of a free."""
    slot, rows = counting.slot(container), counting.pins.get("maps", "rows")
    for cpu in range(counting.stamp.cpus):
        row = counting.maps.rows[cpu, slot : slot + 1].copy()
        row["freeing"] = 1
        libbpf.map_update(rows, (cpu * counting.stamp.slots + slot).to_bytes(4, "little"), row.tobytes())
    os.close(rows)


@pytest.mark.parametrize("name", ["touch_and_drop", "huge"])
def test_columns_of_the_other_run_are_left(counting: Counting, container: Container, name: str) -> None:
    """What it may be about to write back is not changed, and every page counts."""
    slot = counting.slot(container)

    def freed() -> int:
        return int(counting.maps.rows["free_anon"][:, slot].sum())

    _as_if_freeing(counting, container)
    before = freed()
    compare_pages(counting, container, "anon", name)
    assert freed() == before
