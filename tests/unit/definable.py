# SPDX-License-Identifier: Apache-2.0
"""Containers that are only a dictionary: what definitions need to be applied, with a list of what was changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from containeragent.cgroups import names
from containeragent.containers.caller import Caller
from containeragent.containers.lifecycle import New
from containeragent.containers.service import Containers
from containeragent.definitions.apply import Applier
from containeragent.definitions.export import Exporter
from containeragent.errors import Refused
from containeragent.host import users
from containeragent.host.users import User
from containeragent.limits.model import NO_LIMITS, Limits
from containeragent.release.flags import Flags

Parts = tuple[str, ...]
PAGE_SIZE = 4096
_NO_FLAGS = Flags()


@dataclass
class State:
    """Of one container."""

    limits: Limits = NO_LIMITS
    flags: Flags = _NO_FLAGS
    owner: int | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)


class Definable:
    """As Containers, as its parts, and as Present. `refuses` has operations and the containers they are refused of."""

    page_size = PAGE_SIZE

    def __init__(self, states: Mapping[Parts, State] | None = None) -> None:
        self.states: dict[Parts, State] = {(): State()} | dict(states or {})
        self.done: list[tuple[str, str]] = []
        self.refuses: set[tuple[str, str]] = set()
        self.applier = Applier(cast(Containers, _Assembled(self)))
        self.exporter = Exporter(cast(Any, self))

    def _change(self, what: str, name: str) -> State:
        if (what, name) in self.refuses:
            raise Refused("EPERM", f"{what} refused")
        self.done.append((what, name))
        return self.states[names.parse(name)]

    def below(self, parts: Parts) -> Iterator[Parts]:
        if parts not in self.states:
            raise Refused("ENOENT", "none")
        yield from (known for known in sorted(self.states) if known[: len(parts)] == parts)

    def is_there(self, parts: Parts) -> bool:
        return parts in self.states

    def limits(self, parts: Parts) -> Limits:
        return self.states[parts].limits

    def flags(self, parts: Parts) -> Flags:
        return self.states[parts].flags

    def owner(self, parts: Parts) -> int | None:
        return self.states[parts].owner

    def attributes(self, parts: Parts) -> Mapping[str, Any]:
        if ("attributes", names.join(parts)) in self.refuses:
            raise Refused("EIO", "subsystem x does not say its attributes: it hung")
        return self.states[parts].attributes

    def files(self, parts: Parts) -> Sequence[str]:
        return self.states[parts].files

    def create(self, name: str, new: New, _caller: Caller) -> None:
        parts = names.parse(name)
        for length in range(1, len(parts) + 1):
            inherited = Flags(self.states[parts[: length - 1]].flags.notify)
            self.states.setdefault(parts[:length], State(flags=inherited))
        made = self._change("create", name)
        made.limits = made.limits.changed(new.limits, PAGE_SIZE)
        made.flags = Flags(made.flags.notify if new.notify is None else new.notify, new.remove_on_release)

    def limit(self, name: str, asked: Mapping[str, Any], _caller: Caller) -> None:
        changed = self._change("limit", name)
        changed.limits = changed.limits.changed(asked, PAGE_SIZE)

    def notify(self, name: str, notify: bool | None, remove: bool | None, _caller: Caller) -> None:
        changed = self._change("notify", name)
        given = {key: value for key, value in (("notify", notify), ("remove", remove)) if value is not None}
        changed.flags = replace(changed.flags, **given)

    def set(self, name: str, values: Mapping[str, str], _caller: Caller) -> None:
        self._change("set", name).attributes |= values

    def own(self, name: str, owner: User | None, _caller: Caller) -> None:
        self._change("own", name).owner = None if owner is None else users.uid_of(owner)

    def has_file(self, parts: Parts, path: str) -> bool:
        return path in self.states[parts].files

    def add(self, name: str, path: str, _caller: Caller) -> None:
        self._change("file", name).files.append(path)


class _Assembled:
    """As Containers."""

    def __init__(self, all_in_one: Definable) -> None:
        self.present = self.lifecycle = self.settings = all_in_one
        self.files = all_in_one
