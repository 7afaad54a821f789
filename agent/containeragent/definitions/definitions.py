# SPDX-License-Identifier: Apache-2.0
"""The definitions of one agent: its folder is read at the start and at each reload, and what is wrong is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from containeragent.checks import Check
from containeragent.definitions import reading
from containeragent.definitions.apply import Applier

log = logging.getLogger(__name__)

_MOST_SHOWN = 10


class Definitions:
    """Applied from one thread, asked from any. A mistake keeps nothing but what it is about from being applied."""

    def __init__(self, folder: str, applier: Applier) -> None:
        self._folder = folder
        self._applier = applier
        self.count = 0
        self.mistakes: tuple[str, ...] = ()

    def apply(self, beat: Callable[[], None] = lambda: None) -> None:
        """Read the folder and make the containers be as it says. One that is in it no more stays as it is."""
        found = reading.of_folder(self._folder)
        refused = self._applier.apply(found.definitions, beat)
        self.count = len(found.definitions)
        self.mistakes = tuple(one.message for one in (*found.mistakes, *refused))
        for mistake in self.mistakes:
            log.error("definitions: %s", mistake)
        log.info("definitions: %s, mistakes: %d", self._summary(), len(self.mistakes))

    def checks(self) -> Iterator[Check]:
        """For the doctor."""
        hint = "containeragent check; then systemctl reload containeragent"
        for mistake in self.mistakes[:_MOST_SHOWN]:
            yield Check("definitions", "no", mistake, hint)
        if len(self.mistakes) > _MOST_SHOWN:
            yield Check("definitions", "no", f"{len(self.mistakes) - _MOST_SHOWN} more mistakes", hint)
        if not self.mistakes:
            yield Check("definitions", "yes", self._summary())

    def _summary(self) -> str:
        return f"{reading.some(self.count)} in {self._folder or 'no folder'}"
