# SPDX-License-Identifier: Apache-2.0
"""Which kernel functions engine fentry takes, and what an answer of the kernel to an empty program means."""

from __future__ import annotations

import errno
from typing import cast

import pytest

from containeragent import runnable
from containeragent.errors import Refused
from containeragent.host import functions
from containeragent.host.btf import Btf
from containeragent.loader import engines

OLD = {"__mod_lruvec_page_state", "page_add_new_anon_rmap", "page_add_anon_rmap", "mem_cgroup_migrate"}
NEW = {
    "__lruvec_stat_mod_folio",
    "lruvec_stat_mod_folio",
    "folio_add_new_anon_rmap",
    "folio_add_anon_rmap_ptes",
    "mem_cgroup_migrate",
}


class FakeBtf:
    """A kernel with these functions."""

    def __init__(self, names: set[str]) -> None:
        self.names = sorted(names)

    def function(self, name: str) -> int | None:
        """Its number."""
        return self.names.index(name) + 1 if name in self.names else None


def _btf(names: set[str]) -> Btf:
    return cast(Btf, FakeBtf(names))


def _kernel_answers(monkeypatch: pytest.MonkeyPatch, number: int) -> list[int]:
    """Loading the empty program fails with this errno (0: does not fail); the functions that it was tried on."""
    tried: list[int] = []

    def attach(function: int) -> None:
        tried.append(function)
        if number:
            raise OSError(number, "load")

    monkeypatch.setattr(runnable, "attach_nothing", attach)
    return tried


def test_functions_by_presence() -> None:
    """The first that is there; what only calls another one is not taken beside it."""
    assert functions.present(_btf(OLD)) == {
        "STAT_HOOK": "__mod_lruvec_page_state",
        "NEW_ANON_HOOK": "page_add_new_anon_rmap",
        "MORE_ANON_HOOK": "page_add_anon_rmap",
        "MIGRATE_HOOK": "mem_cgroup_migrate",
    }
    assert functions.present(_btf(NEW))["STAT_HOOK"] == "__lruvec_stat_mod_folio"
    assert functions.present(_btf(NEW - {"__lruvec_stat_mod_folio"}))["STAT_HOOK"] == "lruvec_stat_mod_folio"


def test_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loaded and attached; fentry is what "auto" takes then."""
    tried = _kernel_answers(monkeypatch, 0)
    assert functions.probe(_btf(NEW)).loads is True
    assert tried == [_btf(NEW).function("__lruvec_stat_mod_folio")]
    for wanted in ("auto", "fentry"):
        assert engines.choose(wanted, None, _btf(NEW)) == (engines.FENTRY, "")


@pytest.mark.parametrize(
    ("number", "loads"), [(errno.EPERM, False), (errno.EINVAL, False), (524, False), (errno.ENOMEM, None)]
)
def test_no_and_could_not_tell(monkeypatch: pytest.MonkeyPatch, number: int, loads: bool | None) -> None:
    """What is refused is named; memory that ran out says nothing about the kernel. Both get engine tracepoint."""
    _kernel_answers(monkeypatch, number)
    answer = functions.probe(_btf(NEW))
    assert answer.loads is loads and "__lruvec_stat_mod_folio" in answer.reason
    assert engines.choose("auto", None, _btf(NEW)) == (engines.TRACEPOINT, answer.reason)
    with pytest.raises(Refused, match="engine fentry does not load: ") as refused:
        engines.choose("fentry", None, _btf(NEW))
    assert refused.value.code == "ENOTSUP" and "\n" not in refused.value.message


def test_a_function_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, with those that would do."""
    tried = _kernel_answers(monkeypatch, 0)
    answer = functions.probe(_btf(OLD - {"page_add_new_anon_rmap"}))
    assert answer.loads is False
    assert answer.reason == ("this kernel's BTF has no function folio_add_new_anon_rmap or page_add_new_anon_rmap")
    assert not tried


def test_what_counts_already_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """ "auto" keeps the engine whose counters are there; asking by name changes it."""
    _kernel_answers(monkeypatch, 0)
    engine, reason = engines.choose("auto", "tracepoint", _btf(NEW))
    assert engine is engines.TRACEPOINT and "began with engine tracepoint" in reason
    assert engines.choose("fentry", "tracepoint", _btf(NEW)) == (engines.FENTRY, "")
    assert engines.choose("tracepoint", "fentry", _btf(NEW))[0] is engines.TRACEPOINT
