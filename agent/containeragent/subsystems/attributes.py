# SPDX-License-Identifier: Apache-2.0
"""Attributes that subsystems add to a container: what `show` has of them and how `set` changes them.

Out: values by the names that users see, SUBSYSTEM.NAME; those of flat subsystems stand among the counters already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from containeragent.errors import Refused
from containeragent.events.bus import Bus
from containeragent.events.event import SET
from containeragent.subsystems.api import Container, Value
from containeragent.subsystems.members import Member
from containeragent.subsystems.perform import MOST_CHARACTERS
from containeragent.subsystems.registry import Registry, refuse

Document = dict[str, Any]


@dataclass(frozen=True)
class _Known:
    """An attribute: whose it is, and its name without prefix."""

    member: Member
    name: str
    settable: bool


class Attributes:
    """Of the containers that a registry knows."""

    def __init__(self, registry: Registry, bus: Bus) -> None:
        self._registry = registry
        self._bus = bus

    def shown(self, container: Container) -> dict[str, Value]:
        """Values for `show`. None is unknown. One that fails, or was not told of the container, has none."""
        found: dict[str, Value] = {}
        for member in self._registry.having("populate"):
            if not member.flat and self._registry.told(member, container):
                found |= self._values(member, container)
        return found

    def settable(self, container: Container) -> dict[str, Value]:
        """Of those that are shown, the ones that `set` would take. Refused when a subsystem cannot say."""
        members = (member for member in self._registry.having("populate") if not member.flat)
        values = {name: value for member in members for name, value in self._asked(member, container).items()}
        known = self._known(container) if values else {}
        return {name: value for name, value in values.items() if name in known and known[name].settable}

    def _values(self, member: Member, container: Container) -> dict[str, Value]:
        try:
            return self._asked(member, container)
        except Refused:
            return {}

    def _asked(self, member: Member, container: Container) -> dict[str, Value]:
        reply = self._registry.ask(member, "show", container)
        if reply.code:
            raise Refused("EIO", f"subsystem {member.name} does not say its attributes: {reply.reason}")
        if reply.value["wrong"]:
            self._registry.failed(member.name, "show", container, reply.value["wrong"])
        return {_public(member, name): value for name, value in reply.value["values"].items()}

    def described(self, container: Container) -> list[Document]:
        """The subsystems with their hooks and the attributes of a container."""
        failures = self._registry.failures
        return [
            {
                "name": member.name,
                "built_in": member.built_in,
                "state": "off" if member.off else "on",
                "reason": member.off or None,
                "hooks": sorted(member.hooks),
                "failures": failures.get(member.name, 0),
                "attributes": self._described(member, container),
            }
            for member in self._registry.members
        ]

    def _described(self, member: Member, container: Container) -> list[Document]:
        if member.off or "populate" not in member.hooks:
            return []
        reply = self._registry.ask(member, "populate", container)
        return [{**one, "name": _public(member, one["name"])} for one in reply.value or ()]

    def set(self, container: Container, values: Mapping[str, str]) -> None:
        """Set all or nothing: what was set before one is refused is put back."""
        known = self._known(container)
        chosen = [(_settable(known, name, container), name, value) for name, value in values.items()]
        before: dict[str, Value] = {}
        for member in {one.member.name: one.member for one, _, _ in chosen}.values():
            before |= self._values(member, container)
        done: list[tuple[_Known, Value]] = []
        for one, name, value in chosen:
            try:
                self._set_one(one, container, value)
            except Refused as error:
                left = self._put_back(container, done)
                raise Refused(error.code, f"{name} was not set: {error.message}{left}") from None
            done.append((one, before.get(name)))
        for _, name, value in chosen:
            self._bus.publish(SET, container.name, container.cgroup, attribute=name, value=value)

    def _put_back(self, container: Container, done: list[tuple[_Known, Value]]) -> str:
        """The end of a message: what could not be put back."""
        kept = []
        for one, value in reversed(done):
            try:
                if value is None:
                    raise Refused("ENODATA", "it was unknown")
                self._set_one(one, container, str(value))
            except Refused:
                kept.append(_public(one.member, one.name))
        return f"; set before, and not put back: {', '.join(kept)}" if kept else ""

    def _set_one(self, one: _Known, container: Container, value: str) -> None:
        reply = self._registry.ask(one.member, "set", container, name=one.name, value=value)
        refuse(one.member, "set", container, reply)

    def _known(self, container: Container) -> dict[str, _Known]:
        found = {}
        for member in self._registry.having("populate"):
            reply = self._registry.ask(member, "populate", container)
            for one in reply.value or ():
                found[_public(member, one["name"])] = _Known(member, one["name"], one["settable"])
        return found


def _settable(known: Mapping[str, _Known], name: str, container: Container) -> _Known:
    if name not in known:
        names = ", ".join(key for key, one in known.items() if one.settable) or "none"
        message = f"container {container.name} has no attribute {name[:80]!r}; those that can be set: {names}"
        raise Refused("ENOENT", message)
    if not known[name].settable:
        raise Refused("EACCES", f"attribute {name} of container {container.name} can only be read")
    return known[name]


def checked(values: Any) -> dict[str, str]:
    """The values of a request: text by attribute."""
    good = isinstance(values, dict) and all(isinstance(value, str) for value in values.values())
    if not good or not values:
        raise Refused("EINVAL", 'the body has no "attributes", text by name such as {"cpuset.cpus": "0-1"}')
    for name, value in values.items():
        if len(value) > MOST_CHARACTERS or not value.isprintable():
            message = f"the value of {name[:80]!r} is longer than {MOST_CHARACTERS} characters or not printable"
            raise Refused("EINVAL", message)
    return dict(values)


def _public(member: Member, name: str) -> str:
    return name if member.flat else f"{member.name}.{name}"
