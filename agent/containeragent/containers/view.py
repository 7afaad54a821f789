# SPDX-License-Identifier: Apache-2.0
"""Containers as users see them: a snapshot joined with the names of the cgroups.

In: a Snapshot and paths. Out: documents as `show --json` prints them. Unknown is None.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from containeragent.cgroups.naming import Names
from containeragent.counters.ends import End
from containeragent.counters.snapshot import COUNTERS, Reading, Snapshot
from containeragent.counters.source import Engine
from containeragent.limits.model import Hits, LimitState
from containeragent.workloads.patterns import Workload

Document = dict[str, Any]

_LIMITS = "task_limit page_limit task_limit_hits page_limit_hits throttled_seconds kill_after_seconds dry_run".split()


@dataclass(frozen=True)
class Dead:
    """One cgroup that is gone."""

    name: str
    cgroup: str
    managed: bool
    end: End
    reason: str
    limits: LimitState | None = None


@dataclass(frozen=True)
class Container:
    """One cgroup with its counters."""

    name: str
    cgroup: str
    managed: bool
    reading: Reading


def with_leaf(reading: Reading, leaf: Reading) -> Reading:
    """A container's reading with what its leaf holds as its own."""
    return replace(reading, local={name: _added(reading.local[name], leaf.local[name]) for name in COUNTERS})


def _added(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def containers(snapshot: Snapshot, paths: Sequence[str | None], names: Names, all_cgroups: bool) -> Iterator[Container]:
    """Every container of a snapshot, sorted by name; with `all_cgroups` the unmanaged ones too.

    `paths` are those of the snapshot's cgroups, in its order; None for one that is gone. One at a time, because the
    readings of all together are large.
    """
    found: dict[str, tuple[str | None, int]] = {}  # by path: name, None of one that is not managed, and cgroup id
    leaves: dict[str, list[int]] = {}  # by the path of their container
    for cgroup_id, path in zip(snapshot.cgroup_ids, paths, strict=True):
        if path is None:
            continue
        name = names.managed(path)
        if names.is_leaf(path):
            leaves.setdefault(path.rpartition("/")[0] or "/", []).append(cgroup_id)
        elif name is not None or all_cgroups:
            found[path] = name, cgroup_id

    def key(path: str) -> str:
        name, _ = found[path]
        return path if name is None else names.root + name

    def container(path: str) -> Container:
        name, cgroup_id = found[path]
        readings = filter(None, map(snapshot.reading, (cgroup_id, *leaves.get(path, ()))))
        return Container(path if name is None else name, path, name is not None, functools.reduce(with_leaf, readings))

    return map(container, sorted(found, key=key))


def public_name(counter: str) -> str:
    """A counter's name as users see it."""
    return f"num_{counter}" + ("" if counter in ("tasks", "files") else "_pages")


def _numbers(counters: dict[str, int | None]) -> Document:
    """Counters by the names that users see."""
    return {public_name(name): value for name, value in counters.items()}


def _limits(state: LimitState | None) -> Document:
    if state is None:
        return dict.fromkeys(_LIMITS)
    limits = state.limits
    return {
        "task_limit": limits.task_limit,
        "page_limit": limits.page_limit,
        **_hits(state.hits),
        "throttled_seconds": round(state.throttled_seconds, 3),
        "kill_after_seconds": limits.kill_after_seconds,
        "dry_run": limits.dry_run,
    }


def _hits(hits: Hits | None) -> Document:
    return {"task_limit_hits": hits and hits.tasks, "page_limit_hits": hits and hits.pages}


def document(
    container: Container, page_size: int, engine: Engine, limits: LimitState | None, workload: Workload | None = None
) -> Document:
    """The container as `show --json` prints it; pages of `page_size` bytes.

    Of an unmanaged one `limits` is None, and `workload` says whose it is.
    """
    reading = container.reading
    return {
        "name": container.name,
        "cgroup": container.cgroup,
        "id": reading.cgroup_id,
        "managed": container.managed,
        "workload": _workload(workload),
        "state": "live",
        "page_size": page_size,
        "engine": asdict(engine),
        "limit_mode": {"tasks": limits and limits.tasks_mode, "pages": limits and limits.pages_mode},
        "notify_on_release": False,
        "remove_on_release": False,
        "owner": None,
        "partial_pages": reading.partial_pages,
        **_numbers(reading.total),
        **_limits(limits),
        "peak_tasks": reading.peak_tasks,
        "peak_pages": reading.peak_pages,
        "forks": reading.forks,
        "exits": reading.exits,
        "local": _numbers(reading.local) | _hits(limits.local_hits if limits else None),
    }


def _workload(workload: Workload | None) -> Document | None:
    return None if workload is None else {key: value or None for key, value in asdict(workload).items()}


def last_reading(end: End) -> Reading:
    """The final record as a reading: pages are those left behind, and no task can be left."""
    kinds = dict.fromkeys(COUNTERS, None) | {"tasks": 0}
    local = kinds | end.local
    return Reading(
        cgroup_id=end.cgroup_id,
        total=kinds if end.has_children else local,
        local=local,
        peak_tasks=end.peak_tasks,
        peak_pages=end.peak_pages,
        forks=end.forks,
        exits=end.exits,
        task_limit_hits=end.task_limit_hits,
        page_limit_hits=end.page_limit_hits,
        partial_pages=end.partial_pages,
    )


def dead_document(dead: Dead, page_size: int, engine: Engine) -> Document:
    """As that of a living one, and when and why it ended."""
    container = Container(dead.name, dead.cgroup, dead.managed, last_reading(dead.end))
    return document(container, page_size, engine, dead.limits) | {
        "state": "dead",
        "born_at": _moment(dead.end.born_at),
        "died_at": _moment(dead.end.died_at),
        "reason": dead.reason,
        "num_left_pages": dead.end.pages,
    }


def _moment(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="microseconds")
