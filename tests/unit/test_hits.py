# SPDX-License-Identifier: Apache-2.0
"""Notices of limits and of memory that is short, from the bytes that the kernel side sends."""

from __future__ import annotations

import numpy as np
import pytest

from containeragent.counters import hits, records
from containeragent.counters.hits import Cause, LimitNotice, OutOfMemory, Task


def _comm(raw: bytes) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.frombuffer(raw.ljust(records.COMM_BYTES, b"\0"), np.uint8)


@pytest.mark.parametrize(
    "raw, comm",
    [
        (b"sh", "sh"),
        (b"a" * 16, "a" * 16),
        (b"old\0name", "old"),
        (b"", None),
        (b"\xff\x1b", "\\xff\x1b"),
        ("größe".encode(), "größe"),
    ],
)
def test_limit(raw: bytes, comm: str | None) -> None:
    """What comes after the record is not looked at."""
    record = np.zeros(1, records.LIMIT_NOTICE)
    record["slot"], record["cause"], record["pid"], record["comm"] = 7, 2, 23, _comm(raw)
    assert hits.limit_notice(record.tobytes() + b"more") == LimitNotice(7, Cause.SET, Task(23, comm))


def test_out_of_memory() -> None:
    """Who is killed, and who found no memory; a cgroup that is not known is none."""
    record = np.zeros(1, records.OOM_NOTICE)
    record["slot"], record["cgroup_id"], record["trigger_cgroup_id"] = 7, 107, 102
    record["victim_pid"], record["trigger_pid"] = 23, 29
    record["victim_comm"], record["trigger_comm"] = _comm(b"hog"), _comm(b"sh")
    told = OutOfMemory(107, Task(23, "hog"), Task(29, "sh"), 102)
    assert hits.out_of_memory(record.tobytes()) == told
    record["cgroup_id"] = 0
    assert hits.out_of_memory(record.tobytes()).cgroup_id is None


def test_what_is_cut_off() -> None:
    """It is no notice."""
    with pytest.raises(ValueError, match="buffer"):
        hits.limit_notice(b"\0" * (records.LIMIT_NOTICE.itemsize - 1))
