# SPDX-License-Identifier: Apache-2.0
"""The kernel's accounting of tasks: units, what is unknown, and a switch that is off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from containeragent.host import taskstats

STATS: dict[str, Any] = {
    "ac_comm": b"worker/0\0\0garbage",
    "ac_utime": 1_500_000,
    "ac_stime": 250_000,
    "cpu_delay_total": 2_000_000_000,
    "blkio_delay_total": 3_000_000_000,
    "swapin_delay_total": 0,
    "hiwater_rss": 2048,
    "hiwater_vm": 4096,
    "read_bytes": 8192,
    "write_bytes": 0,
}


def test_units() -> None:
    """Microseconds, nanoseconds and KiB become seconds and bytes."""
    assert taskstats.document(7, STATS, 500_000_000, delays=True, io=True) == {
        "tid": 7,
        "comm": "worker/0",
        "user_seconds": 1.5,
        "system_seconds": 0.25,
        "cpu_delay_seconds": 2.0,
        "blkio_delay_seconds": 3.0,
        "swapin_delay_seconds": 0.0,
        "reclaim_delay_seconds": 0.5,
        "peak_rss_bytes": 2 << 20,
        "peak_vm_bytes": 4 << 20,
        "read_bytes": 8192,
        "write_bytes": 0,
    }
    assert taskstats.hints(delays=True) == []


def test_what_is_not_accounted_is_unknown() -> None:
    """Delays that are switched off, I/O that is not built in, memory that a kernel thread does not have."""
    found = taskstats.document(7, STATS | {"hiwater_rss": 0, "hiwater_vm": 0}, 0, delays=False, io=False)
    unknown = {key for key, value in found.items() if value is None}
    assert unknown == {
        *(f"{name}_delay_seconds" for name in ("blkio", "swapin", "reclaim")),
        *("peak_rss_bytes", "peak_vm_bytes", "read_bytes", "write_bytes"),
    }
    assert "kernel.task_delayacct=1" in taskstats.hints(delays=False)[0]


@pytest.mark.parametrize("text, on", [("0\n", False), ("1\n", True)])
def test_the_switch(tmp_path: Path, text: str, on: bool) -> None:
    """sysctl kernel.task_delayacct."""
    (tmp_path / "switch").write_text(text)
    assert taskstats.delays_on(tmp_path / "switch") is on
