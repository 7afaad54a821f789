# SPDX-License-Identifier: Apache-2.0
"""What `containerctl doctor` says of the BPF engines: what they need, and whether it is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from containeragent.checks import Check, answer
from containeragent.host import functions, page_flags
from containeragent.libbpf import ProgramInfo
from containeragent.pins import Pins
from containeragent.stamp import Stamp

Programs = Mapping[str, ProgramInfo]


def _btf() -> Check:
    path = Path("/sys/kernel/btf/vmlinux")
    hint = "use a kernel with CONFIG_DEBUG_INFO_BTF=y; without it nothing can be loaded"
    return answer("btf", path.exists(), f"{path}", hint)


def _pins(pins: Pins, not_put_back: str) -> Check:
    hint = (
        "what counts now, counts only as long as the agent runs; to count anew from now on, without a restart: "
        "systemctl reload containeragent-load (or `containeragent load`)"
    )
    detail = f"{pins.folder}" + (f" was removed and cannot be put back: {not_put_back}" if not_put_back else "")
    return answer("pins", pins.loaded() and not not_put_back, detail, hint)


def _active() -> Check:
    """Why num_active_pages may be null."""
    return answer(
        "active pages",
        page_flags.tell_active(),
        "page flags tell them"
        if page_flags.tell_active()
        else "page flags do not tell them, because the multi-generational LRU is on "
        f"(/sys/{page_flags.GENERATIONS}): they are memory.stat's, and null where a cgroup has no memory controller",
        "give these cgroups the memory controller (+memory in cgroup.subtree_control above them), or have the kernel "
        f"keep active lists: echo n > /sys/{page_flags.GENERATIONS}",
    )


def _migration(programs: Programs) -> Check:
    return answer(
        "moved pages",
        "set_migration_pte" in programs or "mem_cgroup_migrate" in programs,
        "compaction and migration are followed",
        "pages that compaction moves are lost from their container: kernels from 5.19 on x86-64 tell",
    )


def _fentry(stamp: Stamp) -> Check:
    """What the loader found: the agent itself may not be allowed to try."""
    reason = stamp.without_fentry
    if not reason:
        return Check("engine fentry", "yes", "counts")
    return Check(
        "engine fentry",
        "unknown" if reason.startswith(functions.COULD_NOT_TELL) else "no",
        reason,
        "engine tracepoint counts instead; where fentry loads, change to it with "
        "`containeragent load --replace --engine fentry`",
    )


def _denial(stamp: Stamp) -> Check:
    """How task limits are held where the pids controller does not."""
    return answer(
        "fork denial",
        not stamp.without_denial,
        stamp.without_denial or "forks beyond a task limit are denied in the kernel",
        "tasks beyond a limit that the agent holds are ended, newest first; kernels without lockdown and with function "
        "tracing let programs deny them",
    )


def _seeded(stamp: Stamp) -> Check:
    return answer(
        "pages from before the load",
        stamp.seeded,
        "counted" if stamp.seeded else "not counted: containers from before are marked partial",
        "load the programs early at boot, or use cgroup v2 with its memory controller",
    )


def _missed(programs: Programs) -> Check:
    """Runs that the kernel left out because an interrupt came while the same program ran on that CPU."""
    missed = {name: program.missed for name, program in programs.items() if program.missed}
    if not missed:
        return Check("missed runs", "yes", "none")
    shown = ", ".join(f"{name} {number}" for name, number in missed.items())
    return Check(
        "missed runs",
        "unknown",
        f"{shown} inside interrupts, where memory of programs is hardly ever freed",
        "a page that was freed there counts until its frame is used again, or two looks at all pages find it free; see "
        "containeragent_bpf_program_missed_total and containeragent_rescan_age_seconds",
    )


def _unprivileged_bpf() -> Check:
    path = Path("/proc/sys/kernel/unprivileged_bpf_disabled")
    try:
        value = path.read_text().strip()
    except OSError as error:
        return Check("unprivileged bpf", "unknown", str(error))
    return Check("unprivileged bpf", "yes", f"{path} = {value}; the agent does not need it")


def checks(pins: Pins, stamp: Stamp, programs: Programs, not_put_back: str) -> Iterator[Check]:
    """All of them; `not_put_back` says why pins that somebody removed are not there again."""
    yield _btf()
    yield _pins(pins, not_put_back)
    yield _fentry(stamp)
    yield _denial(stamp)
    yield _migration(programs)
    yield _seeded(stamp)
    yield _active()
    yield _missed(programs)
    yield _unprivileged_bpf()
