# SPDX-License-Identifier: Apache-2.0
"""The agent: counters in, API and metrics out, until it is told to stop.

BPF engines count whether or not it lives; what it does itself is reading, answering and upkeep.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from containeragent import __version__, doctor, engines, out_of_memory
from containeragent.api.application import Application
from containeragent.api.server import Serve, Server, UnixServer
from containeragent.api.streams import Streams
from containeragent.cgroups import root as cgroup_root
from containeragent.cgroups.figures import Figures
from containeragent.cgroups.naming import Names
from containeragent.cgroups.paths import PathResolver
from containeragent.cgroups.tree import Parts, Tree
from containeragent.config import Config
from containeragent.containers import involved
from containeragent.containers.audit import Auditor
from containeragent.containers.causes import Causes
from containeragent.containers.ended import Ended
from containeragent.containers.forgetting import Forgetter
from containeragent.containers.service import Containers
from containeragent.counters.records import NOTICE_ENDED
from containeragent.counters.source import Source
from containeragent.definitions.apply import Applier
from containeragent.definitions.definitions import Definitions
from containeragent.errors import Refused
from containeragent.events.bus import Bus
from containeragent.events.journal import Journal
from containeragent.host import cgroup2, process
from containeragent.limits.limiting import Limiting
from containeragent.metrics import assembly as metrics
from containeragent.metrics.choice import Choice
from containeragent.metrics.health import Health
from containeragent.page.history import History
from containeragent.page.rows import Rows
from containeragent.page.site import Site, Wsgi
from containeragent.path_patterns import wanted
from containeragent.release.releases import Releases
from containeragent.rescan import Rescanner
from containeragent.service_manager import ServiceManager
from containeragent.signals import Signals
from containeragent.subsystems import assembly
from containeragent.web import serving
from containeragent.workloads.human_names import HumanNames
from containeragent.workloads.known import Workloads

log = logging.getLogger(__name__)

_UPKEEP_SECONDS = 1.0


def _root(config: Config) -> Path:
    return cgroup_root.find(cgroup2.mount_point(), Path(config.cgroup_root) if config.cgroup_root else None)


def _services(
    managed: Path,
    config: Config,
    source: Source,
    bus: Bus,
    *,
    streams: Streams,
    metrics_server: Serve,
    stack: contextlib.ExitStack,
    starting: Callable[[], None],
) -> tuple[list[Server], Rescanner, Definitions, list[Callable[[], None]]]:
    """Servers to start, the rescanner, the definitions, applied, and what is to be done now and then."""
    mount = cgroup2.mount_point()
    names = Names("/" + str(managed.relative_to(os.path.realpath(mount))))
    resolver, tree = PathResolver(mount), Tree(managed, names)
    tree.load_names()
    source.manage(managed.stat().st_ino)
    causes = Causes(tree)
    limiting = Limiting(
        Tree(managed, title=names.name),
        source,
        cgroup_of=names.path,
        publish=functools.partial(_publish, bus, names),
        because=causes.put,
        throttle_max_seconds=config.throttle_max_seconds,
    )
    stack.callback(limiting.close)
    ended = Ended(
        source,
        names,
        bus,
        config.grace_seconds,
        known_path=resolver.known,
        last_limits=limiting.ended,
        cause_of=causes.pop,
    )
    limiting.start()
    source.listen(NOTICE_ENDED, lambda _: ended.refresh())
    ended.refresh()
    out_of_memory.tell(source, bus, names, resolver)
    figures = Figures(mount, resolver)
    auditor = Auditor(source, figures)
    workloads = Workloads(HumanNames())
    root = involved.container(tree, names, ())
    registry = assembly.own(source, tree, limiting.keeper, root, bus)
    stack.callback(registry.close)
    assembly.add_others(registry, root, config.subsystems, config.subsystem_seconds)
    releases = Releases(tree, names, source, bus, config.release_agent)
    stack.callback(releases.close)
    containers = Containers(
        source,
        tree,
        resolver,
        names,
        auditor,
        limiting=limiting,
        bus=bus,
        ended=ended,
        workload_of=workloads.of,
        page_faults_of=figures.page_faults,
        registry=registry,
        releases=releases,
    )
    containers.subsystems.take_up()
    containers.files.upkeep()  # so that the end of those that are there is told
    if any(not member.built_in for member in registry.having("destroy")):
        stack.callback(Forgetter(containers.subsystems, bus).stop)
    releases.start(containers.lifecycle.remove_released)
    definitions = Definitions(config.definitions, Applier(containers))
    definitions.apply(starting)
    rescanner = Rescanner(auditor.look, containers.documents.drift, config.rescan_percent, config.drift_seconds)
    is_wanted = wanted(config.metrics_include, config.metrics_exclude)
    scraped = metrics.scrape(
        source,
        names,
        Choice(config.series_cap, config.metrics_min_age_seconds, is_wanted),
        paths_of=resolver.paths,
        workload_of=workloads.of,
        drift=lambda: rescanner.drift,
        bus=bus,
        ended=ended,
        limiting=limiting,
        registry=registry,
        releases=releases,
        definitions=definitions,
    )
    checks = doctor.document(source, lambda: [*limiting.checks(), *registry.checks(), *definitions.checks()])
    application = Application(containers, checks, bus, streams)
    api = UnixServer(Path(config.socket), config.socket_group, application)
    health = Health(scraped)
    upkeep = [health.beat, source.upkeep, limiting.keeper.upkeep, containers.files.upkeep]
    served: Wsgi = health
    if config.page_containers:
        history = History(config.page_containers)
        upkeep.append(functools.partial(history.upkeep, source.snapshot))
        rows = Rows(source, containers.ranking, history, states=limiting.states, workload_of=workloads.of)
        served = Site(health, rows)
    scrape = metrics_server(served)
    log.info("containers are under %s, %d cgroups are counted", managed, len(source.snapshot()))
    return [api, scrape], rescanner, definitions, upkeep


def _publish(bus: Bus, names: Names, kind: str, directories: Parts, **details: Any) -> None:
    bus.publish(kind, names.name(directories), names.path(directories), **details)


def _start(server: Server) -> None:
    try:
        server.start_serving()
    except OSError as error:
        raise Refused("EADDRINUSE", f"cannot listen on {server.bind_addr}: {error.strerror or error}") from None


def _until_stopped(
    check: Callable[[], None],
    upkeep: Sequence[Callable[[], None]],
    reload: Callable[[], None],
    signals: Signals,
    manager: ServiceManager,
) -> None:
    """Every round is a sign of life: a loop that hangs is noticed and the agent started again. What `check` raises ends
    it.
    """
    pause_seconds = min(_UPKEEP_SECONDS, (manager.watchdog_seconds or _UPKEEP_SECONDS) / 2)
    while signals.wait(pause_seconds):
        manager.alive()
        check()
        if signals.take_reload():
            reload()
        for task in upkeep:
            try:
                task()
            except (Refused, OSError) as error:
                log.error("upkeep failed, it is tried again: %s", error)


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads definitions again. What is pinned goes on counting."""
    faulthandler.enable()  # where its threads were, when the watchdog ends it (SIGABRT)
    manager = ServiceManager(os.environ)
    if os.geteuid() and not process.has_capabilities():
        raise Refused("EPERM", "the agent needs root; run it with sudo or as the systemd service")
    metrics_server = serving.server(config.metrics_address, config.web_config_file)
    process.share_memory()
    process.hurry()  # little to do, but at once: what stops a fork bomb must not wait for it
    signals = Signals()
    log.info("containeragent %s starts", __version__)
    with contextlib.ExitStack() as stack:
        source = engines.opened(config, stack)
        bus = Bus()
        stack.callback(Journal(bus).stop)
        streams = Streams(bus)
        stack.callback(streams.close)
        root = _root(config)
        servers, rescanner, definitions, upkeep = _services(
            root,
            config,
            source,
            bus,
            streams=streams,
            metrics_server=metrics_server,
            stack=stack,
            starting=manager.starting,
        )
        for server in servers:
            _start(server)
            stack.callback(server.stop_serving)
        if config.rescan_percent:
            rescanner.start()
            stack.callback(rescanner.stop)
        status = f"serving {config.socket} and http://{config.metrics_address}/metrics"
        log.info("serving the API on %s and metrics on http://%s/metrics", config.socket, config.metrics_address)
        manager.ready(status)
        check = functools.partial(cgroup_root.check, root, root.stat().st_ino)

        def reload() -> None:
            manager.reloading()
            definitions.apply(manager.alive)
            manager.ready(status)

        _until_stopped(check, upkeep, reload, signals, manager)
        manager.stopping()
    log.info("stopped")
