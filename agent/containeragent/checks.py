# SPDX-License-Identifier: Apache-2.0
"""One finding about this host or about what counts. Who knows it makes it; `containerctl doctor` shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """`status` is yes, no or unknown (could not tell); `hint` says what to do, None when there is nothing."""

    name: str
    status: str
    detail: str
    hint: str | None = None


def answer(name: str, yes: bool, detail: str, hint: str) -> Check:
    """Yes without a hint, or no with it."""
    return Check(name, "yes" if yes else "no", detail, None if yes else hint)
