# SPDX-License-Identifier: Apache-2.0
"""Every kind of event, with its details and its line for people."""

from __future__ import annotations

from containeragent.events.event import DETAILS, PHRASES
from docs.from_code.markdown import code, table


def text() -> str:
    """A table."""
    rows = [[code(kind), ", ".join(map(code, keys)), code(PHRASES[kind])] for kind, keys in DETAILS.items()]
    return table(["kind", "details", "line"], rows)
