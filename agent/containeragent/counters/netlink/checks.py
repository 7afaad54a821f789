# SPDX-License-Identifier: Apache-2.0
"""What `containerctl doctor` says of this engine: why it counts, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from containeragent.checks import Check, answer
from containeragent.counters.snapshot import UNKNOWN, Snapshot
from containeragent.host.distribution import install_bcc


def bpf_hint() -> str:
    """What it takes to count by BPF, in the words of this distribution."""
    return (
        f"counts would be exact and go on without the agent with bcc ({install_bcc()}), a kernel with BTF, "
        "and CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN for the agent"
    )


class _Source(Protocol):
    reason: str
    no_events: str | None

    def snapshot(self) -> Snapshot: ...

    def lost(self) -> int: ...


def _missing(snapshot: Snapshot) -> list[str]:
    """Counters that no cgroup has."""
    columns = snapshot.total | {
        "peak_tasks": snapshot.peak_tasks,
        "peak_pages": snapshot.peak_pages,
        "forks": snapshot.forks,
        "exits": snapshot.exits,
    }
    return [name for name, column in columns.items() if (column == UNKNOWN).all()]


def checks(source: _Source) -> Iterator[Check]:
    """Its own; doctor.py adds what is the same for every engine."""
    yield Check("bpf", "no", source.reason, bpf_hint())
    no_events = source.no_events
    yield answer(
        "process connector",
        no_events is None,
        no_events or "forks and exits are followed while the agent runs",
        "without it there are no forks, no exits, and peaks of tasks only where there is pids.peak",
    )
    lost = source.lost()
    yield answer("lost events", lost == 0, str(lost) if lost else "none", "forks, exits and peaks may be too low")
    missing = _missing(source.snapshot())
    yield answer(
        "counters",
        not missing,
        f"unknown here: {', '.join(missing)}" if missing else "all are known",
        "pages need the memory controller on cgroup v2, their peaks Linux 5.19",
    )
