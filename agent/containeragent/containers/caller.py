# SPDX-License-Identifier: Apache-2.0
"""Who asks for something."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """Credentials of the other end of the socket (SO_PEERCRED)."""

    pid: int
    uid: int
