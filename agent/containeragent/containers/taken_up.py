# SPDX-License-Identifier: Apache-2.0
"""Subsystems and the containers that came or went without the agent."""

from __future__ import annotations

from containeragent.containers.changes import Changes
from containeragent.containers.involved import Involved
from containeragent.containers.lookup import Lookup
from containeragent.containers.view import Document
from containeragent.counters.source import Source


class TakenUp:
    """Of the containers of one tree."""

    def __init__(self, source: Source, lookup: Lookup, changes: Changes, involved: Involved) -> None:
        self._source = source
        self._lookup = lookup
        self._changes = changes
        self._involved = involved

    def all(self) -> list[Document]:
        """What is registered, and what is installed but was refused."""
        return self._involved.subsystems()

    def take_up(self) -> None:
        """Tell subsystems of the containers that were there before the agent."""
        with self._changes.one():
            self._involved.take_up_all([container.name for container in self._lookup.all(False)])

    def forget_gone(self) -> None:
        """Tell subsystems of the containers that somebody else removed."""
        with self._changes.one():
            self._involved.forget(self._source.snapshot().index)
