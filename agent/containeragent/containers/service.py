# SPDX-License-Identifier: Apache-2.0
"""What can be done with containers: the operations behind the API, by capability.

In: requests of a caller who is known by its credentials. Out: documents, or Refused. Reads take a snapshot; changes
go to the cgroup tree and are complete or undone when they return.
"""

from __future__ import annotations

from collections.abc import Callable

from containeragent.cgroups.naming import Names
from containeragent.cgroups.paths import PathResolver
from containeragent.cgroups.tree import Tree
from containeragent.containers.audit import Auditor
from containeragent.containers.changes import Changes
from containeragent.containers.documents import Documents
from containeragent.containers.ended import Ended
from containeragent.containers.files import Files
from containeragent.containers.involved import Involved, container
from containeragent.containers.lifecycle import Lifecycle
from containeragent.containers.lookup import Lookup
from containeragent.containers.membership import Membership
from containeragent.containers.moving import Mover
from containeragent.containers.owners import Owners
from containeragent.containers.permissions import Permissions
from containeragent.containers.present import Present
from containeragent.containers.ranking import Ranking
from containeragent.containers.settings import Settings
from containeragent.containers.taken_up import TakenUp
from containeragent.counters.source import Source
from containeragent.events.bus import Bus
from containeragent.limits.limiting import Limiting
from containeragent.release.releases import Releases
from containeragent.subsystems import assembly
from containeragent.subsystems.registry import Registry
from containeragent.workloads.patterns import Workload


class Containers:
    """Containers under one cgroup root, and all other cgroups to look at."""

    def __init__(
        self,
        source: Source,
        tree: Tree,
        resolver: PathResolver,
        name_rules: Names,
        auditor: Auditor,
        *,
        limiting: Limiting,
        bus: Bus | None = None,
        ended: Ended | None = None,
        workload_of: Callable[[str], Workload | None] = lambda _: None,
        page_faults_of: Callable[[str, int], int | None] = lambda *_: None,
        registry: Registry | None = None,
        releases: Releases | None = None,
    ) -> None:
        """Without a bus nobody is told; without `ended` nothing is known of those that are gone.

        Without a registry there are our own subsystems only.
        """
        bus = bus or Bus()
        ended = ended or Ended(source, name_rules, bus, 0)
        releases = releases or Releases(tree, name_rules, source, bus)
        root = container(tree, name_rules, ())
        registry = registry or assembly.own(source, tree, limiting.keeper, root, bus)
        involved = Involved(registry, tree, name_rules, bus)
        owners = Owners(tree, name_rules)
        owners.take_up()
        permissions = Permissions(owners)
        changes = Changes(source)
        lookup = Lookup(source, tree, resolver, name_rules)
        self.ranking = Ranking(resolver.paths, name_rules, workload_of, limiting.states)
        mover = Mover(tree, name_rules, bus, limiting.admission, involved=involved, permissions=permissions)
        self.documents = Documents(
            source,
            lookup,
            self.ranking,
            auditor,
            changes,
            limiting=limiting,
            ended=ended,
            involved=involved,
            releases=releases,
            owners=owners,
            workload_of=workload_of,
            page_faults_of=page_faults_of,
        )
        self.membership = Membership(
            tree, name_rules, changes, mover, permissions=permissions, involved=involved, releases=releases
        )
        self.settings = Settings(
            tree,
            changes,
            lookup,
            self.documents,
            permissions=permissions,
            owners=owners,
            keeper=limiting.keeper,
            involved=involved,
            releases=releases,
        )
        self.lifecycle = Lifecycle(
            tree,
            name_rules,
            changes,
            lookup=lookup,
            documents=self.documents,
            permissions=permissions,
            owners=owners,
            limiting=limiting,
            bus=bus,
            ended=ended,
            involved=involved,
            releases=releases,
        )
        self.files = Files(
            source, tree, name_rules, changes, lookup, permissions=permissions, paths_of=resolver.paths, bus=bus
        )
        self.present = Present(
            tree,
            changes,
            owners=owners,
            keeper=limiting.keeper,
            involved=involved,
            releases=releases,
            files=self.files,
            page_size=source.page_size,
        )
        self.subsystems = TakenUp(source, lookup, changes, involved)
