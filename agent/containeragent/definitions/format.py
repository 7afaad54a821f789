# SPDX-License-Identifier: Apache-2.0
"""What a definition file says: tables such as [containers.web] with what containerctl would set.

In: a TOML file. Out: definitions that can be applied, and every mistake with its line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from containeragent import toml_file
from containeragent.cgroups import names
from containeragent.cgroups.tree import Parts
from containeragent.errors import Refused
from containeragent.host import users
from containeragent.host.users import User
from containeragent.limits.model import NO_LIMITS
from containeragent.subsystems.attributes import checked
from containeragent.toml_file import TomlFile

CONTAINERS = "containers"  # the table that all others are in
NOBODY = "none"  # as an owner
LIMITS = ("task_limit", "page_limit", "kill_after", "dry_run")
# Keys of a container's table, with what the reference says of them.
KEYS = {
    "task_limit": 'most tasks: a number from 0 on, or "max"',
    "page_limit": 'memory: pages (25600), bytes with a unit ("100M", "1G"), or "max"',
    "kill_after": 'seconds above the page limit after which it is ended (30, 0.5), or "never"',
    "dry_run": "true: what the page limit would do is only told",
    "owner": 'a user, by name or number, who may do everything inside it; "none": nobody',
    "notify_on_release": "true: the release agent runs when nothing is left in it; a new one has it as its parent",
    "remove_on_release": "true: it is removed then; the next start or reload makes it again",
    "files": "list of absolute paths of files whose pages are charged to it",
    "attributes": 'table of what subsystems add, as `containerctl set` has it: "cpuset.cpus" = "0-1"',
}
_FLAGS = ("dry_run", "notify_on_release", "remove_on_release")


@dataclass(frozen=True)
class Definition:
    """One container. What is not said of it (None, nothing) stays as it is."""

    parts: Parts
    file: TomlFile
    key: str
    limits: Mapping[str, Any]  # as a request to the API has them
    notify: bool | None
    remove: bool | None
    owner: User | None
    files: tuple[str, ...]
    attributes: Mapping[str, str]

    @property
    def name(self) -> str:
        """As users see it."""
        return names.join(self.parts)

    @property
    def place(self) -> str:
        """FILE:LINE."""
        return self.file.place(CONTAINERS, self.key)

    def mistake(self, message: str, *keys: toml_file.Key) -> Refused:
        """What is wrong with it, or with one of its keys."""
        return self.file.mistake(message, CONTAINERS, self.key, *keys)


def definitions(file: TomlFile) -> tuple[list[Definition], list[Refused]]:
    """Those that are good, and what is wrong with the others."""
    good, wrong = (
        [],
        [file.mistake(toml_file.no_such_key(key, [CONTAINERS]), key) for key in file.values.keys() - {CONTAINERS}],
    )
    tables = file.values.get(CONTAINERS, {})
    if not isinstance(tables, dict):
        return [], [*wrong, file.mistake("containers is no table: write [containers.NAME]", CONTAINERS)]
    for key, values in tables.items():
        mistakes = list(_mistakes(file, key, values))
        wrong += mistakes
        if not mistakes:
            good.append(_definition(file, key, values))
    return good, wrong


def _definition(file: TomlFile, key: str, values: Mapping[str, Any]) -> Definition:
    return Definition(
        parts=names.parse(key),
        file=file,
        key=key,
        limits={name: values[name] for name in LIMITS if name in values},
        notify=values.get("notify_on_release"),
        remove=values.get("remove_on_release"),
        owner=values.get("owner"),
        files=tuple(values.get("files", ())),
        attributes=attributes_of(values.get("attributes", {})),
    )


def _mistakes(file: TomlFile, key: str, values: Any) -> Iterator[Refused]:
    try:
        parts = names.parse(key)
    except Refused as refused:
        yield file.mistake(refused.message, CONTAINERS, key)
        return
    if not isinstance(values, dict):
        yield file.mistake(f"{key} is no table: write [containers.{key}]", CONTAINERS, key)
        return
    for name, value in values.items():
        try:
            _check(parts, name, value)
        except Refused as refused:
            yield file.mistake(refused.message, CONTAINERS, key, name)
    if isinstance(values.get("files"), list):
        for number, path in enumerate(values["files"]):
            if why := _wrong_path(path):
                yield file.mistake(why, CONTAINERS, key, "files", number)


def _check(parts: Parts, name: str, value: Any) -> None:
    """Refused as the operation would be, as far as that can be told without an agent."""
    if name not in KEYS:
        raise Refused("EINVAL", _unknown(parts, name, value))
    if name in _FLAGS and not isinstance(value, bool):
        raise Refused("EINVAL", f"{name} is neither true nor false")
    if name in LIMITS:
        NO_LIMITS.changed({name: value}, os.sysconf("SC_PAGESIZE"))
    if name == "remove_on_release" and value and not parts:
        raise Refused("EBUSY", "the container / is the cgroup root, which is never removed")
    if name == "owner":
        _check_owner(value)
    if name == "files" and not isinstance(value, list):
        raise Refused("EINVAL", 'files is no list of paths such as ["/usr/lib/libexample.so"]')
    if name == "attributes":
        if not isinstance(value, dict):
            raise Refused("EINVAL", 'attributes is no table such as { "cpuset.cpus" = "0-1" }')
        if value:
            checked(attributes_of(value))


def _unknown(parts: Parts, name: str, value: Any) -> str:
    if isinstance(value, dict):
        below = "/".join(("", *parts, name))
        return f'there is no key {name!r} with a table; a container below it is [containers."{below}"]'.replace(
            "\n", " "
        )
    return toml_file.no_such_key(name, KEYS)


def _check_owner(value: Any) -> None:
    if type(value) not in (str, int):
        raise Refused("EINVAL", "owner is no user: neither a name nor a number")
    if value != NOBODY:
        users.uid_of(value)


def _wrong_path(path: Any) -> str | None:
    if not isinstance(path, str) or not path.startswith("/"):
        return f"{str(path)[:80]!r} is not an absolute path"
    return "a path has a NUL, which none can have" if "\0" in path else None


def attributes_of(table: Mapping[str, Any]) -> dict[str, str]:
    """Text by name, as `containerctl set` takes it; `cpuset.cpus` without quotes is a table in a table."""
    found: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= {f"{key}.{name}": text for name, text in attributes_of(value).items()}
        elif type(value) in (str, int):
            found[key] = str(value)
        else:
            raise Refused("EINVAL", f"the value of {key[:80]!r} is neither text nor a whole number")
    return found
