# SPDX-License-Identifier: Apache-2.0
"""A model and a view come in, lines of a screen go out: fields of text with a style, each of a fixed width."""

from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from containerctl.output import UNKNOWN, escape, workload
from containerctl.top.model import Model, Place, Row
from containerctl.top.view import View


class Field(NamedTuple):
    """Text of a fixed width on the screen; `style` is one of rich's."""

    text: str
    style: str = ""


Line = list[Field]


class Glyphs(NamedTuple):
    """What a terminal can show."""

    branch: str
    last: str
    through: str
    full: str
    empty: str
    sparks: str
    cut: str


UNICODE = Glyphs("├─ ", "└─ ", "│  ", "█", "░", "▁▂▃▄▅▆▇█", "…")
ASCII = Glyphs("|- ", "`- ", "|  ", "#", ".", "_.-=*#", "~")

HELP = (
    "up down j k PgUp PgDn Home End  select a container",
    "Enter     its details; again, or Esc: back",
    "s S       order by the next or the one before of",
    "          memory, anon, file, tasks, forks, name",
    "t         tree, or a plain list",
    "/         only names with a text in them; Esc: all again",
    "a         also cgroups that are not managed",
    "Space     look now",
    "q Ctrl-C  end",
    "",
    "T-LIMIT and P-LIMIT fill as tasks, and memory (anon and file), come near their",
    "limits; HITS is how often one was hit: then the row is red for 10 s. - is not",
    "known: page faults are, where a cgroup has the memory controller. ~ leaves out",
    "pages from before the agent's counting began.",
)
_KEYS = "q end  Enter details  s order  t tree  / filter  a all  h help"


def compact(count_bytes: int | None) -> str:
    """At most 5 characters, powers of 1024."""
    if count_bytes is None:
        return UNKNOWN
    amount, units = float(count_bytes), "BKMGTPE"
    while amount >= 999.5 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    digits = f"{amount:.1f}" if amount < 99.95 and units[0] != "B" else f"{amount:.0f}"
    return digits + units[0]


def rate(found: float | None) -> str:
    """At most 5 characters."""
    if found is None:
        return UNKNOWN
    if 0 < found < 9.95:
        return f"{found:.1f}"
    return f"{found:.0f}" if found < 99999.5 else f"{found / 1000:.0f}k"


def number(found: int | None) -> str:
    """A count."""
    return UNKNOWN if found is None else str(found)


def bar(used: int | None, limit: int | None, width: int, glyphs: Glyphs) -> Field:
    """Use of a limit; nothing where there is none."""
    if limit is None or used is None:
        return Field(" " * width)
    share = min(1.0, used / limit) if limit else 1.0
    filled = min(width, int(share * width + 0.5))
    style = "red" if share >= 0.95 else "yellow" if share >= 0.8 else "green"
    return Field(glyphs.full * filled + glyphs.empty * (width - filled), style)


class _Column(NamedTuple):
    title: str
    width: int
    sort: str = ""
    left: bool = False


def _columns(width: int) -> list[_Column]:
    """After the name; bars grow with the screen, and peaks come."""
    wide = width >= 120
    bar_width = 12 if wide else 7
    peaks = [_Column("T-PEAK", 6), _Column("PEAK", 6)] if wide else []
    return [
        _Column("TASKS", 6, "tasks"),
        _Column("T-LIMIT", bar_width, left=True),
        *peaks[:1],
        _Column("ANON", 6, "anon"),
        _Column("FILE", 6, "file"),
        _Column("P-LIMIT", bar_width, left=True),
        *peaks[1:],
        _Column("FORKS/S", 7, "forks"),
        _Column("FAULT/S", 7),
        _Column("HITS", 5),
    ]


def _fit(text: str, width: int, glyphs: Glyphs) -> str:
    """Exactly so wide."""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - 1) + glyphs.cut if width > 0 else ""


def _name_width(view: View) -> int:
    return max(8, view.width - sum(column.width + 1 for column in _columns(view.width)))


def screen(known: Model, view: View, now: str, glyphs: Glyphs) -> list[Line]:
    """Exactly `height` lines; `now` is the time of day."""
    if view.help:
        return _padded([[Field(line)] for line in HELP], view, glyphs)
    lines = [_heading(known, now), _what(known, view), _titles(view, glyphs)]
    shown = view.places[view.first : view.first + view.room]
    lines += [_row(place, view, view.first + at == view.at, glyphs) for at, place in enumerate(shown)]
    return _padded(lines, view, glyphs)


def _padded(lines: list[Line], view: View, glyphs: Glyphs) -> list[Line]:
    lines = lines[: view.height - 1]
    lines += [[] for _ in range(view.height - 1 - len(lines))]
    return [fitted(line, view.width, glyphs) for line in [*lines, _foot(view)]]


def fitted(line: Line, width: int, glyphs: Glyphs) -> Line:
    """Cut where the screen ends."""
    found: Line = []
    for text, style in line:
        wide = cell_len(text)
        if wide > width:
            found.append(Field(_fit(text, width, glyphs), style))
            break
        found.append(Field(text, style))
        width -= wide
    return [one for one in found if one.text]


def _heading(known: Model, now: str) -> Line:
    whole = next((row for row in known.rows if row.name == "/"), None)
    line = [Field("containerctl top ", "bold"), Field(f"{now}  ")]
    if whole is not None:
        sizes = f"anon {compact(whole.anon_bytes):>5}  file {compact(whole.file_bytes):>5}"
        line.append(Field(f"tasks {number(whole.tasks):>5}  {sizes}  forks/s {rate(whole.forks_per_second):>5}"))
    return line


def _what(known: Model, view: View) -> Line:
    count = f"{known.matched} of {known.total}" if view.text else str(known.total)
    kind = "cgroups" if view.everything else "containers"
    shown = f", the first {len(view.places)}" if len(view.places) < known.matched else ""
    text = f", with {escape(view.text)!r}" if view.text else ""
    return [Field(f"{count} {kind}{text}{shown}, by {view.sort}, every {view.interval_seconds:g} s")]


def _titles(view: View, glyphs: Glyphs) -> Line:
    name = _fit("NAME", _name_width(view), glyphs)
    line = [Field(name, _title_style(view.sort == "name"))]
    for column in _columns(view.width):
        title = column.title.ljust(column.width) if column.left else column.title.rjust(column.width)
        chosen = column.sort == view.sort or (view.sort == "memory" and column.sort in ("anon", "file"))
        line += [Field(" ", "reverse"), Field(title, _title_style(chosen and column.sort != ""))]
    return line


def _title_style(chosen: bool) -> str:
    return "reverse bold underline" if chosen else "reverse"


def label(place: Place, glyphs: Glyphs) -> str:
    """Its name after the lines of the tree; whose it is where others made it."""
    guides = "".join(glyphs.through if more else "   " for more in place.guides[:-1])
    if place.guides:
        guides += glyphs.branch if place.guides[-1] else glyphs.last
    found = place.row.document.get("workload")
    # A unit of systemd has its name in the path
    owner = f" ({workload(found)})" if isinstance(found, dict) and found.get("runtime") != "systemd" else ""
    return guides + escape(place.label) + owner


def _cell(title: str, row: Row, width: int, glyphs: Glyphs) -> Field:
    """What stands in a column."""
    partial = "~" if row.document.get("partial_pages") else ""
    match title:
        case "TASKS":
            return Field(number(row.tasks))
        case "T-LIMIT":
            return bar(row.tasks, row.task_limit, width, glyphs)
        case "T-PEAK":
            return Field(number(row.peak_tasks))
        case "ANON":
            return Field(partial + compact(row.anon_bytes))
        case "FILE":
            return Field(partial + compact(row.file_bytes))
        case "P-LIMIT":
            return bar(row.memory_bytes, row.limit_bytes, width, glyphs)
        case "PEAK":
            return Field(partial + compact(row.peak_bytes))
        case "FORKS/S":
            return Field(rate(row.forks_per_second))
        case "FAULT/S":
            return Field(rate(row.faults_per_second))
    return Field(number(row.hits), "bold yellow" if row.hits else "")


def _row(place: Place, view: View, selected: bool, glyphs: Glyphs) -> Line:
    row = place.row
    line = [Field(_fit(label(place, glyphs), _name_width(view), glyphs), "bold" if selected else "")]
    for column in _columns(view.width):
        cell = _cell(column.title, row, column.width, glyphs)
        line += [Field(" "), Field(cell.text.rjust(column.width), cell.style)]
    return [Field(text, _row_style(style, row, selected)) for text, style in line]


def _row_style(style: str, row: Row, selected: bool) -> str:
    if row.just_hit:
        style = "bold red"
    return f"{style} reverse".strip() if selected else style


def _foot(view: View) -> Line:
    if view.typing is not None:
        return [Field("filter: ", "bold"), Field(escape(view.typing)), Field(" ", "reverse")]
    if view.message:
        return [Field(view.message, "bold yellow")]
    return [Field("any key: back" if view.help else _KEYS, "dim")]
