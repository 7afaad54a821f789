# SPDX-License-Identifier: Apache-2.0
"""One guest that runs one command: in, an image, a checkout, a command; out, what it prints, and its end."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

from tests.vm import payload
from tests.vm.image import Image
from tests.vm.outcome import Outcome, decode
from tests.vm.qemu import Machine

_PR_SET_PDEATHSIG = 1
_NOTHING = subprocess.DEVNULL
# The disk's snapshot is there too, and may grow to gigabytes: not on a tmpfs.
_TEMPORARY = "/var/tmp"


@dataclass(frozen=True)
class Task:
    """What to run, where, and for how long; `interactive` gives it this terminal."""

    kernel: str
    tree: Path
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float | None = None
    memory_mib: int = 3072
    kvm: bool = False
    icount: bool = False
    interactive: bool = False


class Guest:
    """A guest that runs as long as the context; QEMU and its files never outlive it."""

    def __init__(self, image: Image, task: Task, output: int | None = None) -> None:
        """`output` as for Popen's stdout: where the command's output goes."""
        self.task = task
        self._folder = Path(tempfile.mkdtemp(prefix="containeragent-vm-", dir=_TEMPORARY))
        try:
            file = self._folder / "payload"
            payload.write(file, task.tree, task.command, task.environment, task.interactive)
            machine = Machine(
                kernel=image.kernel(task.kernel),
                disk=image.disk,
                payload=file,
                console=self._folder / "console",
                status=self._folder / "status",
                memory_mib=task.memory_mib,
                kvm=task.kvm,
                icount=task.icount,
            )
            self._started = time.monotonic()
            self._qemu = start(machine.command_line(), self._folder, None if task.interactive else _NOTHING, output)
        except BaseException:
            shutil.rmtree(self._folder)
            raise

    @property
    def output(self) -> IO[bytes] | None:
        """The command's output, when it was asked for with PIPE; whoever reads it closes it."""
        return self._qemu.stdout

    def __enter__(self) -> Guest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._qemu.kill()
        self._qemu.wait()
        shutil.rmtree(self._folder)

    def wait(self) -> Outcome:
        """Its end; QEMU is ended when its time is up."""
        limit = self.task.timeout_seconds
        left = None if limit is None else max(0.0, self._started + limit - time.monotonic())
        try:
            status: int | None = self._qemu.wait(left)
        except subprocess.TimeoutExpired:
            status = None
            self._qemu.kill()
        return decode(self._read("status"), self._read("console"), status, limit)

    def _read(self, name: str) -> str:
        path = self._folder / name
        return path.read_text(errors="replace") if path.exists() else ""


def start(line: Sequence[str], folder: Path, stdin: int | None, stdout: int | None) -> subprocess.Popen[bytes]:
    """QEMU, which the kernel kills when this process is killed."""
    libc, parent = ctypes.CDLL(None), os.getpid()

    def die_with_parent() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    environment = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.Popen(line, stdin=stdin, stdout=stdout, env=environment, preexec_fn=die_with_parent)
