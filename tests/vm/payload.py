# SPDX-License-Identifier: Apache-2.0
"""What a guest is given: in, a checkout and a command; out, one tar that it reads from a disk."""

from __future__ import annotations

import io
import shlex
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.vm.errors import Unusable


def write(path: Path, tree: Path, command: Sequence[str], environment: Mapping[str, str], interactive: bool) -> None:
    """Folders `bench`, with what to run, and `src`, with the checkout's files."""
    with tarfile.open(path, "w") as tar:
        _add_text(tar, "bench/command", script(command, environment))
        if interactive:
            _add_text(tar, "bench/interactive", "")
        _add_tree(tar, tree)


def write_tree(path: Path, tree: Path) -> None:
    """The folder `src` alone."""
    with tarfile.open(path, "w") as tar:
        _add_tree(tar, tree)


def script(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """A shell script that becomes the command."""
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    return f"{exports}exec {shlex.join(command)}\n"


def tree_files(tree: Path) -> list[str]:
    """Those that git tracks or would, without those that were deleted."""
    line = ["git", "-C", str(tree), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(line, capture_output=True, text=True, check=False)
    if listed.returncode:
        raise Unusable(f"cannot list the files of {tree}: {listed.stderr.strip()}")
    return [name for name in listed.stdout.split("\0") if name and (tree / name).exists()]


def _add_tree(tar: tarfile.TarFile, tree: Path) -> None:
    for name in tree_files(tree):
        tar.add(tree / name, f"src/{name}", recursive=False, filter=_owned_by_root)


def _owned_by_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode()
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))
