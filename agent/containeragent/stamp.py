# SPDX-License-Identifier: Apache-2.0
"""The stamp in the pins: what loaded the programs, and how their maps are laid out.

It is a map of its own (bpf/maps.h, struct stamp) that holds this record as JSON, so that any version can read it.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from containeragent.errors import Refused

STAMP_BYTES = 1024


@dataclass(frozen=True)
class Stamp:
    """`digest` is of the BPF sources. `slots`, `cpus`, `blocks`, `tasks` are the sizes of bpf/records.h."""

    version: str
    layout: int
    digest: str
    engine: str
    slots: int
    cpus: int
    blocks: int
    tasks: int
    page_size: int
    loaded_at: float  # seconds since the epoch
    seeded: bool  # pages from before the load are counted too
    without_fentry: str = ""  # why that engine does not count
    without_denial: str = ""  # why forks beyond a limit are not denied

    def encode(self) -> bytes:
        """The map's value."""
        return json.dumps(dataclasses.asdict(self)).encode().ljust(STAMP_BYTES, b"\0")


def decode(value: bytes) -> Stamp:
    """The stamp of a map's value; fields that a later version added are left out."""
    try:
        fields = json.loads(value.rstrip(b"\0"))
        known = {field.name for field in dataclasses.fields(Stamp)}
        return Stamp(**{name: value for name, value in fields.items() if name in known})
    except (ValueError, AttributeError, TypeError):
        raise Refused(
            "EPROTO",
            "the pins have no stamp that this version can read; run `containeragent load --replace` to start anew",
        ) from None
