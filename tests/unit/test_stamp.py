# SPDX-License-Identifier: Apache-2.0
"""The stamp of what is loaded can be read by any version, or is refused."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given, strategies as st

from containeragent.errors import Refused
from containeragent.stamp import STAMP_BYTES, Stamp, decode

NUMBERS = st.integers(0, 2**32)
STAMPS = st.builds(
    Stamp,
    version=st.text(max_size=20),
    layout=NUMBERS,
    digest=st.text("0123456789abcdef", min_size=16, max_size=16),
    engine=st.sampled_from(["tracepoint", "fentry"]),
    slots=NUMBERS,
    cpus=NUMBERS,
    blocks=NUMBERS,
    tasks=NUMBERS,
    page_size=NUMBERS,
    loaded_at=st.floats(0, 1e12),
    seeded=st.booleans(),
)
STAMP = Stamp("1.2.3", 1, "0" * 16, "tracepoint", 2, 3, 4, 5, 4096, 6.5, True)


@given(STAMPS)
def test_back_and_forth(stamp: Stamp) -> None:
    """It fills the map's value exactly, and comes back as it was."""
    value = stamp.encode()
    assert len(value) == STAMP_BYTES
    assert decode(value) == stamp


def test_later_versions_may_add_fields() -> None:
    """What this version does not know is left out."""
    fields = dataclasses.asdict(STAMP) | {"something_new": [1, 2]}
    assert decode(json.dumps(fields).encode().ljust(STAMP_BYTES, b"\0")) == STAMP


@pytest.mark.parametrize(
    "name", [field.name for field in dataclasses.fields(Stamp) if field.default is dataclasses.MISSING]
)
def test_missing_field(name: str) -> None:
    """Nothing is made up."""
    fields = dataclasses.asdict(STAMP)
    del fields[name]
    _assert_refused(json.dumps(fields).encode())


@pytest.mark.parametrize(
    "value", [b"", b"\0" * STAMP_BYTES, b"{", b"[]", b"null", b'"x"', b"7", b"\xff\xfe{}", b"{}{}"]
)
def test_no_stamp(value: bytes) -> None:
    """Whatever else the map has."""
    _assert_refused(value)


@given(st.binary(max_size=STAMP_BYTES))
def test_any_bytes(value: bytes) -> None:
    """Refused in one way, never another exception."""
    _assert_refused(value)


def _assert_refused(value: bytes) -> None:
    with pytest.raises(Refused, match="load --replace") as refused:
        decode(value)
    assert refused.value.code == "EPROTO"
