# SPDX-License-Identifier: Apache-2.0
"""Which engine counts: chosen by trying, refused by name where it does not load, changed by a replacement."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from containeragent import libbpf
from containeragent.errors import Refused
from containeragent.host import functions
from containeragent.host.btf import Btf
from containeragent.loader import build
from containeragent.loader.engines import FENTRY, Engine
from containeragent.loader.load import BPFFS, Options, load, unload
from containeragent.pins import Pins
from tests.kernel.conftest import MakeContainer, engines
from tests.kernel.support.comparing import compare_pages
from tests.kernel.support.counting import Counting, no_say
from tests.kernel.support.running import Running

OPTIONS = Options(BPFFS / f"test-{os.getpid()}-engine", slots=4096)


@pytest.fixture
def options() -> Iterator[Options]:
    """Of a folder that is removed afterwards."""
    yield OPTIONS
    unload(OPTIONS.bpffs, no_say)


def test_fentry_by_name(own: Counting, options: Options) -> None:
    """Loaded where the kernel lets it, else refused in one line that says why, and nothing is left."""
    answer = functions.probe(Btf())
    assert answer.loads is not None, answer.reason
    if answer.loads:
        assert (own.options.engine, own.stamp.engine, own.stamp.without_fentry) == ("fentry", "fentry", "")
        return
    with pytest.raises(Refused, match=r"^engine fentry does not load: .*; use --engine auto or tracepoint$") as refused:
        load(replace(options, engine="fentry"), False, no_say)
    assert refused.value.code == "ENOTSUP" and answer.reason in refused.value.message
    assert not options.bpffs.exists()


def test_auto_is_the_best_that_loads(counting: Counting) -> None:
    """And says why it is not fentry where it is not."""
    stamp = counting.stamp
    assert (counting.options.engine, stamp.engine) == ("auto", engines()[0])
    assert (stamp.without_fentry == "") == (stamp.engine == "fentry")


@pytest.mark.every_engine
def test_far_from_the_verifiers_limit(counting: Counting) -> None:
    """A million steps: what is near it here, another kernel's verifier refuses, and `auto` takes a lesser engine."""
    steps = {}
    for name in counting.pins.names("programs"):
        descriptor = counting.pins.get("programs", name)
        steps[name] = libbpf.program_info(descriptor).verified_instructions
        os.close(descriptor)
    assert steps and max(steps.values()) < 400_000, steps


def test_auto_goes_on_where_the_programs_are_refused(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty program may load where one of ours does not: then tracepoint counts, and the reason is kept."""
    built = build.built

    def refuse(btf: Btf, engine: Engine, *rest: Any) -> build.Built:
        if engine is FENTRY:
            raise Refused("EACCES", "the kernel refused the BPF program of the test")
        return built(btf, engine, *rest)

    monkeypatch.setattr(functions, "probe", lambda _btf: functions.Answer(True))
    monkeypatch.setattr(build, "built", refuse)
    said: list[str] = []
    stamp = load(options, False, said.append)
    assert (stamp.engine, stamp.without_fentry) == ("tracepoint", "the kernel refused the BPF program of the test")
    assert f"engine fentry does not load, tracepoint takes its place: {stamp.without_fentry}" in said


@pytest.mark.every_engine
def test_counting_outlives_the_loader(own: Counting, make_container: MakeContainer) -> None:
    """Links are pinned: a process that loaded and ended leaves programs that count."""
    line = [sys.executable, "-m", "containeragent", "load", "--replace", "--bpffs", str(own.options.bpffs)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"engine {own.stamp.engine}\n")
    own.map_again()
    compare_pages(own, make_container("after"), "anon", "touch_and_drop")


def test_change_of_engine(own: Counting, make_container: MakeContainer) -> None:
    """To each that loads and back: begun anew, with what it means said, and "auto" stays with what counts."""
    kinds = [*engines(), engines()[0]]
    with Running(make_container("changing"), "anon", "storm", 2, 4) as running:
        for rest in running.rests():
            for before, after in pairwise(kinds) if rest.label == "faulting" else ():
                _change(own, before, after)
    assert own.pins.loaded() and Pins(own.options.bpffs).stamp() == own.stamp
    compare_pages(own, make_container("afterwards"), "files", "shared_anon")


def _change(counting: Counting, before: str, after: str) -> None:
    said: list[str] = []
    auto = replace(counting.options, engine="auto")
    assert load(auto, False, said.append).engine == before
    stamp = load(replace(auto, engine=after), True, said.append)
    assert stamp.engine == after
    told = f"counters of engine {before} cannot be carried over to {after}: totals and peaks begin anew"
    assert any(line.startswith(told) for line in said) == (before != after)
    if after != "fentry":  # which it would prefer
        assert load(auto, True, no_say).engine == after
    counting.map_again()
