# SPDX-License-Identifier: Apache-2.0
"""Patterns of the configuration that say which cgroups have metrics, by path.

They are RE2's and match as a whole, as Prometheus and its exporters have them. RE2 is never slow, whatever name
somebody chose for a cgroup.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def compiled(text: str) -> Any:
    """A pattern; None for an empty text. ValueError says what is wrong with it."""
    if not text:
        return None
    import re2

    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True  # so that a name with a newline is not another case
    try:
        return re2.compile(text, options)
    except re2.error as error:
        raise ValueError(_why(error)) from None


def _why(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


def wanted(include: str, exclude: str) -> Callable[[str], bool]:
    """Whether a path is asked for: it matches `include`, if there is one, and does not match `exclude`."""
    included, excluded = compiled(include), compiled(exclude)

    def is_wanted(path: str) -> bool:
        return (included is None or bool(included.fullmatch(path))) and not (excluded and excluded.fullmatch(path))

    return is_wanted
