# SPDX-License-Identifier: Apache-2.0
"""Definition files of a folder, in the order of their names.

In: paths. Out: definitions, parents first, and a line for each thing that is wrong. What nobody but root can write is
believed, and nothing is waited for: no pipe, no device, no huge file.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from containeragent import small_file, toml_file, trust
from containeragent.config import DEFAULT_DEFINITIONS
from containeragent.definitions import format
from containeragent.definitions.format import Definition
from containeragent.errors import Refused, reason
from containeragent.toml_file import TomlFile

SUFFIX = ".toml"


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
        raw, found = small_file.read(path, follow=False)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise small_file.refusal(
                path, "it is a symbolic link, which is not followed; put the file itself here"
            ) from None
        raise _unreadable(path, error) from None
    if why := None if trusting else trust.distrust(path, found):
        raise small_file.refusal(path, why)
    return toml_file.parse(path, raw)


def _unreadable(path: Path, error: OSError) -> Refused:
    return small_file.refusal(path, f"it cannot be read: {reason(error)}")
