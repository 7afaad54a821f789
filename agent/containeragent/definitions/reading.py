# SPDX-License-Identifier: Apache-2.0
"""Definition files of a folder, in the order of their names.

In: paths. Out: definitions, parents first, and a line for each thing that is wrong. What nobody but root can write is
believed, and nothing is waited for: no pipe, no device, no huge file.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from containeragent import toml_file, trust
from containeragent.config import DEFAULT_DEFINITIONS
from containeragent.definitions import format
from containeragent.definitions.format import Definition
from containeragent.errors import Refused
from containeragent.events.event import printable
from containeragent.toml_file import TomlFile

SUFFIX = ".toml"
MOST_BYTES = 1 << 20
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True)
class Found:
    """`mistakes` begin with FILE:LINE; what they are about is not among the definitions."""

    definitions: tuple[Definition, ...] = ()
    mistakes: tuple[Refused, ...] = ()


def some(containers: int) -> str:
    """How many, for people."""
    return f"{containers} container{'s' if containers != 1 else ''}"


def of_folder(folder: str) -> Found:
    """Of those files that only root may write. Without a folder, or with an empty name, there are none."""
    try:
        paths = files_of(Path(folder)) if folder else []
    except Refused as refused:
        return Found((), (refused,))
    return of_files(paths, trusting=False)


def files_of(folder: Path) -> list[Path]:
    """Hidden ones, and those with other endings, are not meant."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError as error:
        if str(folder) == DEFAULT_DEFINITIONS:
            return []
        raise _unreadable(folder, error) from None
    except OSError as error:
        raise _unreadable(folder, error) from None
    return [folder / name for name in names if name.endswith(SUFFIX) and not name.startswith(".")]


def of_files(paths: Iterable[Path], trusting: bool) -> Found:
    """Of these files, whoever may write them if `trusting`."""
    first: dict[tuple[str, ...], Definition] = {}
    mistakes: list[Refused] = []
    for path in paths:
        try:
            good, wrong = format.definitions(read(path, trusting))
        except Refused as refused:
            mistakes.append(refused)
            continue
        mistakes += wrong
        for one in good:
            before = first.setdefault(one.parts, one)
            if before is not one:
                mistakes.append(
                    one.mistake(f"container {one.name} is defined at {before.place} already; keep one of them")
                )
    return Found(tuple(first[parts] for parts in sorted(first)), tuple(mistakes))


def read(path: Path, trusting: bool) -> TomlFile:
    """Refused when it is none, with the line where that can be told."""
    try:
        descriptor = os.open(path, _FLAGS)
        try:
            raw = _read(path, descriptor, trusting)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _refuse(path, "it is a symbolic link, which is not followed; put the file itself here") from None
        raise _unreadable(path, error) from None
    return toml_file.parse(path, raw)


def _read(path: Path, descriptor: int, trusting: bool) -> bytes:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise _refuse(path, "it is not a regular file")
    if why := None if trusting else trust.distrust(path, found):
        raise _refuse(path, why)
    if found.st_size > MOST_BYTES:
        raise _refuse(path, f"it has more than {MOST_BYTES >> 20} MiB; use several files")
    return os.read(descriptor, MOST_BYTES)


def _refuse(path: Path, why: str) -> Refused:
    return Refused("EINVAL", printable(f"{path}: {why}"))


def _unreadable(path: Path, error: OSError) -> Refused:
    return _refuse(path, f"it cannot be read: {(error.strerror or str(error)).lower()}")
