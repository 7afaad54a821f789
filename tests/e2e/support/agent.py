# SPDX-License-Identifier: Apache-2.0
"""An agent of the tests' own: a real process with pins, socket, port and cgroup root that nobody else uses."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.e2e.support import cgroups, command
from tests.e2e.support.command import Result
from tests.e2e.support.http import Api
from tests.e2e.support.spares import spares
from tests.e2e.support.waiting import PATIENCE_SECONDS, until

BPFFS = Path("/sys/fs/bpf")
_numbers = itertools.count()


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Agent:
    """Made stopped. `close` removes every trace, whatever happened meanwhile; whole pins become spares."""

    def __init__(self, *options: str) -> None:
        name = f"test-{os.getpid()}-{next(_numbers)}"
        self.folder = Path(tempfile.mkdtemp(prefix="containeragent-e2e-"))  # short: a socket's path has 107 bytes
        self.folder.chmod(0o755)  # so that other users come to the socket
        self.bpffs = BPFFS / name
        self.socket = self.folder / "agent.sock"
        self.root = cgroups.mount_point() / name
        self.cgroup = "/" + name
        self.port = free_port()
        self.log = self.folder / "log"
        self.options = options
        self.without: tuple[str, ...] = ()  # capabilities, as setpriv(1) calls them
        self.within: tuple[str, ...] = ()  # a command that runs it: unshare(1), prlimit(1)
        self.packages: tuple[Path, ...] = ()  # folders with packages that are installed for it
        self.process: subprocess.Popen[bytes] | None = None
        self._whole: list[str] = []  # what was pinned after the first start
        self.api = Api(self.socket)

    @property
    def address(self) -> str:
        """Of /metrics."""
        return f"127.0.0.1:{self.port}"

    def run_options(self) -> list[str]:
        """Flags of `containeragent run`."""
        named = {
            "--bpffs": self.bpffs,
            "--socket": self.socket,
            "--metrics-address": self.address,
            "--cgroup-root": self.root,
            "--metrics-min-age-seconds": 0,
        }
        return [word for flag, value in named.items() for word in (flag, str(value))] + list(self.options)

    def start(self) -> Agent:
        """Start it and wait until it answers."""
        if not self.without:
            self.take_spares()
        with self.log.open("ab") as log:
            run = command.module("containeragent", "run", *self.run_options())
            line = [*self.within, *command.without(self.without, run)]
            self.process = subprocess.Popen(
                line,
                stderr=log,
                stdout=log,
                env=command.environment(*self.packages),
                cwd="/",
                start_new_session=True,  # as a service: the CPUs are shared among sessions
            )
        until(self._answers, bool, "the agent's first answer")
        self._whole = self._whole or self.pinned()
        return self

    def take_spares(self) -> None:
        """Go on with what another one left, if nothing is loaded for this one."""
        if not self.bpffs.exists():
            self.bpffs = spares.take(self.options) or self.bpffs
            self._whole = self.pinned()

    def _answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.api.call("GET", "/v1/containers").status == 200
        except OSError:
            return False

    @property
    def pid(self) -> int:
        """Of the running agent."""
        assert self.process
        return self.process.pid

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit status as Popen has it."""
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE_SECONDS)

    def restart(self, number: int = signal.SIGTERM) -> None:
        """End it, and start it on the same pins."""
        self.end(number)
        self.start()

    def ctl(self, *arguments: str, uid: int = 0, gid: int | None = None) -> Result:
        """`containerctl ...` for this agent."""
        return command.run(self.ctl_line(*arguments), uid=uid, gid=gid)

    def ctl_line(self, *arguments: str) -> list[str]:
        """The same, to be started."""
        return command.module("containerctl", "--socket", str(self.socket), *arguments)

    def show(self, name: str) -> dict[str, Any]:
        """One container's document."""
        answer = self.api.call("GET", "/v1/container", {"name": name})
        assert answer.status == 200, answer.document
        assert isinstance(answer.document, dict)
        return answer.document

    def names(self) -> list[str]:
        """Of all managed containers but the root."""
        documents = self.api.call("GET", "/v1/containers").document
        return [document["name"] for document in documents if document["name"] != "/"]

    def create(self, name: str) -> Path:
        """A container; its cgroup."""
        answer = self.api.call("POST", "/v1/containers", body={"name": name})
        assert answer.status == 201, answer.document
        return self.root / name.lstrip("/")

    def path(self, name: str) -> Path:
        """A container's cgroup."""
        return self.root / name.lstrip("/")

    def pinned(self) -> list[str]:
        """Every map, program and link that is pinned for it, and their folders."""
        live = self.bpffs / "live"
        found = [os.path.join(top, name) for top, folders, files in os.walk(live) for name in [*folders, *files]]
        return sorted(os.path.relpath(path, live) for path in found)

    def _kill(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=PATIENCE_SECONDS)

    def close(self) -> None:
        """End it if it runs; remove its cgroups, pins and files. Once more is harmless."""
        if not self.folder.exists():
            return
        try:
            self._kill()
            cgroups.remove(self.root)
        finally:
            if self._whole and self.pinned() == self._whole:
                spares.give(self.options, self.bpffs)
            elif self.bpffs.exists():
                shutil.rmtree(self.bpffs)
            shutil.rmtree(self.folder)
