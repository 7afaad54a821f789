# SPDX-License-Identifier: Apache-2.0
"""Where snapshots come from, whichever engine counts: the one face that metrics, limits and the API know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from containeragent.checks import Check
from containeragent.counters.charged import ChargedFiles
from containeragent.counters.ends import End
from containeragent.counters.hits import LimitHit
from containeragent.counters.pageview import AskActive, PageView
from containeragent.counters.snapshot import Snapshot
from containeragent.libbpf import ProgramInfo


@dataclass(frozen=True)
class Engine:
    """What counts tasks, and what counts pages: the names of BPF engines, or for the engine `netlink` what it reads."""

    tasks: str
    pages: str


class Source(Protocol):
    """Snapshots, and the upkeep that what counts needs now and then."""

    @property
    def engine(self) -> Engine:
        """What counts."""

    @property
    def reason(self) -> str:
        """Why a fallback counts; empty for the BPF engines."""

    @property
    def page_size(self) -> int:
        """Bytes."""

    @property
    def slots(self) -> int | None:
        """Containers that can be told apart; None is no bound."""

    @property
    def files(self) -> ChargedFiles | None:
        """Files that are charged to cgroups; None: this engine cannot."""

    def snapshot(self) -> Snapshot:
        """The counters now."""

    def settled(self) -> Snapshot:
        """The counters after the kernel has finished what it put off: exact at rest."""

    def ends(self) -> list[End]:
        """Final records of cgroups that ended since the last call, oldest first."""

    def explain(self, end: End, reason: str) -> None:
        """Keep why it ended with its record, for the agent's successor too."""

    def manage(self, cgroup_id: int) -> None:
        """Say which cgroup the managed ones are below."""

    @property
    def denies_forks(self) -> bool | None:
        """Whether forks beyond a task limit fail in the kernel; else they are told. None: no limits can be set here."""

    def set_limits(self, cgroup_id: int, task_limit: int | None, page_limit: int | None) -> None:
        """
        Limits in tasks and pages of a cgroup and everything below it; None is no limit. They hold until they are set
        anew or the cgroup is gone, whether or not an agent is there. One that is set below what is used is a hit; set
        again, it is told again if it is not kept. Refused where this engine knows no limits, or not this cgroup's.
        """

    def rearm(self, cgroup_id: int) -> None:
        """
        Have the next hit of its limits told: after one, no other of the same limit is. Look at what is used only
        after this call, so that nothing passes unseen.
        """

    def listen_limits(self, hear: Callable[[list[LimitHit]], None]) -> None:
        """Have hits of the limits that were set told, in the thread of `listen`; in `upkeep` if notices were lost."""

    def listen(self, kind: int, hear: Callable[[list[bytes]], None]) -> None:
        """Have the kernel side's notices of a kind (records.NOTICE_...) told, in a thread of the source's."""

    def rescan(self, ask_active: AskActive) -> PageView | None:
        """Look at every page now, for what no event tells; None if this engine has no need of it, or is closed."""

    def changed(self) -> None:
        """Called before and after the agent changes a container: what was before counts so, snapshots show after."""

    def programs(self) -> dict[str, ProgramInfo]:
        """Our BPF programs that count, by name."""

    def sweep(self) -> int:
        """Look for slots that can be taken again; how many there were."""

    def upkeep(self) -> None:
        """What is due now."""

    def checks(self) -> Iterator[Check]:
        """What is to be said of this engine on this host."""

    def close(self) -> None:
        """Let go of everything; what is pinned goes on counting."""
