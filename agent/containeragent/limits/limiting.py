# SPDX-License-Identifier: Apache-2.0
"""Everything that holds limits, put together.

In: the tree of containers, the source, and who wants to know. Out: limits that hold while this runs, and what the
kernel holds afterwards too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from containeragent.cgroups.tree import Parts, Tree
from containeragent.checks import Check, answer
from containeragent.counters.ends import End
from containeragent.counters.snapshot import Snapshot
from containeragent.counters.source import Source
from containeragent.events.event import KILL
from containeragent.limits import ending, states
from containeragent.limits.admission import Admission
from containeragent.limits.agent_hits import AgentHits
from containeragent.limits.enforcer import Because, Enforcer
from containeragent.limits.excess import Excess
from containeragent.limits.freezer import Freezer
from containeragent.limits.hands import Hands
from containeragent.limits.holders import AGENT, KERNEL
from containeragent.limits.keeper import Keeper, Publish
from containeragent.limits.kernel import MEMORY, PIDS
from containeragent.limits.model import Hits, LimitState

_CONTROLLERS = {"tasks": PIDS, "pages": MEMORY}


class Limiting:
    """Of the containers in one tree. `cgroup_of` gives the path under the cgroup2 mount of components.

    Components are those of directories, which stay the same when a container is renamed.
    """

    def __init__(
        self,
        tree: Tree,
        source: Source,
        *,
        cgroup_of: Callable[[Parts], str],
        publish: Publish,
        because: Because,
        throttle_max_seconds: float,
    ) -> None:
        freezer = Freezer(tree, cgroup_of)
        self._tree = tree
        self._source = source
        self._because = because
        self.keeper = Keeper(tree, source, publish, freezer.recover)
        self.admission = Admission(tree, self.keeper)
        self.enforcer = Enforcer(self.keeper, Hands(tree, source, freezer), because, throttle_max_seconds)
        self._excess = Excess(tree, source, self.keeper, freezer)
        self._agent_hits = AgentHits(source, self.keeper, self._excess)
        self.keeper.above, self.keeper.out_of_memory = self.enforcer.wake, self._out_of_memory
        self.keeper.task_limit_set = self._agent_hits.look

    def start(self) -> None:
        """Take over what an agent before this one left, what it stopped goes on."""
        self._agent_hits.start()
        self.keeper.start()

    def close(self) -> None:
        """What was stopped goes on; what the kernel and the programs hold, they hold on."""
        self.keeper.close()
        self._agent_hits.close()
        self.enforcer.close()

    def states(self, snapshot: Snapshot | None = None) -> dict[int, LimitState]:
        """Of all that have or had limits, by cgroup id; as of a snapshot, or now."""
        return states.all_of(self.keeper, snapshot or self._source.snapshot())

    def state(self, cgroup_id: int) -> LimitState | None:
        """Of one of them, now."""
        return states.of(self.keeper, self._source.snapshot(), cgroup_id)

    def unlimited(self) -> LimitState:
        """Of all others."""
        return states.unlimited(self.keeper.usual_modes)

    def held(self) -> Counter[tuple[str, str]]:
        """How many limits of tasks and of pages are held by whom: "kernel", "agent" or "none"."""
        found: Counter[tuple[str, str]] = Counter()
        for entry in self.keeper.entries().values():
            if entry.kept.limits.task_limit is not None:
                found["tasks", entry.modes.tasks or "none"] += 1
            if entry.kept.limits.page_limit is not None:
                found["pages", entry.modes.pages or "none"] += 1
        return found

    def checks(self) -> Iterator[Check]:
        """For the doctor."""
        usual = self.keeper.usual_modes
        ends = usual.tasks == AGENT and not self._source.denies_forks
        way = ending.way(self._tree) if ends else None
        if ends and way is None:
            hint = "systemctl edit containeragent: AmbientCapabilities=CAP_KILL, CapabilityBoundingSet=CAP_KILL"
            yield answer("limits of tasks", False, "by the agent, which may not end tasks", hint)
        else:
            yield self._check("tasks", usual.tasks, *([f"the newest beyond one are ended {way}"] if way else []))
        yield self._check("pages", usual.pages)

    def _check(self, limit: str, mode: str | None, *more: str) -> Check:
        held = self.held()
        by_whom = {KERNEL: "by the kernel's controller", AGENT: "by our programs and the agent", None: "by nobody"}
        others = [f"{number} by {by}" for (what, by), number in sorted(held.items()) if what == limit and by != mode]
        hint = f"put the controller {_CONTROLLERS[limit]} on cgroup v2, or run with a BPF engine"
        holds = mode is not None and not held[limit, "none"]
        return answer(f"limits of {limit}", holds, "; ".join([by_whom[mode], *more, *others]), hint)

    def ended(self, end: End) -> LimitState | None:
        """Of one that is gone."""
        self._excess.forget(end.cgroup_id)
        self._agent_hits.forget(end.cgroup_id)
        entry = self.keeper.ended(end.cgroup_id, Hits(end.task_limit_hits, end.page_limit_hits))
        return None if entry is None else states.last(entry)

    def _out_of_memory(self, cgroup_id: int) -> None:
        """The hard stop that goes with kill-after: the kernel has ended the container as a whole."""
        entry = self.keeper.entry(cgroup_id)
        if entry and entry.kept.limits.kill_after_seconds is not None and not entry.kept.limits.dry_run:
            reason = f"out of memory at {entry.kept.limits.hard_page_limit} pages, an eighth above its page limit"
            self._because(cgroup_id, f"killed: {reason}")
            self.keeper.publish(KILL, entry.parts, reason=reason)
