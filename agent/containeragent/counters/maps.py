# SPDX-License-Identifier: Apache-2.0
"""The kernel's counters as numpy arrays over mapped memory: reading them takes no system call.

In: map descriptors and the stamp that says how large they are. Out: views that change as the kernel counts. Every
number is 64 bits wide and aligned, so none is ever seen half written.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from containeragent import libbpf
from containeragent.counters import records
from containeragent.errors import Refused
from containeragent.pins import Pins
from containeragent.stamp import Stamp

Array = npt.NDArray[Any]


class CounterMaps:
    """`rows` is (cpus, slots), `groups`, `limits`, `slots` are (slots,), `state` is one record, `ends` (2 * ENDS,)."""

    def __init__(
        self, *, rows: Array, groups: Array, limits: Array, slots: Array, state: Array, seed_words: Array, ends: Array
    ) -> None:
        self.rows = rows
        self.groups = groups
        self.limits = limits
        self.slots = slots
        self.state = state
        self.seed_words = seed_words
        self.ends = ends

    def all_tasks(self) -> int:
        """Tasks counted on the whole host."""
        return int(self.groups["tasks"][records.SLOT_ROOT])

    @classmethod
    def from_descriptors(cls, descriptor_of: Callable[[str], int], stamp: Stamp, writable: bool = False) -> CounterMaps:
        """Map them by name; with `writable`, all but `rows` and `groups` can be written."""

        def view(name: str, dtype: Any, count: int, write: bool = False) -> Array:
            memory = libbpf.map_memory(descriptor_of(name), write)
            return np.frombuffer(memory, dtype=dtype, count=count)

        return cls(
            rows=view("rows", records.ROW, stamp.cpus * stamp.slots).reshape(stamp.cpus, stamp.slots),
            groups=view("groups", records.GROUP, stamp.slots),
            limits=view("limits", records.LIMIT, stamp.slots, writable),
            slots=view("slots", records.SLOT, stamp.slots, writable),
            state=view("state", records.STATE, 1, writable),
            seed_words=view("seed_words", np.uint32, records.BLOCK_PAGES, writable),
            ends=view("ends", records.END, 2 * records.ENDS, writable),
        )

    @classmethod
    def from_pins(cls, pins: Pins, stamp: Stamp) -> CounterMaps:
        """Map what is pinned. The mappings stay when the pins go."""
        if stamp.layout != records.LAYOUT:
            raise Refused(
                "EPROTO",
                f"version {stamp.version} loaded layout {stamp.layout} of the counters, this version reads layout "
                f"{records.LAYOUT}; run `containeragent load --replace`",
            )

        def descriptor_of(name: str) -> int:
            descriptor = pins.get("maps", name)
            opened.append(descriptor)
            return descriptor

        opened: list[int] = []
        try:
            return cls.from_descriptors(descriptor_of, stamp, writable=True)
        except (OSError, ValueError) as error:
            raise Refused("EIO", f"the counters under {pins.folder} cannot be mapped: {error}") from None
        finally:
            for descriptor in opened:
                os.close(descriptor)
