# SPDX-License-Identifier: Apache-2.0
"""One container and its history come in, the lines of its details go out, with a line for each of the last minutes."""

from collections.abc import Callable, Iterator, Sequence

from containerctl.output import escape, size, value, workload
from containerctl.top import draw
from containerctl.top.draw import Field, Glyphs, Line
from containerctl.top.model import Row, Sample
from containerctl.top.view import View

_KEY_WIDTH = 12
_BAR = 20


def sparkline(values: Sequence[float | None], width: int, glyphs: Glyphs) -> str:
    """The newest at the right, from 0 to the highest; a gap where nothing is known."""
    shown = values[-width:]
    highest = max((known for known in shown if known is not None), default=0)
    steps = glyphs.sparks
    marks = [" " if known is None else steps[_step(known, highest, len(steps))] for known in shown]
    return "".join(marks).rjust(width)


def _step(known: float, highest: float, steps: int) -> int:
    return min(steps - 1, int(known / highest * steps)) if highest else 0


def screen(row: Row, history: Sequence[Sample], view: View, now: str, glyphs: Glyphs) -> list[Line]:
    """Exactly `height` lines."""
    heading = [Field("containerctl top ", "bold"), Field(f"{now}  every {view.interval_seconds:g} s")]
    lines: list[Line] = [heading, [Field(escape(row.name), "bold")], *_figures(row, glyphs), []]
    lines += _histories(history, view, glyphs)
    document = row.document.get("attributes")
    if isinstance(document, dict) and document:
        widest = max(map(len, document))
        lines += [[], *(_pair(value(key).ljust(widest), value(found)) for key, found in document.items())]
    lines = lines[: view.height - 1] + [[] for _ in range(view.height - 1 - len(lines))]
    foot = [Field(view.message or "Enter back  Space look now  h help  q back", "dim")]
    return [draw.fitted(line, view.width, glyphs) for line in [*lines, foot]]


def _pair(key: str, text: str, style: str = "") -> Line:
    return [Field(f"{key:<{_KEY_WIDTH}} "), Field(text, style)]


def _figures(row: Row, glyphs: Glyphs) -> Iterator[Line]:
    document = row.document
    yield _pair("cgroup", escape(row.cgroup) + ("" if document.get("managed") else " (not managed)"))
    if document.get("workload"):
        yield _pair("workload", workload(document["workload"]))
    if document.get("state") == "dead":
        yield _pair("state", f"gone: {escape(str(document.get('reason')))}", "bold red")
    limit = draw.bar(row.tasks, row.task_limit, _BAR, glyphs)
    yield [*_pair("tasks", f"{draw.number(row.tasks):>8}  "), limit, Field(_of(value(row.task_limit), row.task_limit))]
    limit = draw.bar(row.memory_bytes, row.limit_bytes, _BAR, glyphs)
    text = value(None) if row.limit_bytes is None else size(row.limit_bytes)
    yield [*_pair("memory", f"{draw.compact(row.memory_bytes):>8}  "), limit, Field(_of(text, row.limit_bytes))]
    kinds = [f"{kind} {_size(document, f'num_{kind}_pages')}" for kind in ("anon", "file", "shmem", "mapped", "active")]
    yield _pair("", "  ".join(kinds))
    peaks = f"{draw.number(document.get('peak_tasks'))} tasks, {_size(document, 'peak_pages')}"
    yield _pair("peaks", peaks)
    yield _pair("limit hits", _hits(row), "bold red" if row.just_hit else "bold yellow" if row.hits else "")
    yield _pair("throttled", f"{value(document.get('throttled_seconds'))} s")
    yield _pair("forks, exits", f"{value(document.get('forks'))}, {value(document.get('exits'))}")


def _hits(row: Row) -> str:
    tasks, pages = (value(row.document.get(key)) for key in ("task_limit_hits", "page_limit_hits"))
    return f"tasks {tasks}, pages {pages}"


def _of(text: str, limit: int | None) -> str:
    return "no limit" if limit is None else f" of {text}"


def _size(document: dict[str, object], key: str) -> str:
    count, page_size = document.get(key), document.get("page_size")
    known = isinstance(count, int) and isinstance(page_size, int)
    return draw.compact(count * page_size if known else None)  # type: ignore[operator]


_LINES: tuple[tuple[str, Callable[[Sample], float | None], Callable[[float | None], str]], ...] = (
    ("memory", lambda sample: sample.memory_bytes, lambda found: draw.compact(None if found is None else int(found))),
    ("tasks", lambda sample: sample.tasks, lambda found: draw.number(None if found is None else int(found))),
    ("forks/s", lambda sample: sample.forks_per_second, draw.rate),
    ("faults/s", lambda sample: sample.faults_per_second, draw.rate),
)


def _histories(history: Sequence[Sample], view: View, glyphs: Glyphs) -> Iterator[Line]:
    width = max(10, min(120, view.width - _KEY_WIDTH - 26))
    for key, of, text in _LINES:
        values = [of(sample) for sample in history]
        known = [found for found in values if found is not None]
        if not known:
            continue
        now, highest = text(values[-1]), text(max(known[-width:]))
        spark = Field(sparkline(values, width, glyphs), "cyan")
        yield [*_pair(key, f"{now:>8}  "), spark, Field(f"  max {highest}")]
