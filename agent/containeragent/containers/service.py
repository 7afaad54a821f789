# SPDX-License-Identifier: Apache-2.0
"""What can be done with containers: the operations behind the API.

In: requests of a caller who is known by its credentials. Out: documents, or Refused. Reads take a snapshot; changes
go to the cgroup tree and are complete or undone when they return.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from containeragent.cgroups import names
from containeragent.cgroups.naming import Names
from containeragent.cgroups.paths import PathResolver
from containeragent.cgroups.tree import Parts, Tree
from containeragent.containers import audit, involved, moving, view
from containeragent.containers.audit import Audit, Auditor
from containeragent.containers.caller import Caller
from containeragent.containers.ended import Ended
from containeragent.containers.involved import Involved
from containeragent.containers.moving import Mover
from containeragent.containers.ranking import Ranking, Wanted
from containeragent.containers.view import Container, Document
from containeragent.counters.source import Source
from containeragent.errors import Refused
from containeragent.events.bus import Bus
from containeragent.events.event import CREATED, RENAMED
from containeragent.host import process, taskstats
from containeragent.limits.limiting import Limiting
from containeragent.limits.model import LimitState
from containeragent.release.flags import Flags
from containeragent.release.releases import Releases
from containeragent.subsystems import assembly
from containeragent.subsystems.registry import Moved, Registry
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
        self._source = source
        self._auditor = auditor
        self._limiting = limiting
        self._tree = tree
        self._resolver = resolver
        self._names = name_rules
        self._bus = bus or Bus()
        self._ended = ended or Ended(source, name_rules, self._bus, 0)
        self._workload_of = workload_of
        self._page_faults_of = page_faults_of
        self._ranking = Ranking(resolver.paths, name_rules, workload_of)
        root = involved.container(tree, name_rules, ())
        registry = registry or assembly.own(source, tree, limiting.keeper, root, self._bus)
        self._involved = Involved(registry, tree, name_rules, self._bus)
        self._mover = Mover(tree, name_rules, self._bus, limiting.admission, self._involved)
        self._releases = releases or Releases(tree, name_rules, source, self._bus)
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """One change at a time: two creates, create against rm. What is shown afterwards has it."""
        with self._lock:
            self._source.changed()
            try:
                yield
            finally:
                self._source.changed()

    def documents(self, all_cgroups: bool, with_dead: bool = False) -> list[Document]:
        """Containers, sorted by path; with `all_cgroups` also those that are not managed.

        `with_dead` adds those that are gone, before a living one of the same path.
        """
        page_size, engine = self._source.page_size, self._source.engine
        states = self._limiting.states()
        live = [self._document(container, states) for container in self._all(all_cgroups)]
        if not with_dead:
            return live
        dead = [view.dead_document(one, page_size, engine) for one in self._ended.dead(all_cgroups)]
        return sorted(dead + live, key=lambda document: str(document["cgroup"]))

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
        shown = {"notify_on_release": flags.notify, "remove_on_release": flags.remove}
        return view.document(container, self._source.page_size, self._source.engine, state, workload) | shown

    def _flags(self, container: Container) -> Flags:
        is_root = container.managed and container.name == "/"
        return self._releases.of(()) if is_root else self._releases.flags(container.reading.cgroup_id)

    def _all(self, all_cgroups: bool) -> list[Container]:
        self._tree.forget_gone()  # engines without final records do not tell
        snapshot = self._source.settled()
        paths = self._resolver.paths(snapshot.cgroup_ids)
        return view.containers(snapshot, paths, self._names, all_cgroups)

    def show(self, name: str) -> Document:
        """One container, or by its path an unmanaged cgroup; else the last one of that name that is gone."""
        try:
            found = self._find(name)
        except Refused:
            dead = self._ended.newest("/" + name.removeprefix("/"))
            if dead is None:
                raise
            document = view.dead_document(dead, self._source.page_size, self._source.engine)
            return document | {"page_faults": None, "attributes": {}}
        return self._shown(found)

    def _shown(self, found: Container) -> Document:
        self._limiting.keeper.refresh(found.reading.cgroup_id)
        attributes = self._attributes(names.parse(found.name)) if found.managed else {}
        more = self._page_faults(found) | {"attributes": attributes}
        return self._document(found, self._limiting.states()) | more

    def _attributes(self, parts: Parts) -> Document:
        with contextlib.suppress(Refused):  # who refuses a container shows nothing of it
            if not self._involved.knows(parts):
                with self._changing():
                    self._involved.taken_up(parts)
        return self._involved.attributes(parts)

    def _find(self, name: str) -> Container:
        try:
            parts = names.parse(name)
            return self._managed(parts)
        except Refused as error:
            unmanaged = self._unmanaged(name) if name.startswith("/") else None
            if unmanaged is None:
                raise error from None
            return unmanaged

    def audit(self, name: str | None, all_cgroups: bool) -> list[Document]:
        """Our counters beside the kernel's: of one container or cgroup, of all containers, or of all cgroups."""
        chosen = self._all(all_cgroups) if name is None else [self._find(name)]
        lines = self._auditor.audit(chosen)
        return [audit.document(container, lines[container.cgroup]) for container in chosen]

    def drift(self) -> Audit:
        """The same of all containers, by cgroup, for the metrics."""
        return self._auditor.audit(self._all(False))

    def _managed(self, parts: Parts) -> Container:
        identity, leaf = self._tree.identity(parts), self._tree.leaf_identity(parts)
        snapshot = self._source.settled()
        reading = snapshot.reading(identity)
        if reading is None:
            raise Refused("ENODATA", f"container {names.join(parts)} has no slot of its own: it counts with its parent")
        inside = snapshot.reading(leaf) if leaf is not None else None
        if inside is not None:
            reading = view.with_leaf(reading, inside)
        return Container(names.join(parts), self._names.cgroup(parts), True, reading)

    def _unmanaged(self, path: str) -> Container | None:
        identity = self._resolver.identity(path)
        reading = self._source.settled().reading(identity) if identity is not None else None
        return None if reading is None else Container(path, path, False, reading)

    def create(
        self,
        name: str,
        parents: bool,
        limits: Mapping[str, Any] | None = None,
        notify: bool | None = None,
        remove_on_release: bool = False,
    ) -> Document:
        """Make a container with limits, with `parents` also those above it that are missing.

        `notify` is whether its release is told; None is as its parent has it.
        """
        parts = names.parse(name)
        made: list[Parts] = []
        with self._changing():
            try:
                if parents:
                    self._create_missing(parts[:-1], made)
                self._create_one(parts, made)
                if limits:
                    self._limiting.keeper.change(self._tree.directories(parts), limits)
                for created in made:
                    own = created == parts
                    self._releases.created(created, notify if own else None, remove_on_release and own)
            except Refused:
                for undone in reversed(made):
                    self._remove_one(undone, "its creation was undone", tell=False)
                raise
            for created in made:
                self._releases.came(created[:-1])
                self._publish(CREATED, created)
            found = self._managed(parts)  # before anybody can remove it
        return self._shown(found)

    def _publish(self, kind: str, parts: Parts, **details: Any) -> None:
        self._bus.publish(kind, names.join(parts), self._names.cgroup(parts), **details)

    def _create_one(self, parts: Parts, made: list[Parts]) -> None:
        """Add to `made` what was made, so that the caller can undo it."""
        self._limiting.keeper.prepare(self._tree.directories(parts[:-1]))
        self._tree.create(parts)
        made.append(parts)
        self._involved.created(parts)

    def _create_missing(self, parts: Parts, made: list[Parts]) -> None:
        for length in range(1, len(parts) + 1):
            try:
                self._tree.identity(parts[:length])
            except Refused:
                self._create_one(parts[:length], made)

    def limit(self, name: str, asked: Mapping[str, Any], caller: Caller) -> Document:
        """Set limits of a container, leave those that are not asked for."""
        parts = names.parse(name)
        if caller.uid:
            raise Refused("EACCES", f"only root may change limits of container {names.join(parts)}; use sudo")
        with self._changing():
            self._check_managed(parts, name)
            self._limiting.keeper.change(self._tree.directories(parts), asked)
        return self.show(name)

    def notify(self, name: str, notify: bool | None, remove: bool | None) -> Document:
        """Whether a container's release is told, and whether it is removed then; None leaves it as it is."""
        parts = names.parse(name)
        with self._changing():
            flags = self._releases.set(parts, notify, remove)
        return {"name": names.join(parts), "notify_on_release": flags.notify, "remove_on_release": flags.remove}

    def rename(self, old: str, new: str) -> Document:
        """Give a container another name below the same parent; nothing else about it changes."""
        was, parts = names.parse(old), names.parse(new)
        if not was:
            raise Refused("EBUSY", "the container / is the cgroup root, which keeps its name")
        if not parts or was[:-1] != parts[:-1]:
            below = names.join((*was[:-1], parts[-1] if parts else "NAME"))
            raise Refused("EINVAL", f"container {old} stays below its parent, so not {new}; for example {below}")
        with self._changing():
            self._tree.rename(was, parts)
            self._involved.renamed(was, parts)
            self._bus.publish(RENAMED, names.join(was), self._names.cgroup(parts), to=names.join(parts))
            found = self._managed(parts)
        return self._shown(found)

    def remove_released(self, parts: Parts, cgroup_id: int) -> None:
        """Remove a container that nothing is in, unless another has its name by now."""
        with self._changing():
            if self._tree.identity(parts) != cgroup_id:
                raise Refused("ENOENT", f"container {names.join(parts)} is another one by now")
            self._remove_one(parts, "removed on its release")

    def _check_managed(self, parts: Parts, name: str) -> None:
        try:
            self._tree.identity(parts)
        except Refused:
            if self._unmanaged("/" + name.removeprefix("/")) is None:
                raise
            message = f"cgroup {name} is not managed, so it can have no limits: it is not below the cgroup root"
            raise Refused("EPERM", message) from None

    def remove(self, name: str, recursive: bool, caller: Caller) -> list[str]:
        """Remove a container; with `recursive` its tasks are killed and those below go first. Names, in order."""
        parts = names.parse(name)
        if not parts:
            raise Refused("EBUSY", "the container / is the cgroup root, which stays as long as the agent runs")
        with self._changing():
            if not recursive:
                self._remove_one(parts, "removed")
                return [names.join(parts)]
            killed = self._kill(parts, caller)
            return self._remove_below(parts, _removed(killed))

    def _remove_below(self, parts: Parts, reason: str) -> list[str]:
        removed: list[str] = []
        self._tree.remove_nameless(parts)
        for child in self._tree.children(parts):
            removed += self._remove_below((*parts, child), f"removed with {names.join(parts)}")
        self._remove_one(parts, reason)
        return [*removed, names.join(parts)]

    def _remove_one(self, parts: Parts, reason: str, tell: bool = True) -> None:
        cgroup_id = self._tree.identity(parts)
        with self._ended.removing(cgroup_id, self._names.cgroup(parts), reason, tell):
            self._tree.remove(parts)
        self._involved.removed(cgroup_id)

    def kill(self, name: str, caller: Caller) -> int:
        """SIGKILL to everything in a container and below; how many processes there were."""
        parts = names.parse(name)
        if not parts:
            raise Refused("EINVAL", "the container / is not killed as a whole; name the containers to kill")
        try:
            return self._kill(parts, caller)
        finally:
            self._source.changed()

    def _kill(self, parts: Parts, caller: Caller) -> int:
        """Only root ends what belongs to others."""
        for pid in self._tree.processes(parts) if caller.uid else ():
            found = process.look_up(pid)
            if found is not None and caller.uid not in found.uids:
                raise Refused(
                    "EACCES",
                    f"container {names.join(parts)} has task {pid} of user {found.uids[0]}; only root may end it",
                )
        return self._tree.kill(parts)

    def tasks(self, name: str) -> list[int]:
        """Thread ids, sorted."""
        return self._tree.tasks(names.parse(name))

    def task_stats(self, name: str) -> Document:
        """What the kernel accounts for each of its tasks."""
        found = taskstats.read(self.tasks(name))
        return {"tasks": found, "hints": taskstats.hints(taskstats.delays_on())}

    def which(self, pid: int) -> Document:
        """The container that a task is in."""
        if pid <= 0:
            raise Refused("EINVAL", f"{pid} is not a task id")
        cgroup = moving.cgroup_of(pid)
        self._tree.forget_gone()
        return {"pid": pid, "name": self._names.managed(cgroup), "cgroup": cgroup}

    def attach(self, name: str, pids: list[int], move: bool, caller: Caller) -> list[int]:
        """Move tasks into a container, each with its whole process; 0 is the caller."""
        parts = names.parse(name)
        self._tree.identity(parts)
        with self._moving() as moved:
            try:
                return self._mover.attach(parts, pids, move, caller, moved)
            finally:
                self._releases.came(parts)

    def detach(self, pids: list[int], caller: Caller) -> list[int]:
        """Move tasks out of their containers, into the cgroup root."""
        with self._moving() as moved:
            return self._mover.detach(pids, caller, moved)

    @contextlib.contextmanager
    def _moving(self) -> Iterator[list[Moved]]:
        """A change; those that were moved in it are told to subsystems afterwards, also when it ends early."""
        moved: list[Moved] = []
        try:
            with self._changing():
                yield moved
        finally:
            self._involved.attached(moved)

    def set(self, name: str, values: Mapping[str, str], caller: Caller) -> Document:
        """Set attributes that subsystems add to a container: all or none."""
        parts = names.parse(name)
        if caller.uid:
            raise Refused("EACCES", f"only root may set attributes of container {names.join(parts)}; use sudo")
        with self._changing():
            self._involved.set(parts, values)
        return self.show(names.join(parts))

    def subsystems(self) -> list[Document]:
        """What is registered, and what is installed but was refused."""
        return self._involved.subsystems()

    def take_up(self) -> None:
        """Tell subsystems of the containers that were there before the agent."""
        with self._changing():
            self._involved.take_up_all([container.name for container in self._all(False)])

    def forget_gone(self) -> None:
        """Tell subsystems of the containers that somebody else removed."""
        with self._changing():
            self._involved.forget(self._source.snapshot().index)


def _removed(killed: int) -> str:
    return f"removed, {killed} process{'es' if killed > 1 else ''} killed" if killed else "removed"
