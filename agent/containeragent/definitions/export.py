# SPDX-License-Identifier: Apache-2.0
"""The present state as a definition file, which makes the same containers again.

Nothing in it depends on when or where it was written, so it can be compared. What TOML cannot say is named beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tomli_w

from containeragent.cgroups import names
from containeragent.cgroups.tree import Parts
from containeragent.containers.present import Present
from containeragent.containers.view import Document
from containeragent.definitions.format import CONTAINERS, NOBODY
from containeragent.errors import Refused
from containeragent.events.event import printable
from containeragent.host import users
from containeragent.limits.model import Limits
from containeragent.release.flags import Flags
from containeragent.subsystems.api import Value
from containeragent.subsystems.attributes import checked

_UNITS = (("", 1), *((unit, 1024 ** (power + 1)) for power, unit in enumerate("KMGTPE")))


class Exporter:
    """Of the containers of one tree."""

    def __init__(self, present: Present) -> None:
        self._present = present

    def document(self, name: str) -> Document:
        """A container and all below it: `toml`, and in `left_out` lines about what is not in it."""
        left_out: list[str] = []
        tables = {}
        for parts in self._present.below(names.parse(name)):
            shown = names.join(parts)
            if not _is_name(parts):
                left_out.append(
                    f"cgroup {printable(shown)} is no container that could be defined: its name is not allowed"
                )
                continue
            try:
                table = self._table(parts, left_out)
            except Refused:  # it went meanwhile
                continue
            if parts or table:
                tables[shown] = table
        return {"toml": tomli_w.dumps({CONTAINERS: tables} if tables else {}), "left_out": left_out}

    def _table(self, parts: Parts, left_out: list[str]) -> dict[str, Any]:
        above = self._present.flags(parts[:-1]) if parts else Flags()
        table = limits_of(self._present.limits(parts), self._present.page_size)
        table |= flags_of(self._present.flags(parts), above)
        uid = self._present.owner(parts)
        if uid is not None:
            table["owner"] = owner_of(uid)
        paths = [path for path in self._present.files(parts) if _kept(path, f"file {path} of", parts, left_out)]
        if paths:
            table["files"] = paths
        try:
            values = self._present.attributes(parts)
        except Refused as refused:
            left_out.append(printable(f"attributes of {names.join(parts)}: {refused.message}"))
            return table
        attributes = dict(_attributes(values, parts, left_out))
        return table | ({"attributes": attributes} if attributes else {})


def _is_name(parts: Parts) -> bool:
    try:
        return names.parse(names.join(parts)) == parts
    except Refused:
        return False


def limits_of(limits: Limits, page_size: int) -> dict[str, Any]:
    """Those that are set, as a definition has them."""
    found: dict[str, Any] = {}
    if limits.task_limit is not None:
        found["task_limit"] = limits.task_limit
    if limits.page_limit is not None:
        found["page_limit"] = size_of(limits.page_limit * page_size)
    if limits.kill_after_seconds is not None:
        seconds = limits.kill_after_seconds
        found["kill_after"] = int(seconds) if seconds.is_integer() else seconds
    return found | ({"dry_run": True} if limits.dry_run else {})


def size_of(size_bytes: int) -> str:
    """In the largest unit that has it whole: pages are not of the same size everywhere."""
    unit, factor = next(pair for pair in reversed(_UNITS) if size_bytes % pair[1] == 0)
    return f"{size_bytes // factor}{unit}"


def flags_of(flags: Flags, above: Flags) -> dict[str, bool]:
    """A new container has one of them as its parent."""
    found = {"notify_on_release": flags.notify} if flags.notify or above.notify else {}
    return found | ({"remove_on_release": True} if flags.remove else {})


def owner_of(uid: int) -> str | int:
    """A name if it leads back to the same user."""
    name = users.name_of(uid)
    try:
        return name if name != NOBODY and not name.isdigit() and users.uid_of(name) == uid else uid
    except Refused:
        return uid


def _attributes(values: Mapping[str, Value], parts: Parts, left_out: list[str]) -> Iterator[tuple[str, str | int]]:
    """Empty ones are as they are in a new container."""
    for name, value in sorted(values.items()):
        if value is None or value == "":
            continue
        try:
            checked({name: str(value)})
        except Refused as refused:
            left_out.append(f"attribute {printable(name)} of {names.join(parts)}: {refused.message}")
        else:
            yield name, value if type(value) is int else str(value)


def _kept(text: str, what: str, parts: Parts, left_out: list[str]) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        left_out.append(printable(f"{what} {names.join(parts)}: it is not UTF-8"))
        return False
    return True
