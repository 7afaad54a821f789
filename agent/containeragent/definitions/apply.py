# SPDX-License-Identifier: Apache-2.0
"""Definitions become containers. Only what differs is set, so a second time changes nothing and nobody is told.

In: definitions, parents first. Out: the tree changed by the operations that root's requests use, and a line for each
thing that was refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from containeragent.containers.caller import Caller
from containeragent.containers.lifecycle import New
from containeragent.containers.service import Containers
from containeragent.definitions.format import NOBODY, Definition
from containeragent.errors import Refused
from containeragent.host import cpus, users

_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Applier:
    """To the containers of one tree."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers
        self._present = containers.present
        self._caller = Caller(os.getpid(), 0)

    def apply(self, definitions: Iterable[Definition], beat: Callable[[], None]) -> list[Refused]:
        """What was refused, with FILE:LINE; `beat` is called before each one."""
        refused: list[Refused] = []
        for one in definitions:
            beat()
            refused += self._apply(one)
        return refused

    def _apply(self, one: Definition) -> Iterator[Refused]:
        """Who cannot be confined as defined gets no owner, who would have it unconfined."""
        try:
            self._settings(one)
        except Refused as refused:
            yield one.mistake(refused.message)
            return
        for number, path in enumerate(one.files):
            try:
                self._file(one, path)
            except Refused as refused:
                yield one.mistake(refused.message, "files", number)
        try:
            self._owner(one)
        except Refused as refused:
            yield one.mistake(refused.message, "owner")

    def _settings(self, one: Definition) -> None:
        settings = self._containers.settings
        if not self._present.is_there(one.parts):
            new = New(parents=True, limits=one.limits, notify=one.notify, remove_on_release=bool(one.remove))
            self._containers.lifecycle.create(one.name, new, self._caller)
        present = self._present.limits(one.parts)
        if present.changed(one.limits, self._present.page_size) != present:
            settings.limit(one.name, one.limits, self._caller)
        flags = self._present.flags(one.parts)
        if one.notify not in (None, flags.notify) or one.remove not in (None, flags.remove):
            settings.notify(one.name, one.notify, one.remove, self._caller)
        shown = self._present.attributes(one.parts) if one.attributes else {}
        wanted = {name: value for name, value in one.attributes.items() if not _same(name, value, shown.get(name))}
        if wanted:
            settings.set(one.name, wanted, self._caller)

    def _file(self, one: Definition, path: str) -> None:
        try:
            descriptor = os.open(path, _OPEN)
        except OSError as error:
            raise Refused.of_errno(error.errno or 5, f"file {path} was not charged to {one.name}") from None
        try:
            if not self._present.has_file(one.parts, descriptor):
                self._containers.files.add(one.name, descriptor, self._caller)
        finally:
            os.close(descriptor)

    def _owner(self, one: Definition) -> None:
        if one.owner is None:
            return
        owner = None if one.owner == NOBODY else one.owner
        uid = None if owner is None else users.uid_of(owner)
        if self._present.owner(one.parts) != uid:
            self._containers.settings.own(one.name, owner, self._caller)


def _same(name: str, wanted: str, shown: object) -> bool:
    """The kernel shows the list 0,1 as 0-1."""
    if name.startswith("cpuset.") and shown:
        return cpus.numbers_of_list(wanted) == cpus.numbers_of_list(str(shown))
    return shown is not None and str(shown) == wanted
