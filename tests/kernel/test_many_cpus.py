# SPDX-License-Identifier: Apache-2.0
"""The programs are verified for hosts with more CPUs than this one: some go through every CPU's rows."""

from __future__ import annotations

import os

import pytest

from containeragent import libbpf
from containeragent.host import cpus
from containeragent.loader.load import BPFFS, Options, load, unload
from containeragent.pins import Pins
from tests.kernel.conftest import engines
from tests.kernel.support.counting import no_say


@pytest.mark.parametrize("engine", engines())
@pytest.mark.parametrize("number", [1, 4, 512])
def test_loads_with_so_many(number: int, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And keeps a distance to the verifier's limit of a million. Each CPU has room for the pages that it moves."""
    monkeypatch.setattr(cpus, "possible", lambda: max(number, os.cpu_count() or 1))
    options = Options(BPFFS / f"test-{os.getpid()}-cpus", slots=512, engine=engine)
    try:
        assert load(options, False, no_say).cpus >= number
        pins, steps = Pins(options.bpffs), {}
        for name in pins.names("programs"):
            descriptor = pins.get("programs", name)
            steps[name] = libbpf.program_info(descriptor).verified_instructions
            os.close(descriptor)
        assert steps and max(steps.values()) < 800_000, steps
        for name in {"moves", "taken"} & set(pins.names("maps")):
            descriptor = pins.get("maps", name)
            assert libbpf.map_info(descriptor).max_entries >= 1024 * number, name
            os.close(descriptor)
    finally:
        unload(options.bpffs, no_say)
