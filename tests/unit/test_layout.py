# SPDX-License-Identifier: Apache-2.0
"""The running kernel's layouts become C definitions; what a kernel lacks is named, or left out."""

from __future__ import annotations

import platform
import re
from collections.abc import Container
from typing import cast

import pytest

from containeragent.errors import Refused
from containeragent.host.btf import Btf
from containeragent.loader import engines, fentry_layout, kernel_layout, sources
from containeragent.loader.kernel_layout import REQUIRED_TRACEPOINTS, definitions, has_migration_events, header

SIZES = ("VMEMMAP_BASE", "SLOTS", "IDS_CACHED", "CPUS", "BLOCKS", "TASKS", "TURN", "LOADER_THREAD", "KEPT_IN")


class FakeBtf:
    """A kernel that has everything but what `without` names."""

    def __init__(self, without: Container[str] = ()) -> None:
        self.without = without

    def offset(self, struct: str, member: str) -> int | None:
        """A number of its own for each member."""
        return None if f"{struct}.{member}" in self.without else 1 + sum((struct + member).encode())

    def size(self, struct: str) -> int | None:
        """As struct page has."""
        return None if struct in self.without else 64

    def enumerator(self, enum: str, name: str) -> int | None:
        """Bit numbers."""
        return None if name in self.without else len(name)

    def anonymous_enumerator(self, name: str) -> int | None:
        """Bit numbers of allocation flags."""
        return None if name in self.without else {"___GFP_MOVABLE_BIT": 3, "___GFP_HARDWALL_BIT": 17}.get(name, 8)

    def function(self, name: str) -> int | None:
        """Numbers of types."""
        return None if name in self.without else 7

    def has_tracepoint(self, name: str) -> bool:
        """Whether it is there."""
        return name not in self.without


def _btf(*without: str) -> Btf:
    return cast(Btf, FakeBtf(without))


def _defined(text: str) -> dict[str, str]:
    return dict(re.findall(r"^#define (\w+)(?:\([a-z]\))? (.+)$", text, re.M))


@pytest.mark.parametrize("engine", engines.ALL.values(), ids=str)
def test_every_name_in_the_sources_is_defined(engine: engines.Engine) -> None:
    """Names in capitals that the sources use and do not define come from here or are the loader's sizes."""
    text = re.sub(r"/\*.*?\*/", "", sources.text(engine.sources + sources.CALIBRATION), flags=re.S)
    text = re.sub(r'"[^"\n]*"', "", text)
    own = set(re.findall(r"#define (\w+)", text)) | {"NULL"}
    own |= {name for body in re.findall(r"\benum \w* ?\{(.*?)\}", text, re.S) for name in re.findall(r"\w+", body)}
    own |= set(re.findall(r"\b(?:BPF|KEPT|RAW|HAVE)_\w+", text))
    used = set(re.findall(r"\b[A-Z][A-Z0-9_]{2,}\b", text))
    given = set(_defined(header(_btf()) + engine.header(_btf()))) | set(SIZES)
    assert used - own <= given


@pytest.mark.parametrize("name", REQUIRED_TRACEPOINTS)
def test_required_tracepoint(name: str) -> None:
    """The error names the one that is missing."""
    with pytest.raises(Refused, match=f"no tracepoint {name}:") as refused:
        header(_btf(name))
    assert refused.value.code == "ENOTSUP"


@pytest.mark.parametrize(
    "missing", ["task_struct.cgroups", "css_set.dfl_cgrp", "kernfs_node.id", "page.flags", "PG_head", "PG_lru", "page"]
)
def test_required_layout(missing: str) -> None:
    """Every offset, size and flag is needed; the error names it."""
    named = "struct page" if missing == "page" else missing
    with pytest.raises(Refused, match=f"BTF has no {re.escape(named)}"):
        definitions(_btf(missing))


@pytest.mark.parametrize(
    "missing", ["mem_cgroup.css", "obj_cgroup.memcg", "memory_cgrp_id", "NR_FILE_MAPPED", "css_set.subsys"]
)
def test_required_layout_of_fentry(missing: str) -> None:
    """The same for what only that engine needs."""
    with pytest.raises(Refused, match=f"BTF has no {re.escape(missing)}, which engine fentry needs"):
        fentry_layout.header(_btf(missing))


def test_hooks_of_fentry() -> None:
    """Names of functions, and where the one that has it elsewhere has its vm_area_struct."""
    assert _defined(fentry_layout.header(_btf()))["STAT_HOOK"] == "__lruvec_stat_mod_folio"
    assert _defined(fentry_layout.header(_btf()))["MORE_ANON_VMA"] == "3"
    old = _defined(fentry_layout.header(_btf("folio_add_anon_rmap_ptes", "do_page_add_anon_rmap")))
    assert (old["MORE_ANON_HOOK"], old["MORE_ANON_VMA"]) == ("page_add_anon_rmap", "1")
    with pytest.raises(Refused, match="no function for MIGRATE_HOOK"):
        fentry_layout.header(_btf("mem_cgroup_migrate"))


def test_order_of_a_folio() -> None:
    """Its own field until v6.5, the first tail's flags since, the second struct page before folios had either."""
    fake, tail = FakeBtf(), FakeBtf(["folio._folio_order"])
    old = FakeBtf(["folio._folio_order", "folio._flags_1"])
    assert definitions(cast(Btf, fake))["FOLIO_ORDER"] == fake.offset("folio", "_folio_order")
    assert definitions(cast(Btf, tail))["FOLIO_ORDER"] == fake.offset("folio", "_flags_1")
    assert definitions(cast(Btf, old))["FOLIO_ORDER"] == 64 + (fake.offset("page", "compound_order") or 0)
    with pytest.raises(Refused, match="folio order"):
        definitions(_btf("folio._folio_order", "folio._flags_1", "page.compound_order"))


def test_allocation_flags() -> None:
    """Enumerators since v6.9, numbers before."""
    assert definitions(_btf())["GFP_USER_MOVABLE"] == 1 << 3 | 1 << 17
    old = definitions(_btf("___GFP_MOVABLE_BIT", "___GFP_HARDWALL_BIT"))
    assert old["GFP_USER_MOVABLE"] == 0x8 | 0x100000


def test_large_numbers_are_unsigned() -> None:
    """C takes decimal constants for signed ones."""
    defined = _defined(header(_btf(), VMEMMAP_BASE=0xFFFFEA0000000000, SLOTS=16384))
    assert (defined["VMEMMAP_BASE"], defined["SLOTS"]) == (f"{0xFFFFEA0000000000}ull", "16384")


@pytest.mark.parametrize("name", kernel_layout.MIGRATION_TRACEPOINTS)
def test_migration_is_followed_whole_or_not(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """All its tracepoints, on x86-64."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert has_migration_events(_btf()) and "HAVE_MIGRATION_EVENTS" in _defined(header(_btf()))
    assert "HAVE_MIGRATION_EVENTS" not in _defined(header(_btf(name)))
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert not has_migration_events(_btf())


def test_collapse_is_followed_as_far_as_there_are_events() -> None:
    """Linux before v6.2 tells of anonymous memory only."""
    assert {"HAVE_COLLAPSE_EVENT", "HAVE_FILE_COLLAPSE_EVENT"} <= _defined(header(_btf())).keys()
    old = _defined(header(_btf(kernel_layout.FILE_COLLAPSE_TRACEPOINT)))
    assert "HAVE_COLLAPSE_EVENT" in old and "HAVE_FILE_COLLAPSE_EVENT" not in old
    assert "HAVE_FILE_COLLAPSE_EVENT" not in _defined(header(_btf(kernel_layout.COLLAPSE_TRACEPOINT)))


def _frame_of_x86_entry(entry: int) -> int:
    """What MIGRATION_ENTRY_FRAME says, calculated here as C would."""
    expression = _defined(header(_btf()))["MIGRATION_ENTRY_FRAME"]
    assert expression == "(((~(e) << 5) >> 14) & ((1ull << 34) - 1))"
    return (((~entry << 5) & (2**64 - 1)) >> 14) & ((1 << 34) - 1)


@pytest.mark.parametrize("frame", [0, 1, 0x12345, 2**34 - 1])
@pytest.mark.parametrize("kind", [0, 29, 30, 31])
def test_x86_migration_entry(monkeypatch: pytest.MonkeyPatch, frame: int, kind: int) -> None:
    """As __swp_entry() of arch/x86/include/asm/pgtable_64.h builds it, flags of the swap offset above 34 bits aside."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    offset = frame | 0b101 << 40
    entry = ((~offset & (2**64 - 1)) << 14 & (2**64 - 1)) >> 5 | kind << 59
    assert _frame_of_x86_entry(entry) == frame
