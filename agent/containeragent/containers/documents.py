# SPDX-License-Identifier: Apache-2.0
"""Containers as the API shows them. Reads take a snapshot; nothing is changed.

In: names, and which containers are asked for. Out: documents, or Refused.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping

from containeragent.cgroups import names
from containeragent.cgroups.tree import Parts
from containeragent.containers import audit, view
from containeragent.containers.audit import Auditor, Differences
from containeragent.containers.changes import Changes
from containeragent.containers.ended import Ended
from containeragent.containers.involved import Involved
from containeragent.containers.lookup import Lookup
from containeragent.containers.owners import Owners
from containeragent.containers.ranking import Ranking, Wanted
from containeragent.containers.view import Container, Dead, Document
from containeragent.counters.source import Source
from containeragent.errors import Refused
from containeragent.limits.limiting import Limiting
from containeragent.limits.model import LimitState
from containeragent.release.flags import Flags
from containeragent.release.releases import Releases
from containeragent.workloads.patterns import Workload


class Documents:
    """Of the containers of one tree, and of all other cgroups."""

    def __init__(
        self,
        source: Source,
        lookup: Lookup,
        ranking: Ranking,
        auditor: Auditor,
        changes: Changes,
        *,
        limiting: Limiting,
        ended: Ended,
        involved: Involved,
        releases: Releases,
        owners: Owners,
        workload_of: Callable[[str], Workload | None],
        page_faults_of: Callable[[str, int], int | None],
    ) -> None:
        self._source = source
        self._lookup = lookup
        self._ranking = ranking
        self._auditor = auditor
        self._changes = changes
        self._limiting = limiting
        self._ended = ended
        self._involved = involved
        self._releases = releases
        self._owners = owners
        self._workload_of = workload_of
        self._page_faults_of = page_faults_of

    def all(self, all_cgroups: bool, with_dead: bool = False) -> Iterator[Document]:
        """Containers, sorted by path; with `all_cgroups` also those that are not managed.

        `with_dead` adds those that are gone, before a living one of the same path. One at a time, because together they
        are large.
        """
        self._owners.forget_gone()
        states = self._limiting.states()
        shown: Iterable[Dead | Container] = self._lookup.all(all_cgroups)
        if with_dead:
            shown = sorted([*self._ended.dead(all_cgroups), *shown], key=lambda one: one.cgroup)
        return (self._dead(one) if isinstance(one, Dead) else self._document(one, states) for one in shown)

    def _dead(self, dead: Dead) -> Document:
        return view.dead_document(dead, self._source.page_size, self._source.engine)

    def top(self, wanted: Wanted) -> Document:
        """The first containers in an order, with what only a live view asks for; not settled: it costs little."""
        picked = self._ranking.pick(self._source.snapshot(), wanted)
        states = self._limiting.states()
        documents = [self._document(one, states) | self._page_faults(one) for one in picked.containers]
        return {"matched": picked.matched, "total": picked.total, "containers": documents}

    def _page_faults(self, container: Container) -> Document:
        return {"page_faults": self._page_faults_of(container.cgroup, container.reading.cgroup_id)}

    def names(self, prefix: str, all_cgroups: bool, limit: int) -> list[str]:
        """The first names, in order, that begin with `prefix`."""
        return self._ranking.matching(self._source.snapshot(), prefix, all_cgroups, limit)

    def _document(self, container: Container, states: Mapping[int, LimitState]) -> Document:
        if container.managed:
            state, workload = states.get(container.reading.cgroup_id, self._limiting.unlimited()), None
        else:
            state, workload = None, self._workload_of(container.cgroup)
        flags = self._flags(container)
        owner = self._owners.document(container.cgroup) if container.managed else None
        shown = {"notify_on_release": flags.notify, "remove_on_release": flags.remove, "owner": owner}
        return view.document(container, self._source.page_size, self._source.engine, state, workload) | shown

    def _flags(self, container: Container) -> Flags:
        is_root = container.managed and container.name == "/"
        return self._releases.of(()) if is_root else self._releases.flags(container.reading.cgroup_id)

    def show(self, name: str) -> Document:
        """One container, or by its path an unmanaged cgroup; else the last one of that name that is gone."""
        try:
            found = self._lookup.find(name)
        except Refused:
            dead = self._ended.newest("/" + name.removeprefix("/"))
            if dead is None:
                raise
            return self._dead(dead) | {"page_faults": None, "attributes": {}}
        return self.shown(found)

    def shown(self, found: Container) -> Document:
        """One that was found, with its attributes."""
        self._limiting.keeper.refresh(found.reading.cgroup_id)
        self._owners.forget_gone(found.cgroup if found.managed else None)
        attributes = self._attributes(names.parse(found.name)) if found.managed else {}
        more = self._page_faults(found) | {"attributes": attributes}
        cgroup_id = found.reading.cgroup_id
        state = self._limiting.state(cgroup_id)
        return self._document(found, {} if state is None else {cgroup_id: state}) | more

    def _attributes(self, parts: Parts) -> Document:
        with contextlib.suppress(Refused):  # who refuses a container shows nothing of it
            if not self._involved.knows(parts):
                with self._changes.one():
                    self._involved.taken_up(parts)
        return self._involved.attributes(parts)

    def audit(self, name: str | None, all_cgroups: bool) -> Iterator[Document]:
        """Our counters beside the kernel's: of one container or cgroup, of all containers, or of all cgroups."""
        chosen = list(self._lookup.all(all_cgroups)) if name is None else [self._lookup.find(name)]
        lines = dict(self._auditor.audit(chosen))
        return (audit.document(container, lines[container.cgroup]) for container in chosen)

    def drift(self) -> Differences:
        """What an audit of all containers finds, for the metrics."""
        return audit.differences(self._auditor.audit(self._lookup.all(False)))
