# SPDX-License-Identifier: Apache-2.0
"""What this host offers, what is missing, what to do: the checks behind `containerctl doctor`.

A check has three answers: yes, no, unknown (could not tell).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from containeragent import __version__
from containeragent.checks import Check, answer
from containeragent.counters.source import Source
from containeragent.host import cgroup2, mounts


def _cgroup2() -> Check:
    found = mounts.find(cgroup2.KIND)
    return answer("cgroup2", found is not None, found.point if found else "not mounted", "mount -t cgroup2 none DIR")


def _controller(name: str, mount: Path, lost: str) -> Check:
    try:
        there = name in (mount / "cgroup.controllers").read_text().split()
    except OSError as error:
        return Check(f"controller {name}", "unknown", str(error))
    return answer(
        f"controller {name}",
        there,
        "on cgroup v2" if there else "not on cgroup v2 (on a v1 hierarchy, or switched off)",
        f"{lost}; boot with systemd.unified_cgroup_hierarchy=1 or cgroup_no_v1={name}",
    )


def checks(source: Source, others: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """All of them."""
    mount = cgroup2.mount_point()
    yield Check("kernel", "yes", os.uname().release)
    yield _cgroup2()
    yield from source.checks()
    yield _controller("memory", mount, "page figures of the kernel to compare with are on v1")
    yield _controller("pids", mount, "the kernel cannot enforce task limits on v2")
    yield from others()


def document(source: Source, others: Callable[[], Iterable[Check]] = tuple) -> Callable[[], dict[str, Any]]:
    """What /v1/doctor answers; `others` has checks of what is not the source's."""

    def found() -> dict[str, Any]:
        health, engine = source.snapshot().health, asdict(source.engine)
        return {
            "checks": [asdict(check) for check in checks(source, others)],
            "version": __version__,
            "engine": engine,
            "reason": source.reason or None,
            "slots": {
                "size": health.slots,
                "used": health.slots_used,
                "dead": health.slots_dead,
                "exhausted": health.slots_exhausted,
            },
            "lost": {
                "tasks": health.tasks_lost,
                "pages": health.pages_lost,
                "unclaimed": health.pages_unclaimed,
            },
        }

    return found
