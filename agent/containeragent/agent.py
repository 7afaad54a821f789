# SPDX-License-Identifier: Apache-2.0
"""The agent: pinned counters in, API and metrics out, until it is told to stop.

Kernel events are counted whether or not it lives; what it does itself is reading, answering and upkeep.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType

from prometheus_client import make_wsgi_app

from containeragent import __version__, doctor, metrics
from containeragent.api.application import Application
from containeragent.api.server import Server, UnixServer, tcp_server
from containeragent.cgroups import root as cgroup_root
from containeragent.cgroups.figures import Figures
from containeragent.cgroups.paths import PathResolver
from containeragent.cgroups.tree import Tree
from containeragent.config import Config
from containeragent.containers.audit import Auditor
from containeragent.containers.service import Containers
from containeragent.containers.view import Names
from containeragent.counters.pinned import PinnedSource
from containeragent.errors import Refused
from containeragent.host import cgroup2
from containeragent.pins import Pins
from containeragent.rescan import Rescanner

log = logging.getLogger(__name__)

_UPKEEP_SECONDS = 1.0


def _load(config: Config) -> None:
    """Load in a process of its own, which takes the compiler's memory with it."""
    command = [sys.executable, "-m", "containeragent", "load", "--bpffs", config.bpffs]
    command += ["--slots", str(config.slots), "--engine", config.engine]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        log.info("%s", line)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise Refused("EIO", reason.removeprefix("containeragent: "))


def _opened(pins: Pins, config: Config) -> PinnedSource:
    if not pins.loaded():
        _load(config)
    source = PinnedSource(pins)
    log.info(
        "counters of version %s, layout %d, %d slots", source.stamp.version, source.stamp.layout, source.stamp.slots
    )
    return source


def _services(config: Config, source: PinnedSource) -> tuple[list[Server], Rescanner]:
    mount = cgroup2.mount_point()
    managed = cgroup_root.find(mount, Path(config.cgroup_root) if config.cgroup_root else None)
    names = Names("/" + str(managed.relative_to(os.path.realpath(mount))))
    resolver = PathResolver(mount)
    auditor = Auditor(source, Figures(mount, resolver))
    containers = Containers(source, Tree(managed), resolver, names, auditor)
    rescanner = Rescanner(auditor.look, containers.drift, config.rescan_percent, config.drift_seconds)
    collector = metrics.ContainerCollector(source, names, resolver.paths, config.series_cap, lambda: rescanner.drift)
    api = UnixServer(Path(config.socket), config.socket_group, Application(containers, doctor.document(source)))
    scrape = tcp_server(config.metrics_address, make_wsgi_app(metrics.registry(collector)))
    log.info("containers are under %s, %d cgroups are counted", managed, len(source.snapshot()))
    return [api, scrape], rescanner


def _start(server: Server) -> None:
    try:
        server.start_serving()
    except OSError as error:
        raise Refused("EADDRINUSE", f"cannot listen on {server.bind_addr}: {error.strerror or error}") from None


def _until_stopped(source: PinnedSource, stopped: threading.Event) -> None:
    while not stopped.wait(_UPKEEP_SECONDS):
        try:
            source.upkeep()
        except (Refused, OSError) as error:
            log.error("upkeep failed, it is tried again: %s", error)


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT. What counts stays pinned."""
    if os.geteuid() != 0:
        raise Refused("EPERM", "the agent needs root; run it with sudo or as the systemd service")
    stopped = threading.Event()

    def stop(number: int, _frame: FrameType | None) -> None:
        log.info("stopping on %s; counting goes on", signal.Signals(number).name)
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    log.info("containeragent %s starts", __version__)
    pins = Pins(Path(config.bpffs))
    with contextlib.ExitStack() as stack:
        if not pins.loaded():
            _load(config)  # first: it looks whether the folder may be there at all
        stack.enter_context(pins.agent_lock())
        source = _opened(pins, config)
        stack.callback(source.close)
        servers, rescanner = _services(config, source)
        for server in servers:
            _start(server)
            stack.callback(server.stop_serving)
        if config.rescan_percent:
            rescanner.start()
            stack.callback(rescanner.stop)
        log.info("serving the API on %s and metrics on http://%s/metrics", config.socket, config.metrics_address)
        _until_stopped(source, stopped)
    log.info("stopped")
