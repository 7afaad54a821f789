# SPDX-License-Identifier: Apache-2.0
"""What this host offers, what is missing, what to do: the checks behind `containerctl doctor`.

A check has three answers: yes, no, unknown (could not tell).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from containeragent import __version__
from containeragent.counters.pinned import PinnedSource
from containeragent.host import cgroup2, mounts


@dataclass(frozen=True)
class Check:
    """`status` is yes, no or unknown; `hint` says what to do, None when there is nothing."""

    name: str
    status: str
    detail: str
    hint: str | None = None


def _answer(name: str, yes: bool, detail: str, hint: str) -> Check:
    return Check(name, "yes" if yes else "no", detail, None if yes else hint)


def _btf() -> Check:
    path = Path("/sys/kernel/btf/vmlinux")
    hint = "use a kernel with CONFIG_DEBUG_INFO_BTF=y; without it nothing can be loaded"
    return _answer("btf", path.exists(), f"{path}", hint)


def _bpffs(source: PinnedSource) -> Check:
    live = source.pins.loaded()
    return _answer("pins", live, f"{source.pins.folder}", "counting ends with the agent: `containeragent load`")


def _cgroup2() -> Check:
    found = mounts.find(cgroup2.KIND)
    return _answer("cgroup2", found is not None, found.point if found else "not mounted", "mount -t cgroup2 none DIR")


def _controller(name: str, mount: Path, lost: str) -> Check:
    try:
        there = name in (mount / "cgroup.controllers").read_text().split()
    except OSError as error:
        return Check(f"controller {name}", "unknown", str(error))
    return _answer(
        f"controller {name}",
        there,
        "on cgroup v2" if there else "not on cgroup v2 (on a v1 hierarchy, or switched off)",
        f"{lost}; boot with systemd.unified_cgroup_hierarchy=1 or cgroup_no_v1={name}",
    )


def _migration(source: PinnedSource) -> Check:
    links = source.programs()
    return _answer(
        "moved pages",
        "set_migration_pte" in links,
        "compaction and migration are followed",
        "pages that compaction moves are lost from their container: kernels from 5.19 on x86-64 tell",
    )


def _seeded(source: PinnedSource) -> Check:
    return _answer(
        "pages from before the load",
        source.stamp.seeded,
        "counted" if source.stamp.seeded else "not counted: containers from before are marked partial",
        "load the programs early at boot, or use cgroup v2 with its memory controller",
    )


def _missed(source: PinnedSource) -> Check:
    """Runs that the kernel left out because an interrupt came while the same program ran on that CPU."""
    missed = {name: program.missed for name, program in source.programs().items() if program.missed}
    if not missed:
        return Check("missed runs", "yes", "none")
    shown = ", ".join(f"{name} {number}" for name, number in missed.items())
    return Check(
        "missed runs",
        "unknown",
        f"{shown} inside interrupts, where memory of programs is hardly ever freed",
        "a page that was freed there counts until its frame is used again; see containeragent_bpf_program_missed_total",
    )


def _unprivileged_bpf() -> Check:
    path = Path("/proc/sys/kernel/unprivileged_bpf_disabled")
    try:
        value = path.read_text().strip()
    except OSError as error:
        return Check("unprivileged bpf", "unknown", str(error))
    return Check("unprivileged bpf", "yes", f"{path} = {value}; the agent does not need it")


def checks(source: PinnedSource) -> Iterator[Check]:
    """All of them."""
    mount = cgroup2.mount_point()
    yield Check("kernel", "yes", os.uname().release)
    yield _btf()
    yield _cgroup2()
    yield _bpffs(source)
    yield _migration(source)
    yield _seeded(source)
    yield _missed(source)
    yield _controller("memory", mount, "page figures of the kernel to compare with are on v1")
    yield _controller("pids", mount, "the kernel cannot enforce task limits on v2")
    yield _unprivileged_bpf()


def document(source: PinnedSource) -> Callable[[], dict[str, Any]]:
    """What /v1/doctor answers."""

    def answer() -> dict[str, Any]:
        health, engine = source.snapshot().health, asdict(source.engine)
        return {
            "checks": [asdict(check) for check in checks(source)],
            "version": __version__,
            "engine": engine,
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

    return answer
