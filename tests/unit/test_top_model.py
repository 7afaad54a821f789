# SPDX-License-Identifier: Apache-2.0
"""The live view without a terminal: answers and keys come in, rows, lines and the bytes that change go out."""

import zlib
from typing import Any

import pytest
from rich.cells import cell_len
from rich.color import ColorSystem

from containerctl.top import detail, draw
from containerctl.top.draw import ASCII, UNICODE, Field
from containerctl.top.keys import Keys
from containerctl.top.model import HISTORY, Model, Sample, ordered, tree
from containerctl.top.screen import Screen
from containerctl.top.view import MOST_ROWS, View


def document(name: str, **values: Any) -> dict[str, Any]:
    """A container of /v1/top, zeros but for `values`; its id is made of its name."""
    zeros = dict.fromkeys("num_tasks num_anon_pages num_file_pages forks peak_tasks peak_pages".split(), 0)
    whole = {"name": name, "cgroup": "/c" + name.rstrip("/"), "id": zlib.crc32(name.encode()), "managed": True}
    limits = {"task_limit": None, "page_limit": None, "task_limit_hits": None, "page_limit_hits": None}
    return {**zeros, **limits, **whole, "page_size": 4096, "page_faults": None, "partial_pages": False} | values


def answer(*documents: dict[str, Any], matched: int | None = None) -> dict[str, Any]:
    """Of /v1/top."""
    count = len(documents) if matched is None else matched
    return {"matched": count, "total": count, "containers": list(documents)}


def known(*documents: dict[str, Any], sort: str = "memory") -> Model:
    """A model that has one answer."""
    made = Model()
    made.update(answer(*documents), 1.0, sort)
    return made


def names(rows: list[Any]) -> list[str]:
    return [row.name for row in rows]


def test_rates_are_those_between_two_answers() -> None:
    """Unknown at first, and where the kernel tells no page faults; what began anew is no negative rate."""
    made = known(document("/a", forks=10, page_faults=100), document("/b", forks=None))
    assert {row.forks_per_second for row in made.rows} == {None}
    made.update(answer(document("/a", forks=20, page_faults=150), document("/b", forks=4)), 3.0, "name")
    assert [(row.forks_per_second, row.faults_per_second) for row in made.rows] == [(5.0, 25.0), (None, None)]
    made.update(answer(document("/a", forks=1)), 4.0, "name")
    assert made.rows[0].forks_per_second == 0


def test_a_hit_is_seen_for_a_while() -> None:
    """Not one from before the first look."""
    made = known(document("/a", task_limit_hits=3, page_limit_hits=None))
    assert made.rows[0].hits == 3 and not made.rows[0].just_hit
    seen = []
    for now, hits in ((2.0, 4), (11.0, 4), (12.5, 4)):
        made.update(answer(document("/a", task_limit_hits=hits)), now, "name")
        seen.append(made.rows[0].just_hit)
    assert seen == [True, True, False]


def test_histories_are_bounded_and_forgotten() -> None:
    """Of containers that are gone, after a while."""
    made = Model()
    for number in range(2 * HISTORY):
        made.update(answer(document("/a", num_tasks=number)), float(number), "name")
    past = made.history(zlib.crc32(b"/a"))
    assert len(past) == HISTORY and past[-1].tasks == 2 * HISTORY - 1
    for number in range(40):
        made.update(answer(), 1000.0 + number, "name")
    assert made.history(zlib.crc32(b"/a")) == []


def test_order() -> None:
    """The most first, unknown last, names where figures are equal."""
    rows = known(
        document("/a", num_anon_pages=1), document("/d", num_anon_pages=None),
        document("/c", num_anon_pages=1, num_tasks=9), document("/b", num_anon_pages=5),
    ).rows  # fmt: skip
    assert names(ordered(rows, "memory")) == ["/b", "/a", "/c", "/d"]
    assert names(ordered(rows, "tasks")) == ["/c", "/a", "/b", "/d"]
    assert names(ordered(rows, "forks")) == names(ordered(rows, "name")) == ["/a", "/b", "/c", "/d"]


def test_tree() -> None:
    """Below the closest that is there, in the order that siblings have; labels leave out what is above."""
    rows = known(*(document(name) for name in ("/", "/web", "/web/db", "/x/y/z", "/web/app"))).rows
    places = tree(ordered(rows, "name"))
    assert [(place.label, place.guides) for place in places] == [
        ("/", ()),
        ("web", (True,)),
        ("app", (True, True)),
        ("db", (True, False)),
        ("x/y/z", (False,)),
    ]
    assert draw.label(places[2], UNICODE) == "│  ├─ app" and draw.label(places[3], ASCII) == "|  `- db"
    lonely = known(document("/web/db")).rows
    assert tree(lonely)[0].label == "/web/db"


def arranged(count: int = 30, **settings: Any) -> View:
    """A view of so many containers, each with less memory than the one before."""
    view = View(**settings)
    view.arrange(known(*(document(f"/c{at:03}", num_anon_pages=count - at) for at in range(count))))
    return view


def press(view: View, *keys: str) -> list[bool]:
    return [view.press(key) for key in keys]


def test_the_selected_one_stays_in_sight() -> None:
    """Also when others come before it; who has selected nobody looks at the first."""
    view = arranged(as_tree=False)
    assert view.room == 20 and view.at == 0
    press(view, "pagedown", "down", "j")
    assert (view.at, view.first) == (22, 3)
    view.arrange(known(*(document(f"/c{at:03}", num_anon_pages=at) for at in range(30))))
    assert view.places[view.at].row.name == "/c022" and view.first <= view.at < view.first + view.room
    press(view, "end")
    assert (view.at, view.first) == (29, 10)
    press(view, "home")
    assert (view.at, view.first, view.selected) == (0, 0, None)
    assert press(View(), "down", "enter", "end") == [False, False, False]


def test_enough_is_asked_for() -> None:
    """More as one scrolls on, to a bound."""
    view = arranged(3000, height=50, as_tree=False)
    assert view.query() == {"sort": "memory", "limit": 100, "filter": "", "tree": "false", "all": "false"}
    press(view, *["pagedown"] * 3)
    assert view.query()["limit"] == 3 * 46 + 100
    press(view, "end")
    assert view.query()["limit"] == MOST_ROWS


def test_keys() -> None:
    """Those that change what is asked for say so."""
    view = arranged()
    assert press(view, "s", "S", "S", "t", "a", " ") == [True] * 6
    assert (view.sort, view.as_tree, view.everything) == ("name", False, True)
    assert press(view, "x", "h", "q") == [False] * 3 and not view.ended and not view.help
    press(view, "q")
    assert view.ended


def test_a_filter_is_typed() -> None:
    """Letters are not commands then; Escape leaves it as it was, and later takes it away."""
    view = arranged()
    assert press(view, "/", "q", "s", "x", "backspace", "enter") == [False] * 5 + [True]
    assert view.text == "qs" and not view.ended
    press(view, "/", "y", "escape")
    assert view.text == "qs" and view.typing is None
    assert press(view, "escape") == [True] and view.text == ""


def test_details() -> None:
    """Of the selected one; q and others lead back."""
    view = arranged()
    for back in ("q", "escape", "enter"):
        assert press(view, "down", "enter") == [False, True] and view.detail is not None
        assert press(view, "down", "/") == [False, False] and view.typing is None
        assert press(view, back) == [True] and view.detail is None and not view.ended


@pytest.mark.parametrize(
    "raw, keys",
    [
        ([b"q"], ["q"]),
        ([b"\x1b[A\x1b[B\x1bOA"], ["up", "down", "up"]),
        ([b"\x1b[", b"5~", b"\x1b[6~"], ["pageup", "pagedown"]),
        ([b"\x1b"], ["escape"]),
        ([b"\r\n\x7f"], ["enter", "enter", "backspace"]),
        ([b"\xc3", b"\xb6"], ["ö"]),
        ([b"\x1b[200~x\x00\x1b[1;5C"], ["x"]),
        ([b"\xff"], []),
    ],
)
def test_keys_of_terminals(raw: list[bytes], keys: list[str]) -> None:
    """Also when they come in pieces; unknown ones are nothing."""
    made = Keys()
    assert [key for piece in raw for key in made.feed(piece)] == keys


@pytest.mark.parametrize(
    "count, text",
    [(None, "-"), (0, "0B"), (999, "999B"), (1000, "1.0K"), (102400, "100K"), (1023 << 20, "1.0G"), (1 << 63, "8.0E")],
)
def test_compact_sizes(count: int | None, text: str) -> None:
    """Few characters."""
    assert draw.compact(count) == text and len(text) <= 5


def test_rates_are_short() -> None:
    """And unknown is -."""
    assert [draw.rate(found) for found in (None, 0, 0.44, 9.94, 23.4, 123456)] == ["-", "0", "0.4", "9.9", "23", "123k"]


def test_bars() -> None:
    """None without a limit; full and red at it, also at a limit of 0."""
    assert draw.bar(5, None, 4, UNICODE) == draw.bar(None, 5, 4, UNICODE) == Field("    ")
    assert draw.bar(1, 4, 4, ASCII) == Field("#...", "green")
    assert draw.bar(9, 4, 4, ASCII) == draw.bar(0, 0, 4, ASCII) == Field("####", "red")


ODD = document("/odd\x1b[2J漢漢\n" + "x" * 99, num_tasks=3, num_anon_pages=9, task_limit=3, partial_pages=True)


@pytest.mark.parametrize("width, height", [(20, 6), (80, 24), (81, 25), (200, 50), (500, 9)])
def test_every_line_fits(width: int, height: int) -> None:
    """Whatever the size and the names, in every mode; control characters do not get through."""
    made = known(document("/"), ODD, *(document(f"/c{at}") for at in range(60)))
    view = View(width=width, height=height, text="\x1b", message="")
    view.arrange(made)
    row = made.rows[0]
    screens = [draw.screen(made, view, "12:00:00", UNICODE)]
    screens.append(detail.screen(row._replace(document=ODD), made.history(row.id), view, "12:00:00", UNICODE))
    view.help = True
    screens.append(draw.screen(made, view, "12:00:00", UNICODE))
    for lines in screens:
        assert len(lines) == height
        for line in lines:
            text = "".join(field.text for field in line)
            assert cell_len(text) <= width and text.isprintable(), text
    assert any("odd\\x1b" in field.text for line in screens[0] for field in line) or width == 20


def test_a_row_at_80_columns() -> None:
    """Everything is there; a hit is red."""
    made = known(document("/web", num_tasks=45, task_limit=50, num_anon_pages=512, task_limit_hits=1))
    made.update(
        answer(document("/web", num_tasks=45, task_limit=50, num_anon_pages=512, task_limit_hits=2)), 3.0, "name"
    )
    view = View()
    view.arrange(made)
    (line,) = draw.screen(made, view, "12:00:00", ASCII)[3:4]
    text = "".join(field.text for field in line)
    assert text == "/web                      45 ######.   2.0M     0B               0       -     2"
    assert {field.style for field in line} == {"bold red reverse"}


def test_sparkline() -> None:
    """The newest at the right, a gap for unknown, from 0 to the highest."""
    assert detail.sparkline([1, None, 4, 8], 6, UNICODE) == "  ▂ ▅█"
    assert detail.sparkline([0, 0], 2, UNICODE) == "▁▁"
    assert detail.sparkline([9, 1, 2], 2, UNICODE) == "▅█"


def test_details_have_a_history() -> None:
    """Of what is known."""
    made = known(document("/a", num_tasks=1, num_anon_pages=3))
    row = made.observe(document("/a", num_tasks=2, forks=4, attributes={"cpu.usage_seconds": 1.5}), 3.0)
    text = [
        "".join(field.text for field in line) for line in detail.screen(row, made.history(row.id), View(), "", ASCII)
    ]
    assert any(line.split()[:2] == ["forks/s", "2.0"] for line in text)
    assert any(line.split() == ["tasks", "2", "=#", "max", "2"] for line in text)
    assert not any(line.startswith("faults/s") for line in text) and "cpu.usage_seconds 1.5" in text
    assert made.history(row.id)[-1] == Sample(0, 2, 2.0, None)


def test_only_what_differs_is_sent() -> None:
    """A field, the whole line where its fields lie otherwise, nothing at all."""
    made = Screen(ColorSystem.STANDARD)
    first = [[Field("abc", "bold"), Field(" 1"), Field(" 2")], [Field("x")]]
    whole = made.change(first, 7)
    assert "\x1b[2J" in whole and "\x1b[1mabc\x1b[0m 1 2" in whole
    assert made.change(first, 7) == ""
    changed = made.change([[Field("abc", "bold"), Field(" 3"), Field(" 4")], [Field("x")]], 7)
    assert changed == "\x1b[?2026h\x1b[1;4H 3 4\x1b[?2026l"
    longer = made.change([[Field("abc", "bold"), Field(" 3"), Field(" 45")], [Field("yy")]], 8)
    assert "abc" in longer and "\x1b[2Hyy\x1b[K" in longer and longer.count("\x1b[K") == 1
    made.forget()
    assert "\x1b[2J" in made.change(first, 7)


def test_no_colours_where_they_are_not_wanted() -> None:
    """Text alone."""
    assert "\x1b[1m" not in Screen(None).change([[Field("abc", "bold red")]], 80)
