# SPDX-License-Identifier: Apache-2.0
"""A TOML file that knows its lines: each key's, and that of whatever is no TOML."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from containeragent import toml_file
from containeragent.errors import Refused
from containeragent.toml_file import parse

FILE = Path("/etc/x.toml")
TEXT = """# a comment
one = 1
two = [
  "a",
  "b",
] # the end
three.four = 4

[table]
text = \"\"\"
[not.a.table]
one = 2\"\"\"
[table."/a/b"]
"quoted key" = { in = 1 }

[[many]]
x = 1
[[many]]
x = 2
"""


@pytest.mark.parametrize(
    "keys, line",
    [
        (("one",), 2),
        (("two",), 3),
        (("two", 1), 3),
        (("three",), 7),
        (("three", "four"), 7),
        (("table",), 9),
        (("table", "text"), 10),
        (("table", "/a/b"), 13),
        (("table", "/a/b", "quoted key"), 14),
        (("table", "/a/b", "quoted key", "in"), 14),
        (("many",), 16),
        (("many", 0, "x"), 17),
        (("many", 1), 18),
        (("many", 1, "x"), 19),
    ],
)
def test_lines_of_keys(keys: tuple[str | int, ...], line: int) -> None:
    """That of the beginning of the statement that a key is first there with."""
    assert parse(FILE, TEXT.encode()).place(*keys) == f"/etc/x.toml:{line}"


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_any_number_of_lines_between(gaps: list[int]) -> None:
    """Empty lines and comments belong to no key."""
    text, lines = "", []
    for number, gap in enumerate(gaps):
        text += "#\n" * (gap // 2) + "\n" * gap
        lines.append(text.count("\n") + 1)
        text += f"key{number} = [\n1]\n" if gap % 2 else f"key{number} = 1\n"
    file = parse(FILE, text.encode())
    assert [file.place(f"key{number}") for number in range(len(gaps))] == [f"{FILE}:{line}" for line in lines]


@pytest.mark.parametrize(
    "raw, start",
    [
        (b"a = 1\nb = \n", "/etc/x.toml:2: "),
        (b"a = 1\na = 2\n", "/etc/x.toml:2: "),
        (b"a = 1\n\nb = '\xff'\n", "/etc/x.toml:3: this is not UTF-8"),
        (b"\xff\xfea\0", "/etc/x.toml:1: this is not UTF-8"),
        (b"a = '\0'", "/etc/x.toml:1: "),
        (b"a\0 = 1", "/etc/x.toml:1: "),
        (b"\n\na = '''", "/etc/x.toml:3: "),
        (b"[a]\n[b]\n[a]\n", "/etc/x.toml:3: "),
        (b"a = 1\nb = 0x8000000000000000", "/etc/x.toml:2: this number has more than the 64 bits that TOML knows"),
        (b"a = 1\n[t]\nb = [1, -9223372036854775809]", "/etc/x.toml:3: this number has more than the 64 bits"),
        (b"a = " + b"1" * 5000, "/etc/x.toml: a number in it has thousands of digits"),
        (b"a = 0x" + b"f" * 50000, "/etc/x.toml:1: this number has more than the 64 bits"),
        (b"a = " + b"[" * 5000, "/etc/x.toml: it is nested too deeply"),
        (b"a = 1\n" + b"a" + b".a" * 5000 + b" = 1", "/etc/x.toml:2: "),
        (b"x = 1\n" + b"a" + b".a" * 64 + b" = 1", "/etc/x.toml:2: it is nested too deeply"),
    ],
)
def test_what_is_refused(raw: bytes, start: str) -> None:
    """In one line that says where."""
    with pytest.raises(Refused) as caught:
        parse(FILE, raw)
    assert caught.value.message.startswith(start) and caught.value.message.isprintable()
    assert len(caught.value.message) < 300


def test_the_largest_numbers_are_good() -> None:
    """64 bits with a sign."""
    assert parse(FILE, b"a = 9223372036854775807\nb = -9223372036854775808").values["a"] == (1 << 63) - 1


@given(st.binary(max_size=200) | st.text(alphabet="ab[]=\"'.,#{}\\\n\r\t\0 10xu", max_size=60).map(str.encode))
def test_whatever_stands_in_it(raw: bytes) -> None:
    """It is read, and has lines, or it is refused in one line."""
    try:
        file = parse(FILE, raw)
    except Refused as refused:
        assert refused.message.startswith("/etc/x.toml") and refused.message.isprintable()
        return
    for key in file.values:
        line = int(file.place(key).rpartition(":")[2])
        assert 1 <= line <= raw.count(b"\n") + 1


def test_a_path_cannot_end_the_line() -> None:
    """Nor colour a terminal."""
    file = parse(Path("/etc/a\nb\x1b[1m.toml"), b"a = 1")
    assert file.mistake("wrong", "a").message == "/etc/a\\x0ab\\x1b[1m.toml:1: wrong"


def test_what_is_said_of_an_unknown_key() -> None:
    """The one that was meant, else all."""
    assert toml_file.no_such_key("task_limt", ["task_limit", "owner"]).endswith("did you mean task_limit?")
    assert toml_file.no_such_key("x", ["task_limit", "owner"]).endswith("known are task_limit, owner")
