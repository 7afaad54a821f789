# SPDX-License-Identifier: Apache-2.0
"""The registry that an agent starts with: our own subsystems, then those of others that are installed and wanted."""

from __future__ import annotations

import logging

from containeragent.cgroups.tree import Tree
from containeragent.counters.source import Source
from containeragent.errors import Refused
from containeragent.events.bus import Bus
from containeragent.limits.keeper import Keeper
from containeragent.subsystems import installed
from containeragent.subsystems.api import Container
from containeragent.subsystems.builtin.cpu import Cpu
from containeragent.subsystems.builtin.cpuset import Cpuset
from containeragent.subsystems.builtin.pages import Pages
from containeragent.subsystems.builtin.tasks import Tasks
from containeragent.subsystems.members import BuiltIn
from containeragent.subsystems.registry import Registry
from containeragent.subsystems.remote import Remote

log = logging.getLogger(__name__)


def own(source: Source, tree: Tree, keeper: Keeper, root: Container, bus: Bus) -> Registry:
    """With our own ones."""
    cpuset = Cpuset(tree)
    registry = Registry(root, bus)
    registry.register(BuiltIn(Tasks(source, keeper), flat=True))
    registry.register(BuiltIn(Pages(source, keeper), flat=True))
    registry.register(BuiltIn(Cpu()))
    registry.register(BuiltIn(cpuset, checks=lambda: [cpuset.check()]))
    return registry


def add_others(registry: Registry, root: Container, setting: str, seconds: float) -> None:
    """Those of others. One that cannot be registered is left out, and everybody is told: the agent does not need it."""
    there = installed.found()
    names = installed.wanted(setting)
    for name in there if names is None else names:
        try:
            if name not in there:
                raise Refused("ENOENT", f"no installed package has a subsystem {name} ({installed.GROUP})")
            registry.register(Remote(name, there[name], seconds))
            log.info("subsystem %s (%s) is registered", name, there[name])
        except Refused as error:
            registry.refused[name] = error.message
            registry.failed(name, "registration", root, error.message)
