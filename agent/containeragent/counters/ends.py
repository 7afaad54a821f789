# SPDX-License-Identifier: Apache-2.0
"""Final records: what the kernel side leaves of a cgroup when it is removed (struct end of bpf/records.h).

In: the mapped records, the newest ENDS of managed cgroups and of others, whoever removed them and whether or not an
agent was there. Out: each record once. Times become seconds since the epoch here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from containeragent.counters.records import END_PATH_BYTES, END_REASON_BYTES, ENDS
from containeragent.counters.snapshot import COUNTERS, UNKNOWN, Column, Health, Snapshot

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class End:
    """The last numbers of one cgroup, with everything below it but for `local`. Pages are those left behind."""

    sequence: int
    managed: bool  # below the cgroup root at its end
    cgroup_id: int
    slot: int
    path: str | None  # under the root of the hierarchy; None if the kernel could not say
    path_cut: bool  # the path is longer than that
    born_at: float | None  # seconds since the epoch; None if it was there before the programs were
    died_at: float
    died_ns: int  # CLOCK_MONOTONIC
    peak_tasks: int
    peak_pages: int
    forks: int
    exits: int
    task_limit_hits: int
    page_limit_hits: int
    pages: int
    local: dict[str, int]  # anon, file, shmem
    has_children: bool  # removed ones below it still have pages, so the kinds are known of `local` only
    partial_pages: bool
    reason: str  # "" until somebody gave one


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "backslashreplace")


def decode(record: Array, managed: bool, epoch_seconds: float) -> End:
    """`record` is a copy of one; `epoch_seconds` is what CLOCK_MONOTONIC 0 was."""
    born, died = int(record["born_ns"]), int(record["died_ns"])
    path = record["path"].tobytes()[: min(int(record["path_bytes"]), END_PATH_BYTES)]
    return End(
        sequence=int(record["sequence"]),
        managed=managed,
        cgroup_id=int(record["cgroup_id"]),
        slot=int(record["slot"]),
        path=_text(path) or None,
        path_cut=bool(record["path_cut"]),
        born_at=epoch_seconds + born / 1e9 if born else None,
        died_at=epoch_seconds + died / 1e9,
        died_ns=died,
        peak_tasks=int(record["tasks_peak"]),
        peak_pages=int(record["pages_peak"]),
        forks=int(record["forks"]),
        exits=int(record["exits"]),
        task_limit_hits=int(record["task_limit_hits"]),
        page_limit_hits=int(record["page_limit_hits"]),
        pages=int(record["pages"]),
        local={name: int(record[name]) for name in ("anon", "file", "shmem")},
        has_children=bool(record["children"]),
        partial_pages=bool(record["partial"]),
        reason=_text(record["reason"].tobytes()),
    )


def last_snapshot(ends: Sequence[End], health: Health) -> Snapshot:
    """The last numbers as columns, one an end, for who reads those of the living too."""

    def column(values: Sequence[int]) -> Column:
        return np.array(values, dtype=np.int64)

    unknown, none = column([UNKNOWN] * len(ends)), column([0] * len(ends))
    local = {name: column([end.local[name] for end in ends]) for name in ("anon", "file", "shmem")}
    parents = np.array([end.has_children for end in ends], dtype=np.bool_)
    known = {"tasks": none} | {name: np.where(parents, UNKNOWN, values) for name, values in local.items()}
    return Snapshot(
        taken_at=time.monotonic(),
        cgroup_ids=tuple(end.cgroup_id for end in ends),
        total=dict.fromkeys(COUNTERS, unknown) | known,
        local=dict.fromkeys(COUNTERS, unknown) | {"tasks": none} | local,
        peak_tasks=column([end.peak_tasks for end in ends]),
        peak_pages=column([end.peak_pages for end in ends]),
        forks=column([end.forks for end in ends]),
        exits=column([end.exits for end in ends]),
        task_limit_hits=column([end.task_limit_hits for end in ends]),
        page_limit_hits=column([end.page_limit_hits for end in ends]),
        partial=np.array([end.partial_pages for end in ends], dtype=np.bool_),
        born_ns=unknown,
        health=health,
        index={end.cgroup_id: at for at, end in enumerate(ends)},
    )


class Ends:
    """Reads each record once, and writes reasons. Not for two threads at a time."""

    def __init__(self, records: Array, state: Array) -> None:
        self._kinds = (_Log(records[:ENDS], state["ends"], True), _Log(records[ENDS:], state["other_ends"], False))

    def new(self) -> list[End]:
        """Those since the last call, managed ones first, then oldest first.

        A gap in the sequence of a kind is one of records that were overwritten.
        """
        epoch_seconds = time.time() - time.monotonic()
        return [end for kind in self._kinds for end in kind.new(epoch_seconds)]

    def explain(self, end: End, reason: str) -> None:
        """Write the reason, cut to what there is room for, unless the record is another's by now."""
        self._kinds[0 if end.managed else 1].explain(end.sequence, reason)


class _Log:
    """The records of one kind. `last` is the sequence of the newest."""

    def __init__(self, records: Array, last: Array, managed: bool) -> None:
        self._records = records
        self._last = last
        self._managed = managed
        self._read = 0

    def new(self, epoch_seconds: float) -> list[End]:
        last = int(self._last[0])
        found = [self._copy(sequence) for sequence in range(max(self._read, last - ENDS) + 1, last + 1)]
        self._read = last
        return [decode(record, self._managed, epoch_seconds) for record in found if record is not None]

    def _copy(self, sequence: int) -> Array | None:
        """None when it is being overwritten."""
        at = (sequence - 1) % ENDS
        record: Array = self._records[at : at + 1].copy()
        intact = int(record["sequence"][0]) == sequence == int(self._records["sequence"][at])
        return record[0] if intact else None

    def explain(self, sequence: int, reason: str) -> None:
        at = (sequence - 1) % ENDS
        raw = reason.encode()[: END_REASON_BYTES - 1].decode("utf-8", "ignore").encode()
        if int(self._records["sequence"][at]) == sequence:
            self._records["reason"][at] = np.frombuffer(raw.ljust(END_REASON_BYTES, b"\0"), dtype=np.uint8)
