# SPDX-License-Identifier: Apache-2.0
"""Who is registered: a subsystem of our own, called here, or one of others, which has a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from containeragent.checks import Check
from containeragent.subsystems.api import Subsystem, hooks
from containeragent.subsystems.perform import Reply, Request, perform


class Member(Protocol):
    """One subsystem. `flat`: its attributes have no prefix. `lives` counts how often it began anew, with no memory."""

    name: str
    built_in: bool
    flat: bool
    hooks: frozenset[str]
    lives: int
    off: str  # why it is not called any more

    def start(self) -> None:
        """Before its first call; Refused when it cannot be called."""

    def call(self, asked: Request) -> Reply:
        """From any thread; returns in bounded time, whatever the subsystem does."""

    def checks(self) -> Iterable[Check]:
        """What the doctor says of it."""

    def close(self) -> None:
        """No call comes after this."""


class BuiltIn:
    """One of our own, in this process: it is trusted to return."""

    built_in = True
    lives = 0
    off = ""

    def __init__(self, subsystem: Subsystem, flat: bool = False, checks: Callable[[], Iterable[Check]] = tuple) -> None:
        self.name = subsystem.name
        self.flat = flat
        self.hooks = hooks(subsystem)
        self.checks = checks
        self._subsystem = subsystem

    def start(self) -> None:
        """Nothing to do."""

    def call(self, asked: Request) -> Reply:
        """At once."""
        return perform(self._subsystem, asked)

    def close(self) -> None:
        """Nothing to do."""
