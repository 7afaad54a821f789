# SPDX-License-Identifier: Apache-2.0
"""What is loaded already: whether it stays, and what new programs can go on with.

In: the stamp of the pins. Out: a decision, told to the user. Counters of another layout or engine mean something else.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from containeragent import turn
from containeragent.errors import Refused
from containeragent.loader import engines, sources
from containeragent.loader.build import Kept
from containeragent.loader.engines import Engine
from containeragent.pins import Pins
from containeragent.stamp import Stamp

_ANEW = "totals and peaks begin anew, pages from before now are counted as after a first load"

Say = Callable[[str], None]


def engine_to_keep(present: Stamp | None) -> str | None:
    """Whose counters "auto" goes on with; None where they cannot be read anyway."""
    return present.engine if present and present.layout == sources.layout() else None


def kept(pins: Pins, present: Stamp | None, engine: Engine, say: Say) -> Kept | None:
    """What new programs can go on with; None where what is counted means something else."""
    if present is None:
        return None
    if present.layout != sources.layout():
        say(f"layout {present.layout} cannot be carried over: {_ANEW}")
        return None
    if present.engine != engine.name:
        say(f"counters of engine {present.engine} cannot be carried over to {engine.name}: {_ANEW}")
        return None
    if "turns" not in engine.maps:
        return Kept(present, pins.live / "maps", turn.FIRST)
    turns = pins.get("maps", "turns")
    try:
        return Kept(present, pins.live / "maps", turn.following(turns, present.cpus))
    finally:
        os.close(turns)


def stay(present: Stamp, wanted: str, say: Say) -> Stamp:
    """Without a replacement, what is loaded stays, whatever engine is wanted; refused if it cannot be read."""
    _check_present(present)
    engine = engines.ALL.get(present.engine)
    differs = ""
    if wanted not in ("auto", present.engine):
        differs = f" with engine {present.engine}; `load --replace` changes to {wanted} and counts anew"
    elif engine is None or present.digest != sources.digest(engine.sources):
        differs = "; its programs differ: `load --replace` exchanges them"
    say(f"already loaded by version {present.version}{differs}")
    return present


def _check_present(present: Stamp) -> None:
    if present.layout != sources.layout():
        raise Refused(
            "EEXIST",
            f"version {present.version} is loaded with layout {present.layout} of the counters, this one has "
            f"{sources.layout()}; run `containeragent load --replace`",
        )
