# SPDX-License-Identifier: Apache-2.0
"""Why this host refused BPF, from who loads to who runs: two services, of which the second may not try for itself.

A file whose name both have in the environment. Where that has none, nothing is noted.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

log = logging.getLogger(__name__)

VARIABLE = "CONTAINERAGENT_REFUSAL"


def note(environment: Mapping[str, str], reason: str | None) -> None:
    """Of a load that was refused; None: it was not."""
    if not environment.get(VARIABLE):
        return
    file = Path(environment[VARIABLE])
    if reason is None:
        file.unlink(missing_ok=True)
        return
    try:
        file.write_text(reason)
        file.chmod(0o644)
    except OSError as error:
        log.warning("the agent will not know why BPF is refused: %s: %s", file, error.strerror)


def noted(environment: Mapping[str, str]) -> str | None:
    """Of the last load; None if it was not refused, or nobody notes."""
    try:
        return Path(environment[VARIABLE]).read_text()
    except (KeyError, FileNotFoundError):
        return None
