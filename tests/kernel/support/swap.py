# SPDX-License-Identifier: Apache-2.0
"""Swap that a test adds and takes away again: a file on disk, or zram, whose pages come back without the swap cache."""

from __future__ import annotations

import contextlib
import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.kernel.support.containers import Container

ZRAM = Path("/sys/block/zram0")
SWAP_BYTES = 128 << 20


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


class Swap:
    """A device or file that can be swapped to until `off`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._on = True
        _run("mkswap", str(path))
        _run("swapon", str(path))

    def off(self) -> None:
        """Everything comes back from it."""
        if self._on:
            _run("swapoff", str(self._path))
            self._on = False


@contextlib.contextmanager
def swapping(kind: str, folder: Path) -> Iterator[Swap]:
    """Swap to "zram" or to a "file" in the folder."""
    if kind == "zram":
        _run("modprobe", "zram")
        (ZRAM / "disksize").write_text(str(SWAP_BYTES))
        path = Path("/dev/zram0")
    else:
        path = folder / "swap"
        path.touch(mode=0o600)
        path.write_bytes(bytes(SWAP_BYTES))  # swap takes no holes
    swap = Swap(path)
    try:
        yield swap
    finally:
        swap.off()
        if kind == "zram":
            (ZRAM / "reset").write_text("1")


def reclaim(container: Container) -> None:
    """Have the kernel take as much as it can in one go."""
    try:
        (container.path / "memory.reclaim").write_text(str(SWAP_BYTES))
    except OSError as error:
        if error.errno != errno.EAGAIN:  # there was less to take
            raise
