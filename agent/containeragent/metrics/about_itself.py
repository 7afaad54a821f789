# SPDX-License-Identifier: Apache-2.0
"""What the agent says of itself: version, engine, slots, losses, releases, definitions, and what its programs cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict

from containeragent import __version__
from containeragent.containers.ended import Ended
from containeragent.counters.snapshot import Snapshot
from containeragent.counters.source import Source
from containeragent.definitions.definitions import Definitions
from containeragent.events.bus import Bus
from containeragent.metrics.family import Family, labelled, single
from containeragent.release.releases import Releases

_RUNS = "while kernel.bpf_stats_enabled is set, since its load. Source: the kernel's bpf_prog_info"


def families(source: Source, snapshot: Snapshot, bus: Bus, ended: Ended) -> Iterator[Family]:
    """One reading."""
    yield labelled("build_info", "Version of the agent.", ["version"], {(__version__,): 1})
    engine = asdict(source.engine) | ({"reason": source.reason} if source.reason else {})
    text = "What counts tasks and pages; why, where it is a fallback."
    yield labelled("engine_info", text, list(engine), {tuple(engine.values()): 1})
    if snapshot.pages_seen_at is not None:
        age = time.monotonic() - snapshot.pages_seen_at
        yield single("rescan_age_seconds", "Age of what no event tells, mapped and active memory, in seconds.", age)
    health = snapshot.health
    yield single("slots", "Cgroups that can be told apart at the same time.", health.slots)
    yield single("slots_dead", "Slots of removed cgroups whose pages are not freed yet.", health.slots_dead)
    text = "Cgroups that got no slot and count with their parent."
    yield single("slots_exhausted", text, health.slots_exhausted, counter=True)
    lost = {
        "task": health.tasks_lost,
        "page": health.pages_lost,
        "unclaimed_page": health.pages_unclaimed,
        "notice": health.notices_lost,
        "final_record": ended.missed + ended.dropped,
        "follower": bus.lost,
    }
    by_event = {(event,): number for event, number in lost.items()}
    yield labelled("events_lost", "Events that could not be counted.", ["event"], by_event, counter=True)
    yield from _programs(source)


def _programs(source: Source) -> Iterator[Family]:
    programs = source.programs()
    runs = {(name,): program.runs for name, program in programs.items()}
    yield labelled("bpf_program_runs", f"Runs of the program, {_RUNS}.", ["program"], runs, counter=True)
    seconds = {(name,): program.run_time_ns / 1e9 for name, program in programs.items()}
    text = f"Time in runs of the program, in seconds, {_RUNS}."
    yield labelled("bpf_program_run_seconds", text, ["program"], seconds, counter=True)
    missed = {(name,): program.missed for name, program in programs.items()}
    text = "Runs that the kernel left out because the program was running, since its load. Source: bpf_prog_info."
    yield labelled("bpf_program_missed", text, ["program"], missed, counter=True)


def of_releases(releases: Releases) -> Iterator[Family]:
    """What came of containers that became empty."""
    text = "Containers that became empty, since the agent's start, by what was done."
    counts = {(result,): number for result, number in releases.counts().items()}
    yield labelled("releases", text, ["result"], counts, counter=True)
    yield single("releases_waiting", "Released containers that nobody has come to yet.", releases.waiting)


def of_definitions(definitions: Definitions) -> Iterator[Family]:
    """What files define."""
    yield single("definitions", "Containers that files define, at the last start or reload.", definitions.count)
    text = "Mistakes in definition files, or in applying them, at the last start or reload."
    yield single("definition_mistakes", text, len(definitions.mistakes))
