# SPDX-License-Identifier: Apache-2.0
"""Every key of a container's table in a definition file."""

from __future__ import annotations

from containeragent.definitions.format import KEYS
from docs.from_code.markdown import code, table


def text() -> str:
    """A table."""
    return table(["key", "what it is"], [[code(key), said] for key, said in KEYS.items()])
