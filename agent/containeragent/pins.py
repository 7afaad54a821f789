# SPDX-License-Identifier: Apache-2.0
"""The folder of pins on the BPF file system, which keeps counting alive when no process is.

    DIR/live/{maps,programs,links}   what counts now
    DIR/loading-PID/...              what a loader is just preparing
    DIR/ready-TURN/...               the same when it is complete and takes over; its number is that of turn.py
    DIR/retired-PID/...              what counted before, to be removed
    DIR/agent/                       locked by the agent that runs on this folder
DIR itself is locked by a loader. Everything is owned and only readable by root.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from containeragent import libbpf, stamp as stamps, turn
from containeragent.errors import HostRefused, Refused
from containeragent.host import cpus

KINDS = ("maps", "programs", "links")
_READY = "ready-"
_END_SECONDS = 5.0


def _nothing() -> None:
    """Whose turn it is does not matter."""


@contextlib.contextmanager
def locked(folder: Path, busy: Refused) -> Iterator[None]:
    """Hold the lock of a folder; `busy` is raised when somebody else does."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Refused.of_errno(error.errno or errno.EIO, f"{folder} cannot be opened", "run as root") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        yield
    finally:
        os.close(descriptor)


class Pins:
    """The pins under one folder (--bpffs)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.live = folder / "live"
        self.agent = folder / "agent"

    def make_folder(self) -> None:
        """The folder itself, if it is missing."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise HostRefused.of_errno(error.errno or 5, f"{self.folder} cannot be made", "run as root") from None

    @contextlib.contextmanager
    def loader_lock(self) -> Iterator[None]:
        """One loader at a time."""
        self.make_folder()
        with locked(
            self.folder, Refused("EBUSY", f"another load or unload of {self.folder} is under way; wait for it")
        ):
            yield

    @contextlib.contextmanager
    def agent_lock(self) -> Iterator[None]:
        """One agent at a time."""
        self.make_folder()
        try:
            self.agent.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            hint = "as a service, let it write there (ReadWritePaths=)"
            raise Refused.of_errno(error.errno or errno.EIO, f"{self.agent} cannot be made", hint) from None
        busy = Refused(
            "EBUSY", f"an agent is running on {self.folder}; stop it first, or give this one another --bpffs"
        )
        with locked(self.agent, busy):
            yield

    def loaded(self) -> bool:
        """Whether something counts here."""
        return (self.live / "maps").is_dir()

    def stamp(self) -> stamps.Stamp | None:
        """The stamp of what counts here; None when nothing is loaded."""
        if not self.loaded():
            return None
        descriptor = self.get("maps", "stamp")
        try:
            value = libbpf.map_lookup(descriptor, bytes(4), stamps.STAMP_BYTES)
        finally:
            os.close(descriptor)
        return stamps.decode(value or b"")

    def get(self, kind: str, name: str) -> int:
        """Descriptor of one pin."""
        path = self.live / kind / name
        try:
            return libbpf.obj_get(str(path))
        except OSError as error:
            raise Refused.of_errno(
                error.errno or 5,
                f"the pinned {kind[:-1]} {path} cannot be opened",
                "run as root, or `containeragent load --replace` if the pins are damaged",
            ) from None

    def names(self, kind: str) -> list[str]:
        """Names of the pins of a kind ("maps", "programs", "links")."""
        try:
            return sorted(os.listdir(self.live / kind))
        except FileNotFoundError:
            return []

    def publish(
        self, objects: Mapping[str, Mapping[str, int]], number: int | None = None, take: Callable[[], None] = _nothing
    ) -> None:
        """Pin descriptors, by kind and name, as what is live; on failure nothing has changed.

        `take` is called when all are pinned, so that whoever has the turn counts even if this process ends there;
        `number` is that turn's, if there are turns.
        """
        self.remove_leftovers()
        staging, ready = (
            self.folder / f"loading-{os.getpid()}",
            self.folder / f"{_READY}{'' if number is None else number}",
        )
        try:
            for kind in KINDS:
                (staging / kind).mkdir(mode=0o700, parents=True)
                for name, descriptor in objects[kind].items():
                    libbpf.obj_pin(descriptor, str(staging / kind / name))
            staging.rename(ready)
            take()
            self._put_live(ready)
        except OSError as error:
            _remove(staging)
            _remove(ready)
            raise Refused.of_errno(
                error.errno or 5, f"pinning under {self.folder} failed", "is the BPF file system full?"
            ) from None

    def _put_live(self, ready: Path) -> None:
        retired = self.folder / f"retired-{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            self.live.rename(retired)
        try:
            ready.rename(self.live)
        except OSError:
            if retired.exists():
                retired.rename(self.live)
            raise
        _remove(retired)

    def finish_interrupted(self) -> bool:
        """Put live what was about to be when its loader ended; whether there was any. Under the loader's lock."""
        for ready in self.folder.glob(f"{_READY}*"):
            number = ready.name.removeprefix(_READY)
            if number:
                turns = libbpf.obj_get(str(ready / "maps" / "turns"))
                turn.give(turns, cpus.possible(), int(number))
                os.close(turns)
            self._put_live(ready)
            return True
        return False

    def remove_leftovers(self) -> None:
        """What a loader left that did not come to its end."""
        for path in self.folder.iterdir():
            if path.name.startswith(("loading-", "retired-", _READY)):
                _remove(path)

    def remove(self) -> None:
        """Every pin, and the folder: counting ends."""
        _remove(self.live)
        self.remove_leftovers()
        for folder in (self.agent, self.folder):
            try:
                folder.rmdir()
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                    raise


def _remove(folder: Path) -> None:
    """A tree of pins, links first, so that nothing counts into maps that are going.

    The kernel empties a map of programs as soon as no pin and no process holds it, and detaches later: in between, what
    is attached would find nothing to call and say that it lost a task.
    """
    attached = _attached(folder / "links")
    _unlink_all(folder / "links")
    _unlink_all(folder / "programs")
    _await_end(attached)
    _unlink_all(folder / "maps")
    with contextlib.suppress(FileNotFoundError):
        folder.rmdir()


def _unlink_all(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(folder):
            (folder / name).unlink()
        folder.rmdir()


def _attached(links: Path) -> list[int]:
    """Ids of the programs that links keep attached."""
    found: list[int] = []
    with contextlib.suppress(OSError):  # not there, or not to be read: there is nobody to wait for
        for path in links.iterdir():
            descriptor = libbpf.obj_get(str(path))
            try:
                found.append(libbpf.program_of_link(descriptor))
            finally:
                os.close(descriptor)
    return found


def _await_end(programs: list[int]) -> None:
    """Until they are gone; not for ever, as others may hold them (bpftool)."""
    end = time.monotonic() + _END_SECONDS
    while any(map(libbpf.is_loaded, programs)) and time.monotonic() < end:
        time.sleep(0.01)
