# SPDX-License-Identifier: Apache-2.0
"""Who holds a container's limits: the kernel's controllers where it has them, else the agent with its programs.

In: Limits. Out: they are in force, all of them or none.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from containeragent.cgroups.tree import Parts, Tree
from containeragent.counters.source import Source
from containeragent.errors import Refused
from containeragent.limits import kernel
from containeragent.limits.kernel import MEMORY, PIDS, KernelLimits
from containeragent.limits.model import Limits

log = logging.getLogger(__name__)

KERNEL, AGENT = "kernel", "agent"


@dataclass(frozen=True)
class Modes:
    """KERNEL, AGENT, or None where nobody can hold such a limit."""

    tasks: str | None
    pages: str | None


class Holders:
    """Of the containers in one tree."""

    def __init__(self, tree: Tree, source: Source) -> None:
        self._tree = tree
        self._kernel = KernelLimits(tree)
        self._source = source
        self.usual = Modes(None, None)  # of a container that no limit was set for
        self.look()

    def look(self) -> None:
        """What the cgroup root offers now."""
        self.usual = self.modes(())

    def modes(self, parts: Parts) -> Modes:
        """By the controllers that a container has now."""
        there = self._kernel.controllers(parts)
        agent = None if self._source.denies_forks is None else AGENT
        return Modes(KERNEL if PIDS in there else agent, KERNEL if MEMORY in there else agent)

    def apply(self, parts: Parts, before: Limits, wanted: Limits) -> Modes:
        """Put limits in force in place of those before; who holds them."""
        failed = self._enable(parts, wanted)
        modes = self.modes(parts)
        for limit, mode, what in (
            (wanted.task_limit, modes.tasks, "task"),
            (wanted.page_limit, modes.pages, "page"),
        ):
            if limit is not None and mode is None:
                raise failed or _nobody(self._tree.title(parts), what)
        self._kernel.write(parts, self._settings(modes, before, wanted))
        try:
            self._tell_source(parts, modes, wanted)
        except Refused:
            self._kernel.write(parts, self._settings(modes, wanted, before))
            raise
        return modes

    def _enable(self, parts: Parts, wanted: Limits) -> Refused | None:
        """Have the controllers come down to it. What stands in the way is no error where the agent can hold limits."""
        if wanted == Limits():
            return None
        try:
            self._kernel.enable(parts)
        except Refused as error:
            log.warning("%s", error.message)
            return error
        return None

    def _settings(self, modes: Modes, before: Limits, wanted: Limits) -> list[kernel.Setting]:
        settings = kernel.pids_settings(wanted) if modes.tasks == KERNEL else []
        if modes.pages == KERNEL:
            settings += kernel.memory_settings(wanted, before, self._source.page_size)
        return settings

    def _tell_source(self, parts: Parts, modes: Modes, wanted: Limits) -> None:
        """The programs hold what the kernel does not. Nobody else would notice the page limit of a dry run."""
        if self._source.denies_forks is None:
            return
        tasks = wanted.task_limit if modes.tasks == AGENT else None
        pages = wanted.page_limit if modes.pages == AGENT or wanted.dry_run else None
        self._source.set_limits(self._tree.identity(parts), tasks, pages)


def _nobody(name: str, what: str) -> Refused:
    message = (
        f"the {what} limit of container {name} was not set: it has no controller of the kernel, and no "
        "programs that hold it; see containerctl doctor"
    )
    return Refused("ENOTSUP", message)
