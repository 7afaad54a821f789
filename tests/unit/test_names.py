# SPDX-License-Identifier: Apache-2.0
"""Names of containers: what parses, what is refused and in which words."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from containeragent.cgroups.names import join, parse
from containeragent.errors import Refused

CONTROL = "".join(map(chr, [*range(32), *range(127, 160)]))
PART = (
    st.text(st.characters(codec="utf-8", exclude_characters="/" + CONTROL), min_size=1, max_size=60)
    .filter(lambda part: part not in (".", "..") and not part.startswith("-"))
    .filter(lambda part: part.partition(".")[0] not in ("cgroup", "cpu", "memory", "io", "pids", "misc", "debug"))
)


def refusal(name: object) -> str:
    """The message of a name that must be refused."""
    with pytest.raises(Refused) as caught:
        parse(name)
    assert caught.value.code == "EINVAL"
    return caught.value.message


@given(st.lists(PART, max_size=12).map(tuple))
def test_parse_undoes_join(parts: tuple[str, ...]) -> None:
    """Whatever the components."""
    assert parse(join(parts)) == parts


@given(
    st.one_of(st.text(), st.text(st.characters()), st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
)
def test_anything_parses_or_is_refused_in_one_printable_line(name: str) -> None:
    """No other exception, and what parses is stable."""
    try:
        parts = parse(name)
    except Refused as refused:
        assert refused.code == "EINVAL" and refused.message.isprintable() and len(refused.message) < 1500
    else:
        assert parse(join(parts)) == parts and all(0 < len(part.encode()) <= 255 for part in parts)


@pytest.mark.parametrize("name", [None, 7, b"web", ["web"], {"name": "web"}, True, 1.5])
def test_what_is_no_text_is_refused(name: object) -> None:
    """JSON carries any type."""
    refusal(name)


@pytest.mark.parametrize(
    "name, parts",
    [
        ("/", ()),
        ("web", ("web",)),
        ("/web", ("web",)),
        ("/web/db", ("web", "db")),
        ("a-b.c", ("a-b.c",)),
        ("memory", ("memory",)),
        ("memories.x", ("memories.x",)),
        ("...", ("...",)),
        ("x" * 255, ("x" * 255,)),
        ("ß" * 127, ("ß" * 127,)),
    ],
)
def test_good_names(name: str, parts: tuple[str, ...]) -> None:
    """A slash in front may be left out."""
    assert parse(name) == parts


@pytest.mark.parametrize(
    "name, why",
    [
        ("", "empty"),
        ("//", "empty component"),
        ("web/", "empty component"),
        ("a//b", "empty component"),
        (".", "not allowed"),
        ("/..", "not allowed"),
        ("a/../b", "not allowed"),
        ("a\0b", "control characters"),
        ("a\nb", "control characters"),
        ("a\x7f", "control characters"),
        ("a\x85", "control characters"),
        ("\ud800", "not UTF-8"),
        ("a\udcff", "not UTF-8"),
        ("x" * 256, "256 bytes"),
        ("ß" * 128, "256 bytes"),
        ("x/" * 2000 + "x", "more than 3072 bytes"),
        ("-tasks", "dash"),
        ("a/-agent", "dash"),
        ("cgroup.procs", "cgroup."),
        ("memory.y", "memory."),
        ("hugetlb.2MB.max", "hugetlb."),
    ],
)
def test_bad_names(name: str, why: str) -> None:
    """The message says why, and is short and printable whatever the name."""
    message = refusal(name)
    assert why in message and message.isprintable() and len(message) < 500
