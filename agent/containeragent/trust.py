# SPDX-License-Identifier: Apache-2.0
"""Whether nobody but root can say what a file says: what the agent obeys must be root's."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

_ROOT = 0


def distrust(file: Path, found: os.stat_result) -> str | None:
    """Why a file, of which `found` is the state, is not to be trusted; None if it is. What links lead to counts."""
    if found.st_uid != _ROOT or found.st_mode & 0o022:
        return f"others than root may write it; chown root {file} && chmod go-w {file}"
    for folder in folders_of(Path(os.path.realpath(file))):
        above = folder.stat()
        # In a sticky folder others cannot take the place of what is root's.
        if above.st_uid != _ROOT or (above.st_mode & 0o022 and not above.st_mode & stat.S_ISVTX):
            return f"others than root may write {folder}, which it is in"
    return None


def folders_of(file: Path) -> Sequence[Path]:
    """All that a file is in."""
    return file.parents
