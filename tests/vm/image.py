# SPDX-License-Identifier: Apache-2.0
"""Where guests' images are: in, a checkout; out, a folder with a disk and kernels, built if it is not there.

There is one for each key, a hash of everything of ours that goes into it. They are kept outside of checkouts, so that a
fresh clone finds them, and the oldest are removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.vm import build
from tests.vm.errors import Unusable

KEPT_IMAGES = 4  # of 1 GB each


@dataclass(frozen=True)
class Image:
    """A folder with what QEMU needs."""

    folder: Path

    @property
    def disk(self) -> Path:
        """The root file system; guests write to snapshots of it."""
        return self.folder / build.DISK

    def kernel(self, name: str) -> Path:
        """The kernel of build.SUITES[name]."""
        found = sorted(self.folder.glob(f"vmlinuz-{name}.*"))
        if len(found) != 1:
            raise Unusable(f"{len(found)} kernels {name} in {self.folder}: remove that folder and try again")
        return found[0]


def cache_folder() -> Path:
    """Where images are kept (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "containeragent-vm"


def key(tree: Path) -> str:
    """Of what goes into a checkout's image. Debian's own updates do not change it: `build --rebuild` takes them."""
    digest = hashlib.sha256()
    for source in build.inputs(tree):
        content = source.read_bytes()
        digest.update(f"{source.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def use(tree: Path, rebuild: bool = False) -> Iterator[Image]:
    """The image for a checkout; it is not removed or built again inside."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / key(tree)
    while True:
        with locked(folder):
            if folder.is_dir() and not rebuild:
                os.utime(folder)
                prune(cache, KEPT_IMAGES)
                yield Image(folder)
                return
        with locked(folder, fcntl.LOCK_EX):  # waits for another build, which may be this one's too
            if rebuild or not folder.is_dir():
                build.build(tree, folder)
                rebuild = False


@contextlib.contextmanager
def locked(folder: Path, how: int = fcntl.LOCK_SH) -> Iterator[None]:
    """Shared: it stays; exclusively: nobody uses it."""
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, how)
        yield


def prune(cache: Path, kept: int) -> None:
    """Remove all but the latest images, and what interrupted builds left, where nobody uses them."""
    folders = sorted((path for path in cache.iterdir() if path.is_dir()), key=_last_used, reverse=True)
    images = [folder for folder in folders if not folder.suffix]
    unfinished = [folder for folder in folders if folder.suffix == build.UNFINISHED]
    for folder in images[kept:] + unfinished:
        with contextlib.suppress(BlockingIOError), locked(folder.with_suffix(""), fcntl.LOCK_EX | fcntl.LOCK_NB):
            shutil.rmtree(folder)


def _last_used(folder: Path) -> float:
    return folder.stat().st_mtime
