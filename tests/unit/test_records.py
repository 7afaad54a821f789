# SPDX-License-Identifier: Apache-2.0
"""The agent's records are those of bpf/records.h, field by field, and so are the constants that both sides use."""

from __future__ import annotations

import re

import numpy as np
import pytest

from containeragent import config
from containeragent.counters import hits, records
from containeragent.errors import Refused
from containeragent.host import cpus
from containeragent.loader import build, engines, load, sources
from containeragent.loader.sources import folder

_KINDS = {"s64": "i8", "u64": "u8", "s32": "i4", "u32": "u4", "u8": "u1"}


def _header() -> str:
    """records.h without comments."""
    return re.sub(r"/\*.*?\*/", "", (folder() / "records.h").read_text(), flags=re.S)


def _constants() -> dict[str, int]:
    found = re.findall(r"^#define (\w+)\s+(0x[0-9a-f]+|\d+)u?(?:ll)?\s*$", _header(), re.M)
    return {name: int(value, 0) for name, value in found}


def _fields(struct: str) -> list[tuple[str, str, tuple[int, ...]]]:
    """Name, numpy kind and shape of each field of a struct."""
    body = re.search(rf"^struct {struct} \{{(.*?)^\}};", _header(), re.M | re.S)
    assert body, f"records.h has no struct {struct}"
    constants = _constants()
    fields: list[tuple[str, str, tuple[int, ...]]] = []
    for kind, name, size in re.findall(r"(\w+) (\w+)(?:\[(\w+)\])?;", body[1]):
        shape = (int(size) if size.isdigit() else constants[size],) if size else ()
        fields.append((name, _KINDS[kind], shape))
    return fields


def _numpy_fields(dtype: np.dtype[np.void]) -> list[tuple[str, str, tuple[int, ...]]]:
    found = []
    for name in dtype.names or ():
        field = dtype[name]
        found.append((name, field.base.str.lstrip("<=|"), field.shape))
    return found


_PAIRS = {name.lower(): value for name, value in vars(records).items() if isinstance(value, np.dtype)}


def test_every_record_is_compared() -> None:
    """All structs of the header that the agent reads as arrays."""
    assert {"row", "group", "limit", "slot", "state", "end", "notice", "limit_notice", "oom_notice"} <= set(_PAIRS)


@pytest.mark.parametrize("struct", sorted(_PAIRS))
def test_fields(struct: str) -> None:
    """Names, kinds and order."""
    assert _numpy_fields(_PAIRS[struct]) == _fields(struct)


@pytest.mark.parametrize("struct", sorted(_PAIRS))
def test_no_holes(struct: str) -> None:
    """Every field is where C puts it: 64-bit ones at multiples of 8, nothing between, whole words at the end."""
    dtype, at = _PAIRS[struct], 0
    for name in dtype.names or ():
        field, offset = dtype.fields[name][:2] if dtype.fields else (dtype, -1)
        assert offset == at and at % field.base.itemsize == 0, name
        at += field.itemsize
    assert dtype.itemsize == at and at % 8 == 0


def test_cache_lines() -> None:
    """Two CPUs never write to one line of 64 bytes; a look at one whether there is a limit costs nothing."""
    assert records.ROW.itemsize % 64 == 0
    assert records.GROUP.itemsize == 64


def test_slot_numbers() -> None:
    """Nobody can ask for more slots than there are numbers, nor for more rows than the programs can count."""
    constants = _constants()
    assert constants["SLOT_MASK"] == records.SLOT_MASK == (1 << constants["SLOT_BITS"]) - 1 == config.MOST_SLOTS - 1


@pytest.mark.parametrize(("slots", "bits"), [(16, 16), (16384, 16), (16385, 17), (131072, 19), (1 << 20, 22)])
def test_cached_ids(slots: int, bits: int) -> None:
    """Four entries a slot; at least as many as the ids that an entry does not tell apart (bpf/common.h)."""
    assert build.ids_cached(slots) == 1 << bits


def test_too_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before anything is done."""
    monkeypatch.setattr(cpus, "possible", lambda: 4096)
    with pytest.raises(Refused, match="1048576 slots are too many for 4096 CPUs, which can have 524287"):
        load.load(load.Options(folder(), config.MOST_SLOTS), False, lambda _line: None)


def test_constants() -> None:
    """Numbers that stand on both sides."""
    constants = _constants()
    assert constants["SLOT_ROOT"] == records.SLOT_ROOT
    assert constants["BLOCK_PAGES"] == records.BLOCK_PAGES
    assert constants["LAYOUT"] == sources.layout()
    assert constants["ENDS"] == records.ENDS
    assert constants["COMM_BYTES"] == records.COMM_BYTES
    assert constants["NO_LIMIT"] == records.NO_LIMIT


def _ours(pattern: str) -> dict[str, int]:
    return {name: value for name, value in vars(records).items() if re.fullmatch(pattern, name)}


@pytest.mark.parametrize(
    ("enum", "ours"),
    [
        ("slot_state", _ours("SLOT_(FREE|LIVE|DEAD)")),
        ("notice_kind", _ours(r"NOTICE_\w+")),
        ("limit_flag", _ours("LIMIT_(ARMED|HIT|TOLD)")),
        ("limit_cause", {f"CAUSE_{member.name}": member.value for member in hits.Cause}),
    ],
)
def test_enumerators(enum: str, ours: dict[str, int]) -> None:
    """The same names with the same numbers, but for NOTICE_NONE, which nobody sends."""
    body = re.search(rf"enum {enum} \{{(.*?)\}}", _header())
    assert body
    theirs = {name.strip(): at for at, name in enumerate(body[1].split(","))}
    theirs.pop("NOTICE_NONE", None)
    assert theirs == ours


def test_owner_words() -> None:
    """What the agent knows of them is as the programs have it, one bit each above the slot."""
    constants = _constants()
    assert _ours(r"OWNER_\w+").items() <= constants.items()
    bits = [value for name, value in constants.items() if name.startswith("OWNER_")]
    assert all(value & (value - 1) == 0 and value > constants["SLOT_MASK"] for value in bits)
    assert len(set(bits)) == len(bits)


@pytest.mark.parametrize("engine", engines.ALL.values(), ids=str)
def test_every_map_is_kept(engine: engines.Engine) -> None:
    """What the sources let outlive the programs is what the loader pins."""
    text = sources.text(engine.sources)
    declared = re.findall(r"^KEPT_TABLE\(\"\w+\", .+?, .+?, (\w+), ", text, re.M)
    declared += re.findall(r"^KEPT_(?:QUEUE|RINGBUF)\((\w+),", text, re.M)
    assert sorted(declared) == sorted((*load.KEPT_MAPS, *engine.maps))
